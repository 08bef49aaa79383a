#!/usr/bin/env python3
"""Spreads a tiny grid as docs/scale-out.md says and merges the parts; checks the scripts for the other engines.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test compares two timings.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from load import Load, spoilt

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = str(Path(os.environ.get("KVCAST_BIN", SOURCE / "build/release/kvcast")).resolve())
SCRIPTS = SOURCE / "docs/scale-out"
TIMEOUT_S = 180
SHARDS = 2
GRID = {
    "model": {"dim": 16, "heads": 2},
    "sweep": {"history_length": [8, 16], "layers": [1, 2]},
    "run": {"candidates": [1, 2, 5], "threads": 1},
    "measure": {"budget": "3s", "precision": 0.0001},
}


def run(*command, **extra):
    """Text in, text out; extra: environment."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT_S,
                          stdin=subprocess.DEVNULL, env={**os.environ, "KVCAST": BIN, **extra})


def points_of(report):
    """(L, layers, N, scheme) in the order of the report."""
    return [(case["shape"]["history_length"], case["shape"]["layers"], point["candidates"], scheme)
            for case in report["cases"] for point in case["points"] for scheme in point["schemes"]]


def files_of(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())}


@unittest.skipUnless(shutil.which("parallel"), "GNU parallel is not installed")
class ParallelTest(unittest.TestCase):
    """All on one set of parts, which is measured once."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_scale out_")  # a blank, as paths may have
        cls.addClassCleanup(folder.cleanup)
        cls.dir = Path(folder.name)
        cls.grid = cls.dir / "grid.json"
        cls.grid.write_text(json.dumps(GRID))
        cls.out = cls.dir / "out"
        cls.out.mkdir()
        cls.killed_rounds = cls.kill_in_the_middle(cls.out / "unfinished-1")
        with Load() as load:
            cls.result = cls.measure()
        # A part without usable figures is not moved to its place.
        if reason := spoilt(4 if cls.result.returncode else 0, cls.result.stderr, load):
            raise unittest.SkipTest(reason)

    @classmethod
    def measure(cls, **extra):
        return run(SCRIPTS / "parallel.sh", cls.grid, SHARDS, cls.out, **extra)

    @classmethod
    def kill_in_the_middle(cls, folder):
        """Part 1 by hand, killed once it has kept two rounds; how many its journal has."""
        process = subprocess.Popen([BIN, "run", str(cls.grid), "--shard", f"1/{SHARDS}", "-o", str(folder)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        journal = folder / "journal.jsonl"
        deadline = time.monotonic() + TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") >= 3:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return journal.read_bytes().count(b"\n") - 1

    def parts(self):
        return [self.out / f"part-{i + 1}" for i in range(SHARDS)]

    def merged(self):
        return json.loads((self.out / "merged/report.json").read_text())

    def refused(self, *folders):
        """The line that `merge` says; it must write nothing."""
        target = self.dir / "refused"
        result = run(BIN, "merge", *folders, "-o", target)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Akvcast: [^\n]+\n\Z")
        self.assertFalse(target.exists())
        return result.stderr

    def test_parts_merge_to_the_plan_of_one_run(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        dry = run(BIN, "run", self.grid, "--dry-run", "--format", "json")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        planned = [(point["history_length"], point["layers"], point["candidates"], point["scheme"])
                   for point in json.loads(dry.stdout)["points"]]
        self.assertEqual(len(planned), 2 * 2 * 3 * 2)
        self.assertEqual(points_of(self.merged()), planned)
        self.assertIsNone(self.merged()["shard"])

    def test_parts_share_the_shapes(self):
        shapes = []
        for part in self.parts():
            report = json.loads((part / "report.json").read_text())
            self.assertEqual(report["shard"], {"index": int(part.name[-1]), "count": SHARDS})
            shapes += [(case["shape"]["history_length"], case["shape"]["layers"]) for case in report["cases"]]
        self.assertEqual(sorted(shapes), [(8, 1), (8, 2), (16, 1), (16, 2)])

    def test_each_case_says_where_it_was_measured(self):
        by_shape = {}
        for part in self.parts():
            report = json.loads((part / "report.json").read_text())
            for case in report["cases"]:
                by_shape[json.dumps(case["shape"])] = report["machine"]
        for case in self.merged()["cases"]:
            self.assertEqual(case["machine"], by_shape[json.dumps(case["shape"])])
            self.assertTrue(case["machine"]["cpu_model"])

    def test_an_unfinished_part_was_resumed(self):
        self.assertGreaterEqual(self.killed_rounds, 2)
        conditions = json.loads((self.out / "part-1/report.json").read_text())["conditions"]
        self.assertGreaterEqual(conditions["resumed"], 1)
        self.assertGreaterEqual(conditions["rounds"], self.killed_rounds)
        self.assertFalse((self.out / "unfinished-1").exists())

    def test_again_measures_nothing(self):
        before = [files_of(part) for part in self.parts()]
        only_merge = self.dir / "only-merge"
        only_merge.write_text(f'#!/bin/sh\n[ "$1" = merge ] || exit 70\nexec "{BIN}" "$@"\n')
        only_merge.chmod(0o755)
        report = self.merged()
        again = self.measure(KVCAST=str(only_merge))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual([files_of(part) for part in self.parts()], before)
        self.assertEqual(self.merged(), report)

    def test_overlap(self):
        part = self.parts()
        self.assertIn("overlap", self.refused(part[0], part[0]))
        self.assertIn("overlap", self.refused(*part, part[1]))

    def test_gap(self):
        self.assertIn("2/2", self.refused(self.parts()[0]))

    def test_mixed_versions(self):
        other = self.dir / "other-commit"
        shutil.copytree(self.parts()[1], other)
        report = json.loads((other / "report.json").read_text())
        report["tool"]["git_commit"] = "0123456789ab"
        (other / "report.json").write_text(json.dumps(report))
        self.assertIn("0123456789ab", self.refused(self.parts()[0], other))

    def test_a_failing_part_fails_the_script(self):
        failing = self.dir / "failing"
        failing.write_text("#!/bin/sh\nexit 4\n")
        failing.chmod(0o755)
        out = self.dir / "failed"
        result = run(SCRIPTS / "parallel.sh", self.grid, SHARDS, out, KVCAST=str(failing))
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(list(out.iterdir()), [])


class EngineScriptsTest(unittest.TestCase):
    """Slurm and Kubernetes are not here; a false kvcast and srun stand in, and say what they were asked."""

    # A first run is stopped and leaves a journal, a resumed one ends well.
    FAKE = """#!/bin/sh
echo "$*" >>"$LOG"
if [ "$2" = --resume ]; then exec rm "$3/journal.jsonl"; fi
while [ "$1" != -o ]; do shift; done
mkdir -p "$2"
: >"$2/journal.jsonl"
exit 143
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_engines_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.log = self.dir / "log"
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name, text in (("kvcast", self.FAKE), ("srun", '#!/bin/sh\nshift\nexec "$@"\n')):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.out = self.dir / "out"

    def asked(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def resumes_and_skips(self, *script, **engine):
        """The third part of eight, stopped, taken up again, and asked for once more."""
        engine.update(PATH=f"{self.bin}:{os.environ['PATH']}", LOG=str(self.log), KVCAST="kvcast")
        unfinished = self.out / "unfinished-3"
        stopped = run(*script, **engine)
        self.assertEqual(stopped.returncode, 143, stopped.stderr)
        self.assertEqual(self.asked(), [f"run grid.json --shard 3/8 -o {unfinished} --quiet"])
        self.assertFalse((self.out / "part-3").exists())
        again = run(*script, **engine)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.asked(), [f"run --resume {unfinished} --quiet"])
        self.assertTrue((self.out / "part-3").is_dir())
        self.assertFalse(unfinished.exists())
        done = run(*script, **engine)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked(), [])

    def test_slurm(self):
        self.resumes_and_skips(SCRIPTS / "slurm-array.sh", "grid.json", "8", self.out, SLURM_ARRAY_TASK_ID="3",
                               SLURM_CPUS_PER_TASK="16")

    def test_kubernetes(self):
        text = (SCRIPTS / "kubernetes-job.yaml").read_text()
        try:
            import yaml
        except ImportError:
            body = re.search(r"args:\n +- \|\n(.*?)\n {10}volumeMounts", text, re.DOTALL).group(1)
        else:
            job = yaml.safe_load(text)
            self.assertEqual((job["kind"], job["spec"]["completionMode"]), ("Job", "Indexed"))
            (container,) = job["spec"]["template"]["spec"]["containers"]
            self.assertEqual(container["resources"]["requests"], container["resources"]["limits"])
            self.assertEqual(container["env"], [{"name": "SHARDS", "value": str(job["spec"]["completions"])}])
            self.assertEqual(container["command"], ["/bin/sh", "-euc"])
            (body,) = container["args"]
        body = body.replace("/grid/", f"{self.out}/").replace("/config/grid.json", "grid.json")
        self.resumes_and_skips("/bin/sh", "-euc", body, JOB_COMPLETION_INDEX="2", SHARDS="8")

    def test_scripts_are_sound(self):
        for script in sorted(SCRIPTS.glob("*.sh")):
            with self.subTest(script=script.name):
                self.assertEqual(run("bash", "-n", script).returncode, 0)
                self.assertTrue(os.access(script, os.X_OK))
                if shutil.which("shellcheck"):
                    result = run("shellcheck", script)
                    self.assertEqual(result.returncode, 0, result.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
