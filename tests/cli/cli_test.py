#!/usr/bin/env python3
"""Runs the real binary: exit codes, one-line messages, files, signals, terminals.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test compares two timings.
"""
import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from load import run_beside_others

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TIMEOUT_S = 180
SUBCOMMANDS = ["run", "fit", "size", "simulate", "replay", "report", "compare", "merge", "verify", "presets", "info",
               "completion", "man"]


def environment(**extra):
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    env.update(TERM="xterm", **extra)
    return env


def kvcast(*args, cwd, env=None, **options):
    """Runs the binary without a terminal. Text in, text out."""
    return run_beside_others(BIN, *args, cwd=cwd, timeout=TIMEOUT_S, env=env or environment(), **options)


def isa_names():
    """SIMD targets here, best first; the last is the compiler's plain fallback."""
    info = kvcast("info", "--threads", "1", cwd=None).stdout
    return re.search(r"(?m)^ISA .*; --isa: (.*)$", info).group(1).split(", ")


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_cli_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def write(self, name, content):
        path = self.dir / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    def kvcast(self, *args):
        return kvcast(*args, cwd=self.dir)

    def on_terminal(self, args, stream, code=0, **env):
        """What the binary writes to this stream when it is a terminal and the other one is not."""
        try:
            ours, theirs = pty.openpty()
        except OSError as error:  # a container without /dev/pts
            self.skipTest(f"no pseudo-terminal here: {error}")
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
        process = subprocess.Popen([BIN, *args], cwd=self.dir, stdin=subprocess.DEVNULL, env=environment() | env,
                                   **streams)
        self.addCleanup(process.kill)
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other side is gone
                break
            if not chunk:
                break
            seen += chunk
        os.close(ours)
        ended = process.wait(TIMEOUT_S)
        if code is not None:
            self.assertEqual(ended, code)
        return seen.decode()

    def assert_one_line(self, result, code, *parts):
        """Exit code, nothing on stdout, one line on stderr that has every part."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        said = [line for line in result.stderr.splitlines() if not line.startswith("reading ")]  # how far it is
        self.assertEqual(len(said), 1, result.stderr)
        self.assertTrue(said[0].startswith("kvcast: ") and result.stderr.endswith("\n"), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def refused(self, args, *parts):
        """`run` with these arguments is refused as bad usage or config and leaves no output folder."""
        with self.subTest(args=args):
            result = self.kvcast("run", "-o", "out/deep", *args)
            self.assert_one_line(result, 2, *parts)
            self.assertFalse((self.dir / "out").exists())

    def refused_file(self, content, *parts):
        self.write("bad.json", content)
        self.refused(["./bad.json"], "bad.json", *parts)


class BadConfigTest(CliTest):
    def test_unknown_key(self):
        self.refused_file({"model": {"dimm": 64}}, "/model/dimm: unknown key", "did you mean 'dim'?")
        self.refused_file({"modell": {}}, "/modell: unknown key", "did you mean 'model'?")
        self.refused(["smoke", "--set", "model.dmi=64"], "--set model.dmi: unknown path", "did you mean 'model.dim'?")
        self.refused(["smoke", "--set", "zzz.qqq=1"], "--set zzz.qqq: unknown path", "model.dim")

    def test_repeated_key(self):
        self.refused_file('{"model": {"dim": 64, "dim": 128}}', "/model/dim: the key appears twice")

    def test_wrong_type(self):
        self.refused_file({"model": {"dim": "64"}}, "/model/dim", "'64'", "a whole number")
        self.refused_file({"model": {"dim": 64.5}}, "/model/dim", "64.5", "a whole number")
        self.refused_file({"model": {"dim": None}}, "/model/dim", "null")
        self.refused_file({"model": [1]}, "/model", "a list")
        self.refused_file({"run": {"candidates": [1, "5"]}}, "/run/candidates", "'5'")
        self.refused_file({"run": {"trim": "yes"}}, "/run/trim", "'yes'")
        self.refused_file([1], "a list")
        self.refused(["smoke", "--dim", "wide"], "--dim", "'wide'", "a whole number")
        self.refused(["smoke", "--set", "run.trim=maybe"], "--set run.trim", "'maybe'")

    def test_syntax(self):
        self.refused_file('{\n  "model": {\n    "dim" 64\n  }\n}', "line 3, column 12")
        self.refused_file("", "line 1, column 1")
        self.refused_file('{"measure": {"budget": NaN}}', "line 1")
        self.refused_file("{} trailing", "line 1")
        self.refused_file(b"\xff\xfe{}", "line 1")
        self.refused_file("[" * 100000, "nested deeper")
        self.refused_file(b" " * (16 * 1024 * 1024 + 1), "16 MiB")

    def test_heads_do_not_divide(self):
        self.refused_file({"model": {"dim": 770, "heads": 12}}, "/model/heads", "770", "12")
        self.refused(["smoke", "-d", "65"], "--dim", "65", "heads 2")
        self.refused(["smoke", "--kv-heads", "3"], "--kv-heads", "kv_heads 3")

    def test_candidates(self):
        self.refused(["smoke", "-N", "0"], "--candidates", "'0'", "at least 1")
        self.refused(["smoke", "-N", "5,0"], "--candidates", "'0'")
        self.refused(["smoke", "-N", ""], "--candidates", "empty")
        self.refused(["smoke", "-N", "1-10+0"], "--candidates", "does not advance")
        self.refused(["smoke", "-N", "1-1000000000"], "--candidates", "more than 10000")
        self.refused_file({"run": {"candidates": [0]}}, "/run/candidates", "'0'")

    def test_out_of_range(self):
        positive = ("--dim", "--heads", "--kv-heads", "--layers", "--ffn-factor", "--threads", "--token-merge",
                    "--query-tokens", "--micro-batch")
        for flag in (*positive, "--history", "--seed", "--candidate-from-layer", "--append"):
            self.refused(["smoke", flag, "-1"], flag, "'-1'", "at least")
        for flag in positive:
            self.refused(["smoke", flag, "0"], flag, "'0'", "at least 1")
        for value in ("0", "-1s", "nan", "inf", "1e999", "5 apples", ""):
            self.refused(["smoke", "--budget", value], "--budget")
        for value in ("0", "1", "-2%", "100%", "nan"):
            self.refused(["smoke", "--precision", value], "--precision")
        for value in ("0", "-1GiB", "8 potatoes", "9999999TiB"):
            self.refused(["smoke", "--max-memory", value], "--max-memory")

    def test_overflow(self):
        self.refused(["smoke", "--dim", "99999999999999999999"], "--dim", "64 bits")
        self.refused_file({"model": {"dim": 2**64}}, "/model/dim", "64 bits")
        for flag in ("--history", "--dim", "--layers", "--ffn-factor", "--candidates"):
            self.refused(["smoke", flag, str(2**62)], flag, "overflows 64 bits")

    def test_threads(self):
        most = 4 * len(os.sched_getaffinity(0))
        self.refused(["smoke", "--threads", str(most + 4096)], "--threads", "four times the CPUs")
        self.refused_file({"run": {"threads": most + 4096}}, "/run/threads", "four times the CPUs")
        # What can be verified cannot always be timed.
        cpus = json.loads(self.kvcast("info", "--threads", "1", "--format", "json").stdout)["machine"]["threads"]
        self.refused(["smoke", "--threads", str(cpus + 1)], "threads", f"{cpus + 1} threads", f"1 to {cpus}")
        self.assertEqual(self.kvcast("verify", "smoke", "--threads", str(cpus + 1)).returncode, 0)

    def test_names(self):
        self.refused(["smok"], "'smok': unknown preset", "did you mean 'smoke'?", "default")
        self.refused(["smoke", "--mask", "causall"], "--mask", "'causall'", "history-blind")
        self.refused(["smoke", "--schemes", "naive,shard"], "--schemes", "'shard'", "shared")
        self.refused(["smoke", "--schemes", ""], "--schemes", "empty")
        self.refused(["smoke", "--dtype", "fp8"], "--dtype", "'fp8'", "fp32, bf16")
        self.refused(["smoke", "--kv-dtype", "fp8"], "--kv-dtype", "'fp8'", "auto, fp32, bf16")
        self.refused(["smoke", "--format", "pdf"], "--format", "'pdf'", "table", "json")

    def test_memory(self):
        self.refused(["default", "--max-memory", "1MB"], "memory")
        self.refused(["default", "-d", "16384", "--heads", "32", "--layers", "2000"], "memory")

    def test_mask_that_cannot_share(self):
        for mask in ("bidirectional", "target-first-causal"):
            self.refused(["smoke", "--mask", mask], mask)

    def test_token_merge_and_layers(self):
        self.refused(["smoke", "--token-merge", "5"], "--token-merge", "history_length 64", "token_merge 5")
        self.refused(["smoke", "--candidate-from-layer", "2"], "--candidate-from-layer", "layers 2", "0 to 1")
        self.refused(["smoke", "--query-tokens", "5", "--mask", "bidirectional"], "--mask", "query_tokens 5", "causal")

    def test_returning_user(self):
        self.refused(["smoke", "--token-merge", "2", "--append", "9"], "--append", "append 9", "token_merge 2")
        self.refused(["smoke", "--append", "65"], "--append", "append 65", "history_length 64")
        self.refused(["smoke", "--schemes", "naive,append"], "--schemes", "--append")
        self.refused(["smoke", "--mask", "bidirectional", "--candidate-from-layer", "1", "--append", "8"], "'append'",
                     "bidirectional")

    def test_what_a_user_typed_stays_on_one_line(self):
        self.refused(["smoke", "--dim", "1\n2\x1b[31m"], "--dim")
        self.refused(["smoke", "--set", "a\nb=1"], "--set")
        self.refused(["no\nsuch"], "unknown preset")


class BadUsageTest(CliTest):
    def test_flags(self):
        for args in (["--frobnicate"], ["smoke", "extra"], ["--dim"], ["--no-trim=false"]):
            self.refused(args, "see kvcast run --help")
        self.refused(["smoke", "--set", "model.dim"], "--set", "PATH=VALUE")
        for args in ([], ["frobnicate"], ["--frobnicate"]):
            with self.subTest(args=args):
                self.assert_one_line(self.kvcast(*args), 2, "see kvcast --help")
        self.assert_one_line(self.kvcast("presets", "show"), 2, "see kvcast presets --help")
        self.assert_one_line(self.kvcast("info", "--threads", "0"), 2, "--threads", "'0'")

    def test_empty_output_name(self):
        self.assert_one_line(self.kvcast("run", "smoke", "-o", ""), 2, "--output")

    def test_unreadable_config(self):
        for name in ("./missing.json", "./"):
            with self.subTest(name=name):
                self.assert_one_line(self.kvcast("run", name, "-o", "out"), 3, name)
                self.assertFalse((self.dir / "out").exists())

    def test_output_that_cannot_be_a_folder(self):
        self.write("file", "")
        for folder in ("file", "file/deep", "/proc/no/such"):
            with self.subTest(folder=folder):
                self.assert_one_line(self.kvcast("run", "smoke", "-q", "-o", folder), 3, folder)

    def test_export_that_cannot_be_written(self):
        self.assert_one_line(self.kvcast("verify", "smoke", "-q", "--export", "no/such/case.safetensors"), 3, "no/such")

    def test_stdout_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([BIN, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 3)
        self.assertIn("stdout", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_stdout_that_is_closed(self):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run([BIN, "presets"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
        os.close(writer)
        # As of any program in front of `| head`.
        self.assertEqual((result.returncode, result.stderr), (128 + signal.SIGPIPE, ""))
        # Closed altogether: a file of ours must not take its place.
        closed = subprocess.run(["sh", "-c", '"$0" presets show smoke >&-', BIN], stderr=subprocess.PIPE, text=True,
                                timeout=TIMEOUT_S)
        self.assertEqual(closed.returncode, 3)


class HelpTest(CliTest):
    def test_help_fits_a_screen_and_has_an_example(self):
        for args in ([], *[[name] for name in SUBCOMMANDS]):
            with self.subTest(args=args):
                result = self.kvcast(*args, "--help")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertRegex(result.stdout, r"Examples:\n  .*kvcast ")
                lines = result.stdout.splitlines()
                self.assertLessEqual(len(lines), 40)
                self.assertLessEqual(max(map(len, lines)), 100)

    def test_help_all_has_every_field_and_help_says_so(self):
        flags = lambda text: set(re.findall(r"^  (?:-\w,)?(--[a-z0-9-]+)", text, re.M))
        table = (SOURCE / "docs/design.md").read_text()
        fields = {flag for names in re.findall(r"^\| (`-[^|]*) \| `(?:model|run|measure)\.", table, re.M)
                  for flag in re.findall("`(--[a-z0-9-]+)`", names)}
        self.assertIn("--max-memory", fields)
        for command in ("run", "verify", "simulate", "replay"):
            short, whole = (self.kvcast(command, flag) for flag in ("--help", "--help-all"))
            self.assertEqual((whole.returncode, whole.stderr), (0, ""))
            self.assertLessEqual(max(map(len, whole.stdout.splitlines())), 100)
            self.assertRegex(short.stdout.splitlines()[-1], f"kvcast {command} --help-all")
            self.assertLess(flags(short.stdout), flags(whole.stdout))
            if command == "run":
                self.assertLessEqual(fields, flags(whole.stdout))
        usual = {"--history", "--dim", "--layers", "--candidates", "--heads", "--kv-heads", "--schemes", "--dtype",
                 "--threads", "--seed", "--budget", "--mask", "--no-trim", "--set", "--format", "--output"}
        self.assertLessEqual(usual, flags(self.kvcast("run", "--help").stdout))
        # Where nothing is left out there is nothing more to ask for.
        self.assertNotIn("--help-all", self.kvcast("size", "--help").stdout)

    def test_every_command_takes_help_all(self):
        top = self.kvcast("--help-all")
        self.assertEqual((top.returncode, top.stderr), (0, ""))
        for command in ("run", "fit", "size", "simulate", "replay", "report", "compare", "merge", "verify", "presets",
                        "info", "completion", "man", "presets show"):
            with self.subTest(command=command):
                whole = self.kvcast(*command.split(), "--help-all")
                self.assertEqual((whole.returncode, whole.stderr), (0, ""))
                self.assertIn("--help", whole.stdout)
                self.assertIn(command.split()[0], top.stdout)

    def test_version(self):
        result = self.kvcast("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"^kvcast \d+\.\d+\.\d+ \(commit \w+, .+\)\n.*oneDNN")

    def test_info(self):
        text = self.kvcast("info", "--threads", "1")
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        for name in ("CPU", "ISA", "memory", "FMA peak", "bf16 peak", "DRAM read", "kvcast", "compiler"):
            self.assertRegex(text.stdout, f"(?m)^{name} ")
        machine = json.loads(self.kvcast("info", "--threads", "1", "--format", "json").stdout)
        self.assertGreater(machine["machine"]["peak_gflops"], 0)
        self.assertEqual(machine["measured_threads"], 1)
        self.assertTrue(machine["tool"]["dependencies"])


class ColourTest(CliTest):
    def commands(self):
        """Tables whose cells are padded, with warnings and with checks that fail; and their exit codes."""
        rows = [(n, 0.1 * n * (1 + 0.01 * i), (0.1 + 0.015 * n) * (1 - 0.01 * i))
                for n in (1, 5, 10, 50) for i in range(3)]
        self.write("own.csv", "candidates,naive_seconds,shared_seconds\n" +
                   "".join(f"{n},{naive},{shared}\n" for n, naive, shared in rows))
        self.write("slow.csv", "candidates,naive_seconds,shared_seconds\n" +
                   "".join(f"{n},{naive},{2 * shared}\n" for n, naive, shared in rows))
        return [(["presets"], 0), (["fit", "own.csv"], 0), (["size", "own.csv", "--p99", "1s"], 0),
                (["size", "own.csv", "--p99", "1ms"], 4), (["compare", "own.csv", "slow.csv"], 4),
                (["run", "smoke", "--dry-run"], 0)]

    def test_a_table_has_colours_on_a_terminal_and_no_column_moves(self):
        for args, code in self.commands():
            with self.subTest(args=args):
                seen = self.on_terminal(args, "stdout", code).replace("\r\n", "\n")
                self.assertIn("\x1b[1m", seen)
                self.assertNotRegex(seen, "[\x02-\x06]")
                self.assertFalse([line for line in seen.split("\n") if line.count("\x1b[0m") * 2 != line.count("\x1b[")])
                if args[0] != "run":  # its estimates are of the machine at that moment
                    self.assertEqual(re.sub("\x1b\\[[0-9]+m", "", seen), self.kvcast(*args).stdout)
        self.assertIn("\x1b[31m", self.on_terminal(["compare", "own.csv", "slow.csv"], "stdout", 4))

    def test_no_colours_elsewhere(self):
        for args, code in self.commands():
            for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                with self.subTest(args=args, env=env):
                    self.assertNotIn("\x1b", self.on_terminal(args, "stdout", code, **env))
            with self.subTest(args=args, env="a pipe"):
                self.assertNotRegex(self.kvcast(*args).stdout, "[\x02-\x06\x1b]")
        self.assertNotIn("\x1b", self.on_terminal(["fit", "own.csv", "--format", "json"], "stdout"))
        # https://no-color.org: empty is as not set.
        self.assertIn("\x1b[1m", self.on_terminal(["presets"], "stdout", NO_COLOR=""))


class PresetsTest(CliTest):
    def test_list_and_show(self):
        listing = self.kvcast("presets")
        self.assertEqual((listing.returncode, listing.stderr), (0, ""))
        names = [line.split()[0] for line in listing.stdout.splitlines()[1:]]
        for name in ("default", "seed", "smoke"):
            self.assertIn(name, names)
        for name in names:
            shown = self.kvcast("presets", "show", name)
            self.assertEqual(shown.returncode, 0)
            self.assertEqual(shown.stdout, (SOURCE / f"configs/{name}.json").read_text())
            self.assertIn(json.loads(shown.stdout)["comment"], listing.stdout)
        self.assert_one_line(self.kvcast("presets", "show", "smok"), 2, "'smok': unknown preset", "smoke")

    def test_shown_preset_runs_as_the_preset(self):
        self.write("mine.json", self.kvcast("presets", "show", "smoke").stdout)
        plans = [json.loads(self.kvcast("run", source, "--dry-run", "--format", "json").stdout)
                 for source in ("smoke", "mine.json")]
        points = [[(p["candidates"], p["scheme"]) for p in plan["points"]] for plan in plans]
        self.assertEqual(points[0], points[1])


class DryRunTest(CliTest):
    def planned(self, *args):
        result = self.kvcast("run", *args, "--dry-run", "--format", "json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        plan = json.loads(result.stdout)
        return plan, sorted({point["candidates"] for point in plan["points"]})

    def test_prints_the_plan_and_writes_nothing(self):
        result = self.kvcast("run", "smoke", "--dry-run", "-o", "out")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("scheme", "naive", "shared", "estimate: ", "rounds", "memory"):
            self.assertIn(word, result.stdout)
        self.assertEqual(list(self.dir.iterdir()), [])
        plan, candidates = self.planned("smoke")
        self.assertEqual(candidates, [1, 5, 10])
        self.assertGreater(plan["memory_bytes"], 0)

    def test_later_arguments_win_over_earlier_ones_and_over_the_file(self):
        name = self.write("mine.json", {"run": {"candidates": "1-4*2"}})
        self.assertEqual(self.planned(name)[1], [1, 2, 4])
        self.assertEqual(self.planned(name, "-N", "3")[1], [3])
        self.assertEqual(self.planned(name, "-N", "3", "--set", "run.candidates=5,6")[1], [5, 6])
        self.assertEqual(self.planned("--set", "run.candidates=5", "-N3", name)[1], [3])
        self.assertEqual(self.planned(name, "-N", "2", "--candidates=7", "--no-trim")[1], [7])

    def test_absurd_shape_is_refused_at_once(self):
        # The plan must not loop over the layers, nor anything be allocated for them.
        for layers in "1000000000", "1000000000000":
            with self.subTest(layers=layers):
                result = subprocess.run([BIN, "run", "smoke", "--dry-run", "--layers", layers], cwd=self.dir,
                                        capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL,
                                        env=environment())
                self.assert_one_line(result, 2, "memory")

    def test_formats_that_cannot_show_a_plan(self):
        formats = re.search(r"--format NAME\s+On stdout: (.*) \[", self.kvcast("run", "--help").stdout).group(1)
        for name in set(formats.split(", ")) - {"table", "json"}:
            self.assert_one_line(self.kvcast("run", "smoke", "--dry-run", "--format", name), 2, "--format", name)


class RunTest(CliTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kvcast_run_")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.out = Path(cls.folder.name) / "a" / "b"
        cls.result = kvcast("run", "smoke", "--format", "json", "-o", str(cls.out), cwd=cls.folder.name)

    def test_exits_well_and_writes_the_files_of_the_contract(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        written = {path.name for path in self.out.iterdir()}
        self.assertLessEqual({"report.json", "samples.csv", "summary.csv"}, written)
        for name in written:
            self.assertRegex(self.result.stderr, rf"wrote {self.out}/{{(?:[^}}]+,)?{re.escape(name)}[,}}]")
            self.assertFalse(name.endswith(".tmp") or name.startswith("."), "a temporary file was left")

    def test_stdout_is_the_report(self):
        report = json.loads(self.result.stdout)
        self.assertEqual(report["schema"], "kvcast.report/2")
        self.assertEqual(report, json.loads((self.out / "report.json").read_text()))

    def test_csv_files_are_rectangular(self):
        for name, columns in (("samples.csv", {"candidates", "scheme", "round", "measured_seconds"}),
                              ("summary.csv", {"candidates", "scheme"})):
            with self.subTest(name=name), open(self.out / name, newline="") as file:
                rows = list(csv.reader(file))
                self.assertLessEqual(columns, set(rows[0]))
                self.assertGreater(len(rows), 1)
                self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_plan_and_progress_are_plain_lines(self):
        self.assertIn("estimate: ", self.result.stderr)
        for text in (self.result.stdout, self.result.stderr):
            self.assertNotIn("\r", text)
            self.assertNotIn("\x1b", text)

    def test_running_from_the_echoed_config_echoes_it_again(self):
        config = json.loads(self.result.stdout)["config"]
        self.assertEqual(config["run"]["candidates"], [1, 5, 10])
        again = self.kvcast("run", self.write("echo.json", config), "-q", "--format", "json")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(json.loads(again.stdout)["config"], config)

    def test_quiet_says_nothing(self):
        result = self.kvcast("run", "smoke", "-q", "-N", "1,2", "--details", "-o", "out")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("naive", result.stdout)
        self.assertTrue((self.dir / "out/report.json").exists())

    def test_budget_in_which_nothing_can_be_measured(self):
        self.assert_one_line(self.kvcast("run", "smoke", "-q", "--budget", "1ms"), 4, "--budget")

    def test_naive_alone_runs_under_a_mask_that_cannot_share(self):
        result = self.kvcast("run", "smoke", "-q", "--mask", "bidirectional", "--schemes", "naive", "-N", "1,2", "--details")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("naive", result.stdout)


class SignalTest(CliTest):
    def interrupt(self, number):
        process = subprocess.Popen([BIN, "run", "default", "--budget", "60s", "--precision", "0.0001", "-o", "out"], cwd=self.dir, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.addCleanup(process.kill)
        deadline = time.monotonic() + TIMEOUT_S
        for line in process.stderr:
            if line.startswith("measuring") or time.monotonic() > deadline:
                break
        time.sleep(1)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 128 + number, stderr)
        self.assertIn("interrupted", stderr)
        report = json.loads((self.dir / "out/report.json").read_text())
        self.assertEqual(report["schema"], "kvcast.report/2")
        with open(self.dir / "out/samples.csv", newline="") as file:
            rows = list(csv.reader(file))
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_interrupt_saves_what_was_measured(self):
        self.interrupt(signal.SIGINT)

    def test_terminate_saves_what_was_measured(self):
        self.interrupt(signal.SIGTERM)


class TerminalTest(CliTest):
    def stderr_on_terminal(self, **env):
        # Beside other load a run may end with "No usable result" and exit 4; the bar is the same.
        return self.on_terminal(["run", "smoke"], "stderr", code=None, **env)

    def test_bar_with_time_left(self):
        text = self.stderr_on_terminal()
        self.assertRegex(text, r"\r\x1b\[K\[.*%  .* left")
        self.assertIn("\x1b[32m", text)

    def test_no_color(self):
        text = self.stderr_on_terminal(NO_COLOR="1")
        self.assertRegex(text, r"\r\x1b\[K\[[#.]{24}\] +\d+%")
        self.assertNotRegex(text, r"\x1b\[\d*m")


class VerifyTest(CliTest):
    def test_verify_of_tiny_vectors_raises_no_false_alarm(self):
        # Where a candidate's few elements are nearly equal, the norm magnifies rounding: one may be far worse than all
        # others. Each of these failed when naive's own error was that of two candidates.
        for length, dim, heads, kv_heads, layers in ((1, 3, 3, 1, 2), (1, 3, 3, 1, 12), (300, 8, 1, 1, 12),
                                                     (2, 5, 1, 1, 6), (1, 6, 3, 3, 6)):
            result = self.kvcast("verify", "-q", f"-L{length}", f"-d{dim}", f"--heads={heads}",
                                 f"--kv-heads={kv_heads}", f"--layers={layers}")
            self.assertEqual(result.returncode, 0, (dim, heads, layers, result.stderr))

    def test_schemes_agree(self):
        result = self.kvcast("verify", "smoke", "-q")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("naive", "shared", "packed", "cached", "append", "Kendall's tau", "tolerance", "float64"):
            self.assertIn(word, result.stdout)
        report = json.loads(self.kvcast("verify", "smoke", "-q", "--format", "json").stdout)
        self.assertTrue(report["equivalence"]["agrees"])
        self.assertEqual((report["equivalence"]["checked_candidates"], report["equivalence"]["judged_candidates"]), (64, 4))
        self.assertIn("64 candidates checked, 4 of them by float64 at the full shape", " ".join(result.stdout.split()))
        self.assertRegex(result.stdout, r"\AAll \d+ schemes agree with float64 and with naive\.\n")
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)
        self.assertIsNone(report["equivalence"]["tolerance_fp32"])
        self.assertIsNone(report["stale"])
        self.assertEqual(report["skipped"], [])

    def test_names_the_schemes_it_did_not_compare(self):
        args = ("verify", "smoke", "-q", "--mask", "bidirectional")
        self.assertRegex(self.kvcast(*args).stdout, r"(?m)^not compared +shared: \S")
        skipped = json.loads(self.kvcast(*args, "--format", "json").stdout)["skipped"]
        self.assertIn("shared", [scheme["scheme"] for scheme in skipped])
        self.assertTrue(all(scheme["reason"] for scheme in skipped))

    def test_refuses_what_it_does_not_use(self):
        for flag, value, path in (("-N", "5", "run.candidates"), ("--schemes", "naive", "run.schemes"),
                                  ("--cached", None, "run.cached"), ("--micro-batch", "2", "run.micro_batch"),
                                  ("--profile", None, "measure.profile"),
                                  ("--budget", "5s", "measure.budget"), ("--precision", "1%", "measure.precision")):
            with self.subTest(flag=flag):
                typed = [flag] if value is None else [flag, value]
                self.assert_one_line(self.kvcast("verify", "smoke", *typed), 2, flag, "see kvcast verify --help")
                assignment = f"{path}={value or 'true'}"
                self.assert_one_line(self.kvcast("verify", "smoke", "--set", assignment), 2, f"--set {path}",
                                     "verify does not use this field")
                self.assertNotIn(flag + " ", self.kvcast("verify", "--help-all").stdout)

    def test_shows_how_wrong_sharing_would_be(self):
        for mask in ("bidirectional", "target-first-causal"):
            with self.subTest(mask=mask):
                result = self.kvcast("verify", "smoke", "-q", "--mask", mask)
                self.assertEqual(result.returncode, 4, result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                self.assertIn(mask, result.stderr)
                self.assertIn("K,V of layer 0", result.stdout)
                self.assertIn("K,V of layer 1", result.stdout)
                self.assertIn("output at the ", result.stdout)
                stale = json.loads(self.kvcast("verify", "smoke", "-q", "--mask", mask, "--format", "json").stdout)["stale"]
                self.assertEqual(len(stale["kv_per_layer"]), 2)
                self.assertGreater(stale["output"]["max_abs"], 0)
                self.assertEqual((stale["shape"], stale["candidates"]), ("full", 64))
                said = " ".join(result.stdout.split())
                self.assertIn(f"largest over 64 candidates, the output of candidate {stale['worst_candidate']};", said)
                self.assertIn("computed at shape: full", said)

    def test_names_the_shape_that_sharing_would_be_wrong_at(self):
        args = ("verify", "-q", "-L500", "-d256", "--heads=4", "--layers=24", "--mask=bidirectional", "--threads=1")
        result = self.kvcast(*args)
        shape = re.search(r"computed at shape: L=\d+, layers=(\d+)\b", " ".join(result.stdout.split()))
        self.assertTrue(shape, result.stdout)
        self.assertLess(int(shape[1]), 24)
        self.assertEqual(result.stdout.count("K,V of layer "), int(shape[1]))

    def test_one_bidirectional_layer_shares(self):
        result = self.kvcast("verify", "smoke", "-q", "--mask", "bidirectional", "--layers", "1")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_export(self):
        result = self.kvcast("verify", "smoke", "-q", "--export", "case.safetensors")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertGreater((self.dir / "case.safetensors").stat().st_size, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
