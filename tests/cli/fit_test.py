#!/usr/bin/env python3
"""Runs fit, compare and merge of the real binary on one small run, on edits of it, and on CSVs with planted times.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test compares two timings that were measured.
"""
import csv
import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path

from load import run_beside_others

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TIMEOUT_S = 180
HEAD = "candidates,naive_seconds,shared_seconds\n"


def kvcast(*args, cwd):
    return run_beside_others(BIN, *args, cwd=cwd, timeout=TIMEOUT_S)


def planted(r, slower=1.0, rounds=4):
    """A CSV of one's own: shared follows r, and takes `slower` times that; rows of an N differ by 0.1%."""
    rows = [f"{n},{n * (1 + 0.001 * (k % 2))},{(1 + (n - 1) * r) * slower * (1 + 0.001 * (k % 2))}"
            for n in (1, 5, 20, 100) for k in range(rounds)]
    return HEAD + "\n".join(rows) + "\n"


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="kvcast_fit_")
    unittest.addModuleCleanup(folder.cleanup)
    # Twice what it takes on a quiet machine and more; no figure of it matters.
    run = kvcast("run", "smoke", "--budget", "8s", "--precision", "20%", "-q", "-o", "run", cwd=folder.name)
    assert run.returncode == 0, run.stderr
    FitTest.run_dir = Path(folder.name) / "run"


class FitTest(unittest.TestCase):
    run_dir = None  # of the one small run

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_fit_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def kvcast(self, *args):
        return kvcast(*args, cwd=self.dir)

    def write(self, name, text):
        (self.dir / name).write_text(text)
        return name

    def edited(self, name, change_report=lambda report: None, change_row=lambda row: None):
        """A copy of the run's folder with its report and each of its samples changed."""
        target = self.dir / name
        shutil.copytree(self.run_dir, target)
        report = json.loads((target / "report.json").read_text())
        change_report(report)
        (target / "report.json").write_text(json.dumps(report))
        with open(target / "samples.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            change_row(row)
        with open(target / "samples.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return name

    def assert_refused(self, result, code, *parts):
        """Exit code, nothing on stdout or on disk, one line on stderr that has every part."""
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertFalse((self.dir / "out").exists())


class FitCommandTest(FitTest):
    def test_planted_r(self):
        self.write("mine.csv", planted(0.2))
        result = self.kvcast("fit", "mine.csv", "-N", "50,1000", "--extrapolate", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        fit = json.loads(result.stdout)["cases"][0]["fits"]["shared"]
        self.assertAlmostEqual(fit["r"]["value"], 0.2, places=9)
        self.assertEqual([p["candidates"] for p in fit["predictions"]], [50, 1000])
        self.assertAlmostEqual(fit["predictions"][1]["speedup"]["value"], 1000 / (1 + 999 * 0.2), places=6)
        self.assertEqual([p["source"] for p in fit["predictions"]], ["interpolated", "extrapolated"])
        table = self.kvcast("fit", "mine.csv", "-N", "1000", "--extrapolate")
        self.assertEqual(table.returncode, 0, table.stderr)
        self.assertIn("extrapolated", table.stdout)
        self.assertNotIn("residual", table.stdout)
        details = self.kvcast("fit", "mine.csv", "-N", "1000", "--extrapolate", "--details").stdout
        for part in ("fit of shared", "16 rounds", "residuals of the speed-up", "extrapolated"):
            self.assertIn(part, details)
        self.assertEqual(details.split("\n\n")[-1].split(), table.stdout.split("\n\n")[0].split())
        self.assert_refused(self.kvcast("fit", "mine.csv", "--details", "--format", "json"), 2, "--details", "table")

    def test_a_report_is_shown_again(self):
        brief = self.kvcast("report", self.run_dir, "--to", "table")
        self.assertEqual((brief.returncode, brief.stderr), (0, ""))
        self.assertLessEqual(brief.stdout.count("\n"), 25)
        self.assertLessEqual(max(map(len, brief.stdout.splitlines())), 80)
        details = self.kvcast("report", self.run_dir, "--to", "table", "--details")
        self.assertGreater(details.stdout.count("\n"), 50)
        self.assert_refused(self.kvcast("report", self.run_dir, "--details"), 2, "--details", "--to table")

    def test_refit_of_a_run_gives_its_fit(self):
        report = json.loads((self.run_dir / "report.json").read_text())
        for path in (self.run_dir, self.run_dir / "report.json"):
            again = json.loads(self.kvcast("fit", path, "--format", "json").stdout)
            for key in ("points", "fits", "composition"):
                self.assertEqual(again["cases"][0][key], report["cases"][0][key], key)
            self.assertEqual(again["machine"], report["machine"])
        alone = json.loads(self.kvcast("fit", self.run_dir / "samples.csv", "--format", "json").stdout)
        self.assertEqual(alone["cases"][0]["fits"]["shared"]["r"], report["cases"][0]["fits"]["shared"]["r"])

    def test_report_in_other_formats(self):
        shutil.copytree(self.run_dir, self.dir / "run")
        for name in ("report.html", "report.md"):
            (self.dir / "run" / name).unlink(missing_ok=True)
        done = self.kvcast("report", "run", "--to", "md,html")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        for name in ("report.html", "report.md"):
            self.assertTrue((self.dir / "run" / name).stat().st_size > 0, name)
        page = self.kvcast("report", "run/report.json", "--to", "html", "-o", "-")
        self.assertEqual(page.returncode, 0, page.stderr)
        self.assertEqual(page.stdout, (self.dir / "run/report.html").read_text())

    def test_several_reports_on_one_page_only(self):
        shutil.copytree(self.run_dir, self.dir / "a")
        shutil.copytree(self.run_dir, self.dir / "b")
        for formats in (["--to", "md"], ["--to", "md,html"], []):
            done = self.kvcast("report", "a", "b", *formats)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--to", done.stderr)
        done = self.kvcast("report", "a", "b", "--to", "html")
        self.assertEqual((done.returncode, done.stderr), (0, "wrote ./report.html\n"))
        page = (self.dir / "report.html").read_text()
        names = [one["name"] for one in json.loads(page.split('id="data">')[1].split("</script>")[0])["reports"]]
        self.assertEqual(names, ["a", "b"])
        self.assertEqual(self.kvcast("report", "a", "none", "--to", "html").returncode, 3)

    def test_output_folder(self):
        result = self.kvcast("fit", self.run_dir, "-o", "out/deep", "--format", "csv")
        self.assertEqual(result.returncode, 0, result.stderr)
        written = {path.name for path in (self.dir / "out/deep").iterdir()}
        self.assertEqual(written, {"report.html", "report.json", "report.md", "report.xlsx", "samples.csv",
                                   "summary.csv"})
        self.assertEqual((self.dir / "out/deep/samples.csv").read_bytes(), (self.run_dir / "samples.csv").read_bytes())
        line, = [line for line in result.stderr.splitlines() if line.startswith("wrote ")]
        self.assertRegex(line, r"^wrote out/deep/\{report\.json,.*\}$")
        self.assertEqual(set(line.split("{")[1].rstrip("}").split(",")), written)
        quiet = self.kvcast("fit", self.run_dir, "-q")
        self.assertEqual((quiet.returncode, quiet.stderr), (0, ""))

    def test_a_finished_result_is_written_over_only_when_asked_for(self):
        self.write("mine.csv", HEAD + "1,1,1\n5,5,1.2\n10,10,1.5\n")
        self.assertEqual(self.kvcast("fit", "mine.csv", "-q", "-o", "kept").returncode, 0)
        before = {path.name: path.read_bytes() for path in (self.dir / "kept").iterdir()}
        load = ["--qps", "50", "--history", "100", "--candidates", "10", "--service", "1ms", "--requests", "100"]
        for args in (["fit", "mine.csv"], ["size", "mine.csv", "--p99", "5s"], ["run", "smoke"], ["simulate", *load],
                     ["simulate", "kept", *load[:6], "--requests", "100"], ["merge", "one", "two"], ["replay", "smoke"],
                     ["report", self.run_dir, "--to", "html"]):
            with self.subTest(args=args):
                self.assert_refused(self.kvcast(*args, "-q", "-o", "kept"), 2, "'kept' holds a finished result", "--force")
        self.assertEqual({path.name: path.read_bytes() for path in (self.dir / "kept").iterdir()}, before)
        # What is added to a result goes where it is.
        for args in (["report", "kept", "--to", "md"], ["fit", "kept", "-N", "20"], ["size", "kept", "--p99", "5s"],
                     ["size", "kept/report.json", "--p99", "5s"], ["fit", "mine.csv", "--force"]):
            with self.subTest(args=args):
                self.assertEqual(self.kvcast(*args, "-q", "-o", "kept").returncode, 0)
        self.assertEqual(self.kvcast("report", "kept", "-q", "--to", "csv").returncode, 0)
        self.assertEqual(self.kvcast("run", "smoke", "--dry-run", "-o", "kept").returncode, 0)

    def test_bad_csv(self):
        for text, *parts in (
                (HEAD + "1,1,1\n5,fast,1\n", "mine.csv", "line 3", "'fast'"),
                (HEAD + "5,1\n", "mine.csv", "line 2"),
                (HEAD + "5,-1,1\n", "mine.csv", "line 2", "'-1'"),
                (HEAD + "0,1,1\n", "mine.csv", "line 2", "'0'"),
                ("candidates,naive_seconds\n5,1\n", "mine.csv", "shared_seconds"),
                (HEAD, "mine.csv"),
                (HEAD + "1,1,1\n1,1,1\n", "mine.csv", "only N = 1", "an N above 1")):
            with self.subTest(text=text):
                self.write("mine.csv", text)
                self.assert_refused(self.kvcast("fit", "mine.csv", "-o", "out"), 2, *parts)

    def test_bad_usage(self):
        self.write("mine.csv", planted(0.2))
        self.assert_refused(self.kvcast("fit", "nothing.csv", "-o", "out"), 3, "nothing.csv")
        for args, *parts in ((["-N", "0"], "--candidates", "'0'"), (["-N", "x"], "--candidates", "'x'"),
                             (["--layers", "2"], "--layers", "a grid"), (["-L", "64"], "--history", "a grid"),
                             (["--holdout"], "--holdout", "a grid"), (["--holdout", "2"], "--holdout", "'2'"),
                             (["--seed", "-1"], "seed"), (["--format", "pdf"], "--format", "'pdf'")):
            with self.subTest(args=args):
                self.assert_refused(self.kvcast("fit", "mine.csv", "-o", "out", *args), 2, *parts)


class CompareTest(FitTest):
    def test_no_regression(self):
        result = self.kvcast("compare", self.run_dir, self.run_dir)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("No regression beyond 5%: 6 points", result.stdout.splitlines()[0])
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_regression(self):
        self.write("a.csv", planted(0.2))
        self.write("b.csv", planted(0.2, slower=1.12))
        worse = self.kvcast("compare", "a.csv", "b.csv", "--format", "json")
        self.assertEqual((worse.returncode, worse.stderr), (4, ""))
        document = json.loads(worse.stdout)
        self.assertEqual((document["schema"], document["regression"]), ("kvcast.comparison/1", True))
        for point in document["points"]:
            self.assertEqual(point["regression"], point["scheme"] == "shared")
            self.assertAlmostEqual(point["time_ratio"]["value"], 1.12 if point["scheme"] == "shared" else 1)
        self.assertEqual(self.kvcast("compare", "a.csv", "b.csv").returncode, 4)
        self.assertIn("REGRESSION beyond 5%: 4 of 8 points, largest slow-down 12.0%",
                      self.kvcast("compare", "a.csv", "b.csv").stdout)
        self.assertEqual(self.kvcast("compare", "a.csv", "b.csv", "--threshold", "15%").returncode, 0)
        better = self.kvcast("compare", "b.csv", "a.csv", "--format", "csv")
        self.assertEqual(better.returncode, 0)
        rows = list(csv.DictReader(better.stdout.splitlines()))
        self.assertEqual({row["improvement"] for row in rows if row["scheme"] == "shared"}, {"true"})

    def test_machines(self):
        def other(report):
            report["machine"].update(cpu_model="other CPU")
            report["config"]["run"].update(seed=7)

        self.edited("other", other)
        refused = self.kvcast("compare", self.run_dir, "other")
        self.assert_refused(refused, 2, "CPU: '", "in A, 'other CPU' in B", "--any-machine")
        allowed = self.kvcast("compare", self.run_dir, "other", "--any-machine", "--format", "json")
        self.assertEqual((allowed.returncode, allowed.stderr), (0, ""))
        differences = [one for one in json.loads(allowed.stdout)["differences"] if "usable result" not in one]
        self.assertEqual(len(differences), 2)
        self.assertIn("run.seed: 1 in A, 7 in B", differences)

    def test_refused(self):
        self.write("a.csv", planted(0.2))
        self.write("one.csv", planted(0.2, rounds=1))
        self.assert_refused(self.kvcast("compare", "a.csv", self.run_dir), 2, "in common")
        self.assert_refused(self.kvcast("compare", "a.csv", "one.csv"), 2, "two rounds")
        self.assert_refused(self.kvcast("compare", "a.csv", "none.csv"), 3, "none.csv")
        self.assert_refused(self.kvcast("compare", "a.csv"), 2, "B: is missing", "--across")
        for threshold in ("-1%", "x", "nan"):
            self.assert_refused(self.kvcast("compare", "a.csv", "a.csv", "--threshold", threshold), 2, "--threshold")


def shaped(unit, schemes=("naive", "shared"), counts=(1, 10, 50), factor={}, rounds=6, **shape):
    """samples.csv of one shape. unit: seconds of naive's candidate; factor: of schemes other than shared."""
    fields = {"history_length": 64, "dim": 64, "heads": 4, "kv_heads": 4, "layers": 2, "ffn_factor": 4, "token_merge": 1,
              "query_tokens": "", "candidate_from_layer": 0, "dtype": "fp32", "kv_dtype": "fp32", "threads": 2,
              "mask": "causal", "trim": "true", "head_width": "", "head_layers": 2} | shape
    rows = [",".join(fields) + ",candidates,scheme,round,status,measured_seconds,measured_candidates,prefill_s,"
            "scoring_s,canary_ratio,canary_gflops"]
    for n in counts:
        for k in range(rounds):
            wobble = unit * (1 + 0.01 * (k % 3))
            for scheme in schemes:
                seconds = wobble * (n if scheme == "naive" else (1 + 0.1 * n) * factor.get(scheme, 1))
                rows.append(",".join(map(str, fields.values())) +
                            f",{n},{scheme},{k},measured,{seconds!r},{n},,,1,100")
    return "\n".join(rows) + "\n"


class AcrossTest(FitTest):
    def across(self, *args, code=0):
        result = self.kvcast("compare", *args, "--format", "json")
        self.assertEqual(result.returncode, code, result.stderr)
        return json.loads(result.stdout)

    def test_a_field_of_the_shape(self):
        self.write("a.csv", shaped(1e-3))
        for field, change, words in (("dtype", {"dtype": "bf16", "kv_dtype": "bf16"}, ("fp32", "bf16")),
                                     ("kv_dtype", {"kv_dtype": "bf16"}, ("kv_dtype=fp32", "kv_dtype=bf16")),
                                     ("threads", {"threads": 4}, ("threads=2", "threads=4")),
                                     ("heads", {"heads": 2, "kv_heads": 2}, ("heads=4", "heads=2")),
                                     ("kv-heads", {"kv_heads": 1}, ("kv_heads=4", "kv_heads=1")),
                                     ("L", {"history_length": 32}, ("L=64", "L=32")),
                                     ("layers", {"layers": 1}, ("layers=2", "layers=1")),
                                     ("layout", {"mask": "history-blind"}, ("causal", "history-blind")),
                                     ("query_tokens", {"query_tokens": 8}, ("query_tokens=none", "query_tokens=8")),
                                     ("shape", {"dim": 32, "layers": 1}, ("d=64, layers=2", "d=32, layers=1"))):
            with self.subTest(field=field):
                self.write("b.csv", shaped(1e-3 / 1.8, **change))
                document = self.across("a.csv", "b.csv", "--across", field)
                self.assertRegex(document["answer"], rf"^{words[1]} is 1\.8\d?x faster at N=50 \[1\.\d+, 1\.\d+\] than "
                                                     rf"{words[0]}, scheme shared$")
                self.assertEqual({(p["in_a"], p["in_b"]) for p in document["points"]}, {words})
                self.assertEqual({p["candidates"] for p in document["points"]}, {1, 10, 50})
                for point in document["points"]:
                    self.assertAlmostEqual(point["time_ratio"]["value"], 1 / 1.8)
                    self.assertFalse(point["regression"] or point["improvement"])
                # The other way round it is slower, and that is no regression.
                back = self.across("b.csv", "a.csv", "--across", field)
                self.assertRegex(back["answer"], rf"^{words[0]} is 1\.8\d?x slower at N=50 ")
                self.assertFalse(back["regression"])
                table = self.kvcast("compare", "a.csv", "b.csv", "--across", field).stdout
                self.assertEqual(" ".join(table.split("\n\n")[0].splitlines()), document["answer"] + ".")
                self.assertIn(f"A {words[0]}, B {words[1]}\n", table)
                rows = list(csv.DictReader(self.kvcast("compare", "a.csv", "b.csv", "--across", field, "--format", "csv")
                                           .stdout.splitlines()))
                self.assertEqual({(row["in_a"], row["in_b"]) for row in rows}, {words})
                markdown = self.kvcast("compare", "a.csv", "b.csv", "--across", field, "--format", "md").stdout
                self.assertIn(f"**{document['answer']}.**", markdown)
        # Like with like they have nothing in common, as before.
        self.assert_refused(self.kvcast("compare", "a.csv", "b.csv"), 2, "in common")

    def test_schemes(self):
        self.write("a.csv", shaped(1e-3))
        self.write("b.csv", shaped(1e-3, schemes=("naive", "packed"), factor={"packed": 1.25}))
        answer = r"^packed is 1\.25x slower at N=50 \[1\.\d+, 1\.\d+\] than shared$"
        self.assertRegex(self.across("a.csv", "b.csv", "--across", "schemes")["answer"], answer)
        self.write("both.csv", shaped(1e-3, schemes=("naive", "shared", "packed", "shared-copy"),
                                      factor={"packed": 1.25, "shared-copy": 2}))
        alone = self.across("both.csv", "--across", "scheme")
        self.assertEqual(len({frozenset((p["in_a"], p["in_b"])) for p in alone["points"]}), 3)
        self.assertEqual(self.across("both.csv", "both.csv", "--across", "schemes"), alone)
        # Timings that tell no shape have schemes all the same.
        self.write("mine.csv", planted(0.2))
        self.assertEqual(self.across("mine.csv", "--across", "schemes")["across"], "schemes")

    def test_within_a_grid_every_two_once(self):
        grid = shaped(1e-3) + "".join(
            shaped(1e-3 * k, layers=2 * k).split("\n", 1)[1] for k in (2, 4))
        self.write("grid.csv", grid)
        document = self.across("grid.csv", "--across", "layers")
        self.assertEqual({(p["in_a"], p["in_b"]) for p in document["points"]},
                         {("layers=2", "layers=4"), ("layers=2", "layers=8"), ("layers=4", "layers=8")})

    def test_refused(self):
        self.write("a.csv", shaped(1e-3))
        self.write("b.csv", shaped(1e-3, layers=4, dtype="bf16", kv_dtype="bf16"))
        self.write("own.csv", planted(0.2))
        self.write("far.csv", shaped(1e-3, counts=(2, 3), dtype="bf16", kv_dtype="bf16"))
        for args, parts in ((["a.csv", "b.csv", "--across", "dtype"], ["differ in more than dtype", "layers=2 in A, layers=4 in B"]),
                            (["a.csv", "b.csv", "--across", "threads"], ["do not differ in threads: threads=2", "fp32", "bf16"]),
                            (["a.csv", "a.csv", "--across", "dtype"], ["do not differ in dtype: fp32"]),
                            (["a.csv", "--across", "dtype"], ["do not differ in dtype: fp32"]),
                            (["a.csv", "--across", "shape"], ["no two shapes"]),
                            (["a.csv", "b.csv", "--across", "schemes"], ["differ in their shape", "layers=4"]),
                            (["own.csv", "a.csv", "--across", "dtype"], ["record their shape"]),
                            (["a.csv", "far.csv", "--across", "dtype"], ["in common", "same N"]),
                            (["a.csv", "b.csv", "--across", "colour"], ["--across: 'colour' is unknown", "dtype", "schemes", "layers"]),
                            (["a.csv", "b.csv", "--across", ""], ["--across"]),
                            (["a.csv", "b.csv", "--across", "shape", "--threshold", "5%"], ["--threshold"])):
            with self.subTest(args=args):
                self.assert_refused(self.kvcast("compare", *args), 2, *parts)
        self.assertEqual(self.across("a.csv", "b.csv", "--across", "shape")["points"][0]["in_b"], "layers=4, bf16")

    def test_on_the_page(self):
        self.write("fp32.csv", shaped(1e-3))
        self.write("bf16.csv", shaped(1e-3 / 1.8, dtype="bf16", kv_dtype="bf16"))
        for name in ("fp32", "bf16"):
            self.assertEqual(self.kvcast("fit", f"{name}.csv", "-q", "-o", name).returncode, 0)
        page = self.kvcast("report", "fp32", "bf16", "--to", "html", "-o", "-").stdout
        reports = json.loads(page.split('id="data">')[1].split("</script>")[0])["reports"]
        self.assertEqual([one["title"] for one in reports], ["fp32", "bf16"])
        self.assertEqual(reports[0]["compared"], "")
        self.assertRegex(reports[1]["compared"], r"^bf16 is 1\.8\d?x faster at N=50 ")
        # Nothing tells two runs of the same apart but their names.
        page = self.kvcast("report", "fp32", "fp32", "--to", "html", "-o", "-").stdout
        same = json.loads(page.split('id="data">')[1].split("</script>")[0])["reports"]
        self.assertEqual([(one["title"], one["compared"]) for one in same], [("", ""), ("", "")])


class MergeTest(FitTest):
    def shard(self, name, index, history, count=2, change=lambda report: None):
        def change_report(report):
            report["config"]["sweep"] = {"history_length": [64, 128], "layers": "auto"}
            report["shard"] = {"index": index, "count": count}
            report["cases"][0]["shape"]["history_length"] = history
            change(report)

        return self.edited(name, change_report, lambda row: row.update(history_length=history))

    def test_merge(self):
        self.shard("two", 2, 128)
        self.shard("one", 1, 64)
        result = self.kvcast("merge", "two", "one", "-o", "out", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        merged = json.loads(result.stdout)
        self.assertEqual([case["shape"]["history_length"] for case in merged["cases"]], [64, 128])
        self.assertIsNone(merged["shard"])
        single = json.loads((self.run_dir / "report.json").read_text())
        for case in merged["cases"]:
            self.assertEqual(case["fits"]["shared"]["r"], single["cases"][0]["fits"]["shared"]["r"])
            self.assertEqual(case["machine"], single["machine"])
        self.assertEqual(merged["machine"], single["machine"])
        # What was merged is a report as any other.
        again = self.kvcast("fit", "out", "--format", "json")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual([c["fits"] for c in json.loads(again.stdout)["cases"]], [c["fits"] for c in merged["cases"]])

    def test_refused(self):
        self.shard("one", 1, 64)
        self.shard("two", 2, 128)
        self.shard("again", 2, 128)
        self.shard("newer", 2, 128, change=lambda report: report["tool"].update(version="99.0"))
        self.shard("longer", 2, 128, change=lambda report: report["config"]["measure"].update(budget="3s"))
        self.shard("stopped", 2, 128, change=lambda report: report["conditions"].update(stopped_by="interrupt"))
        self.shard("whole", 2, 128, change=lambda report: report.update(shard=None))
        for folders, *parts in ((["one"], "one", "a gap", "2/2"), (["one", "two", "again"], "again", "overlaps", "2/2"),
                                (["one", "newer"], "newer", "version '99.0'"),
                                (["one", "longer"], "longer", "measure.budget"),
                                (["one", "stopped"], "stopped", "interrupted"),
                                (["one", "whole"], "whole", "not a part")):
            with self.subTest(folders=folders):
                self.assert_refused(self.kvcast("merge", *folders, "-o", "out"), 2, *parts)
        (self.dir / "two/journal.jsonl").write_text("")
        self.assert_refused(self.kvcast("merge", "one", "two", "-o", "out"), 2, "two", "unfinished")
        self.assert_refused(self.kvcast("merge", "one", "nowhere", "-o", "out"), 3, "nowhere")
        self.assert_refused(self.kvcast("merge", "-o", "out"), 2, "see kvcast merge --help")


if __name__ == "__main__":
    unittest.main(verbosity=2)
