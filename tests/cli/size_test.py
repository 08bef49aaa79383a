#!/usr/bin/env python3
"""Runs kvcast size of the real binary: on r alone, on a CSV with planted times, and on one small run.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test judges a time that was measured.
"""
import csv
import io
import json
import os
import tempfile
import unittest
from pathlib import Path

import jsonschema

from load import run_beside_others

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TIMEOUT_S = 180


def kvcast(*args, cwd):
    return run_beside_others(BIN, *args, cwd=cwd, timeout=TIMEOUT_S)


def planted(r, naive_s=0.001, rounds=4):
    """A CSV of one's own: shared follows r exactly but for 0.1% between rounds."""
    rows = [f"{n},{n * naive_s * (1 + 0.001 * (k % 2))},{(1 + (n - 1) * r) * naive_s * (1 + 0.001 * (k % 2))}"
            for n in (1, 5, 20, 100) for k in range(rounds)]
    return "candidates,naive_seconds,shared_seconds\n" + "\n".join(rows) + "\n"


def planted_grid(lengths=(32, 64, 128), layers=(1, 2), counts=(1, 5, 10)):
    """samples.csv of a grid in which every shape is off by its own factor from what its FLOPs take."""
    rows = ["history_length,dim,heads,kv_heads,layers,ffn_factor,token_merge,query_tokens,candidate_from_layer,dtype,"
            "kv_dtype,threads,mask,trim,head_width,head_layers,candidates,scheme,round,status,measured_seconds,"
            "measured_candidates,prefill_s,scoring_s,canary_ratio,canary_gflops"]
    off = 0
    for depth in layers:
        for length in lengths:
            off = (off + 5) % 7
            position = depth * (24 * 64 * 64 + 4 * length * 64) * 1e-11
            for n in counts:
                for k in range(4):
                    shape = f"{length},64,4,4,{depth},4,1,,0,fp32,fp32,1,causal,true,,2"
                    wobble = 1 + 0.002 * (k % 2)
                    user, each = (wobble * (0.88 + 0.04 * off) * x for x in
                                  (2e-5 * depth + length * position, 2e-5 * depth + n * position))
                    naive = wobble * n * (2e-5 * depth + (length + 1) * position)
                    rows += [f"{shape},{n},naive,{k},measured,{naive!r},{n},,,1,100",
                             f"{shape},{n},shared,{k},measured,{user + each!r},{n},{user!r},{each!r},1,100"]
    return "\n".join(rows) + "\n"


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="kvcast_size_")
    unittest.addModuleCleanup(folder.cleanup)
    run = kvcast("run", "smoke", "--schemes", "naive,shared,shared-copy", "--budget", "8s", "--precision", "20%", "-q",
                 "-o", "run", cwd=folder.name)
    assert run.returncode == 0, run.stderr
    SizeTest.run_dir = Path(folder.name) / "run"


class SizeTest(unittest.TestCase):
    run_dir = None  # of the one small run

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_size_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        (self.dir / "gpu.csv").write_text(planted(0.1))

    def kvcast(self, *args):
        return kvcast("size", *args, cwd=self.dir)

    def sizing(self, *args, exit_code=0):
        result = self.kvcast(*args, "--format", "json")
        self.assertEqual(result.returncode, exit_code, result.stderr)
        return json.loads(result.stdout)["sizing"]

    def refused(self, *args):
        result = self.kvcast(*args)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def test_the_design_notes_tables(self):
        result = self.kvcast("--r", "0.15", "--drop", "40")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, (SOURCE / "tests/golden/approved/seed.table.txt").read_text())
        self.assertEqual(result.stderr, "")
        # A percentage and a fraction of r, and a drop with its sign, are the same.
        self.assertEqual(self.kvcast("--r", "15%", "--drop", "40%").stdout, result.stdout)

    def test_a_heavy_tail_is_named_and_may_be_replaced(self):
        rows = [f"{n},{0.001 * n},{(1 + (n - 1) * 0.1) * 0.001 * (25 if k % 20 == 7 else 1)}"
                for n in (1, 5, 20, 100) for k in range(40)]
        (self.dir / "tail.csv").write_text("candidates,naive_seconds,shared_seconds\n" + "\n".join(rows) + "\n")
        result = self.kvcast("tail.csv", "--p99", "10ms", "-q")
        self.assertEqual(result.returncode, 4)
        self.assertRegex(result.stderr, r"one candidate takes [0-9.]+ ms \(P99 of a service is 1[0-9.]+x the mean\)")
        sizing = self.sizing("tail.csv", "--p99", "10ms", exit_code=4)
        self.assertRegex(" ".join(sizing["notes"]), r"P99 of the timings is 1[0-9.]+ times their mean; --tail 1.3")
        for tail in ("1", "1.3"):
            sizing = self.sizing("tail.csv", "--p99", "10ms", "--tail", tail)
            self.assertGreater(sizing["expected_candidates"], 10)
            inputs = {row["name"]: row for row in sizing["inputs"]}
            if tail != "1":
                self.assertAlmostEqual(inputs["p99_over_mean"]["value"], 1.3, delta=0.01)
                self.assertEqual(inputs["p99_over_mean"]["source"], "assumed")
        self.assertIn("out of range", self.refused("tail.csv", "--p99", "10ms", "--tail", "0.5"))

    def test_the_answer_comes_first(self):
        result = self.kvcast("gpu.csv", "--p99", "6ms")
        self.assertEqual(result.returncode, 0, result.stderr)
        first = " ".join(result.stdout.split("\n\n")[0].splitlines())
        self.assertRegex(first, r"^At P99 6\.00 ms score up to N = 5[01] \(conservative: \d+\); P99 latency binds")
        self.assertTrue(all(len(line) <= 80 for line in result.stdout.splitlines()))
        self.assertLessEqual(result.stdout.count("\n"), 25)
        details = self.kvcast("gpu.csv", "--p99", "6ms", "--details").stdout
        self.assertLess(details.index("budgets"), details.index("alternatives"))
        self.assertLess(details.index("alternatives"), details.index("sensitivity"))
        self.assertTrue(all(len(line) <= 100 for line in details.splitlines()))
        self.assertTrue(details.endswith("\n\n" + details.split("\n\n")[0] + "\n"))
        markdown = self.kvcast("gpu.csv", "--p99", "6ms", "--format", "md").stdout
        self.assertTrue(markdown.startswith("## Queue sizing\n\n**At P99 6.00 ms score up to N = 5"))
        self.assertIn("\n| budget | limit |", markdown)

    def test_budgets_in_any_unit_give_the_same_answer(self):
        common = ["gpu.csv", "--shape", "smoke", "--workers", "4"]
        answers = [self.sizing(*common, "--p99", p99, "--memory", memory, "--qps", qps)
                   for p99, memory, qps in (("6ms", "1GiB", "200"), ("6.0 ms", "1024MiB", "200/s"),
                                            ("6000us", "1073741824", "12000/min"), ("0.006s", "1048576KiB", "720000/h"))]
        for other in answers[1:]:
            self.assertEqual(other, answers[0])
        self.assertGreater(answers[0]["expected_candidates"], 1)

    def test_smaller_budgets_never_give_more(self):
        def expected(**budgets):
            flags = [part for name, value in budgets.items() for part in ("--" + name, value)]
            result = self.kvcast("gpu.csv", "--shape", "smoke", "--format", "json", *flags)
            self.assertIn(result.returncode, (0, 4))
            return json.loads(result.stdout)["sizing"]["expected_candidates"]
        for name, values in (("p99", ("100ms", "20ms", "5ms", "1ms", "10us")),
                             ("memory", ("8GiB", "100MiB", "20MiB", "1MiB")),
                             ("qps", ("1", "10", "100", "500", "2000"))):
            found = [expected(**{name: value}) for value in values]
            self.assertEqual(found, sorted(found, reverse=True), name)
            self.assertEqual(found[-1], 0, name)
            self.assertGreater(found[0], 1, name)

    def frontier(self, *args):
        """Expected and conservative N by L, and the lines of the table."""
        sizing = json.loads(self.kvcast("grid.csv", *args, "--format", "json").stdout)["sizing"]
        rows = [row for row in sizing["frontiers"] if row["axis"] == "history_length"]
        table = self.kvcast("grid.csv", *args, "--details").stdout.split("N against history length ==\n")[1]
        return sizing, rows, table.strip("\n").split("\n\n")[0].split("-\n")[-1].splitlines()

    def test_n_falls_with_the_history_by_one_model(self):
        shapes = (["--layers", "2", "-L", "48"], ["--layers", "2", "-L", "64"], ["--layers", "1", "-L", "64"],
                  ["--layers", "3", "-L", "20"], [])
        budgets = (["--p99", "5ms", "--extrapolate"], ["--p99", "5ms"], ["--p99", "0.35ms"])
        for counts in ((1, 5, 10), (1, 5, 10, 50)):
            (self.dir / "grid.csv").write_text(planted_grid(counts=counts))
            for args in (shape + budget for shape in shapes for budget in budgets[:3 if shape == shapes[0] else 1]):
                with self.subTest(counts=counts, args=args):
                    sizing, rows, lines = self.frontier(*args)
                    expected = [row["expected_candidates"] for row in rows]
                    self.assertEqual(expected, sorted(expected, reverse=True))
                    safe = [row["conservative_candidates"] for row in rows]
                    self.assertEqual(len({value is None for value in safe}), 1, safe)
                    if safe[0] is not None:
                        self.assertEqual(safe, sorted(safe, reverse=True))
                        self.assertTrue(all(s <= n for s, n in zip(safe, expected)), rows)
                    own = next(row for row in rows if row["at"] == sizing["history_length"])
                    self.assertEqual(own["expected_candidates"], sizing["expected_candidates"])
                    self.assertEqual(own["conservative_candidates"], sizing["conservative_candidates"])
                    # Unknown is -, never "no limit"; and what is only known to be so many, "at least".
                    self.assertEqual([row["expected_candidates"] == row["known_to"] for row in rows],
                                     ["at least" in line for line in lines])
                    self.assertEqual(len(lines), len(rows))
                    for line, row in zip(lines, rows):
                        cells = line.split("  ")
                        cells = [cell.strip() for cell in cells if cell.strip()]
                        self.assertNotIn("no limit", line)
                        self.assertEqual(cells[2] == "-", row["conservative_candidates"] is None, line)
                    # The same figure in both places.
                    for row in sizing["parameters"]:
                        if row["name"] == "L":
                            same = next(r for r in rows if r["at"] == float(row["to"]))
                            self.assertEqual(row["expected_candidates"], same["expected_candidates"])

    def test_without_a_surface_measured_lengths_stand_as_they_are(self):
        (self.dir / "grid.csv").write_text(planted_grid(lengths=(32, 128), layers=(2,), counts=(1, 5, 10, 50)))
        budget = ["--p99", "5ms", "--extrapolate"]
        alone = {length: self.sizing("grid.csv", *budget, "-L", length)["expected_candidates"] for length in (32, 128)}
        _, rows, lines = self.frontier(*budget, "-L", "32")
        found = {row["at"]: row for row in rows}
        self.assertEqual({length: found[length]["expected_candidates"] for length in (32, 128)}, alone)
        expected = [row["expected_candidates"] for row in rows]
        self.assertEqual(expected, sorted(expected, reverse=True))
        self.assertLess(found[64]["expected_candidates"], alone[32])
        self.assertGreater(found[64]["expected_candidates"], alone[128])
        # By FLOPs nobody knows the error.
        self.assertEqual([row["conservative_candidates"] for row in rows if row["source"] == "assumed"], [None, None])
        self.assertRegex(lines[0], r"^ +8 +[\d,]+ +- ")

    def test_more_threads_than_cpus_is_said_under_the_answer(self):
        (self.dir / "one.csv").write_text(planted_grid(lengths=(64,), layers=(2,), counts=(1, 5, 10, 50)))
        self.assertEqual(kvcast("fit", "one.csv", "-q", "-o", "one", cwd=self.dir).returncode, 0)
        report = json.loads((self.dir / "one/report.json").read_text())
        report["machine"] = {"cpu_model": "CPU", "isa": "AVX2", "dense_isa": "AVX2", "threads": 4, "memory_bytes": None,
                             "peak_gflops": None, "bf16_peak_gflops": None, "read_gb_per_s": None}
        (self.dir / "one/report.json").write_text(json.dumps(report))
        words = "5 workers of 1 thread need more than the 4 CPUs of the measured machine"
        for args in (["--p99", "10ms"], ["--p99", "1us"], ["--qps", "1"], ["--min-improvement", "10"], []):
            with self.subTest(args=args):
                table = self.kvcast("one", "--workers", 5, *args).stdout
                self.assertIn(words, " ".join(table.split("\nsized ")[0].split()))
                self.assertLess(table[:table.index("5 workers of")].count("\n"), 5)
                markdown = self.kvcast("one", "--workers", 5, *args, "--format", "md").stdout
                self.assertIn("> " + words, markdown.split("\n\n")[2])
                document = json.loads(self.kvcast("one", "--workers", 5, *args, "--format", "json").stdout)
                self.assertEqual(len(document["sizing"]["caveats"]), 1)
                self.assertEqual(json.loads(self.kvcast("one", "--workers", 4, *args, "--format", "json").stdout)
                                 ["sizing"]["caveats"], [])

    def test_the_smallest_n_worth_it(self):
        sizing = self.sizing("gpu.csv", "--min-improvement", "60", "--p99", "6ms")
        self.assertEqual(sizing["min_candidates"], 3)  # 0.9 * 2/3 = 60%
        self.assertGreater(sizing["expected_candidates"], 3)
        row = next(row for row in sizing["inputs"] if row["name"] == "min_improvement")
        self.assertEqual((row["candidates_less"], row["candidates_more"]), (3, 4))
        # Worth it only beyond what the latency allows.
        result = self.kvcast("gpu.csv", "--min-improvement", "80", "--p99", "1.5ms")
        self.assertEqual(result.returncode, 4)
        self.assertIn("an improvement of 80.0% takes N = 9, and P99 latency allows", result.stdout.replace("\n", " "))

    def test_infeasible_is_exit_4_with_the_reason(self):
        result = self.kvcast("gpu.csv", "--p99", "0.5ms", "-o", "out")
        self.assertEqual(result.returncode, 4)
        self.assertTrue(result.stdout.startswith("Infeasible: P99 latency: one candidate takes 1.00 ms"), result.stdout)
        self.assertIn("kvcast: infeasible: P99 latency: one candidate takes", result.stderr)
        self.assertIn("Smallest change: raise P99 latency from 500 us to", result.stderr)
        report = json.loads((self.dir / "out/report.json").read_text())
        self.assertFalse(report["sizing"]["feasible"])
        # The change that it names does it.
        change = report["sizing"]["changes"][0]
        self.assertTrue(change["suffices"])
        self.assertEqual(self.kvcast("gpu.csv", "--p99", f"{change['to'] * 1.00001}s").returncode, 0)
        self.assertEqual(self.kvcast("--r", "0.5", "--min-improvement", "60").returncode, 4)
        both = self.sizing("gpu.csv", "--p99", "0.5ms", "--shape", "smoke", "--memory", "1kB", exit_code=4)
        self.assertFalse(both["changes"][0]["suffices"])
        self.assertEqual({row["input"] for row in both["changes"]}, {"p99", "memory"})

    def test_a_run_with_every_budget(self):
        result = self.kvcast(self.run_dir, "--p99", "10s", "--memory", "2GiB", "--qps", "0.01", "--workers", "2",
                             "--users-cached", "100", "--drop", "40", "--target-drop", "20", "--price-per-hour", "2",
                             "-N", "7,70", "--extrapolate", "-o", "sized")
        self.assertEqual(result.returncode, 0, result.stderr)
        # A screen, with every budget, a caveat and a drop somewhat more; then the answer again.
        self.assertLessEqual(result.stdout.count("\n"), 32)
        self.assertEqual([line for line in result.stdout.splitlines() if len(line) > 80], [])
        details = self.kvcast(self.run_dir, "--p99", "10s", "--memory", "2GiB", "--workers", "2", "--details").stdout
        self.assertIn("no contention assumed", details)
        self.assertEqual([line for line in details.splitlines() if len(line) > 100], [])
        self.assertIn("resident memory measured", details.replace("\n", " "))
        report = json.loads((self.dir / "sized/report.json").read_text())
        schema = json.loads((SOURCE / "docs/report.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(report)
        sizing = report["sizing"]
        self.assertEqual([row["name"] for row in sizing["budgets"]], ["p99", "memory", "qps"])
        # Preset smoke has three N, which give no interval of the time.
        self.assertLessEqual(sizing["conservative_candidates"] or 0, sizing["expected_candidates"])
        for row in sizing["budgets"]:
            self.assertLessEqual(sizing["expected_candidates"], row["expected_candidates"] or 10**9)
        shown = {row["candidates"] for row in sizing["points"]}
        # On a busy machine ten candidates may not tell what one more costs; then nothing beyond them is said.
        known = sizing["known_to"] or 10**9
        self.assertLessEqual({n for n in (1, 5, 7, 10, 50, 70, 100, 1000) if n <= known}, shown)
        self.assertEqual({row["axis"] for row in sizing["frontiers"]}, {"history_length", "p99", "memory", "qps"})
        if sizing["known_to"] is None:
            self.assertEqual({row["name"] for row in sizing["parameters"]} - {"dtype"}, {"L", "layers", "d", "threads"})
        self.assertEqual(len(sizing["drop_targets"]), 2)
        self.assertTrue(any(row["scheme"] == "naive" and row["cost_per_million"] for row in sizing["fleet"]))
        for name in ("sizing.csv", "sizing.md", "samples.csv", "summary.csv"):
            self.assertTrue((self.dir / "sized" / name).exists(), name)
        # What was written is sized again: the answer is the same.
        again = self.sizing("sized", "--p99", "10s", "--memory", "2GiB", "--qps", "0.01", "--workers", "2",
                            "--users-cached", "100", "--extrapolate")
        self.assertEqual(again["expected_candidates"], sizing["expected_candidates"])
        # A fit of it has no sizing: it would be of other fits.
        fitted = kvcast("fit", "sized", "--format", "json", cwd=self.dir)
        self.assertIsNone(json.loads(fitted.stdout)["sizing"])

    def report(self, *args):
        return kvcast("report", *args, cwd=self.dir)

    def test_a_report_is_rendered_again_without_measuring(self):
        printed = self.report(self.run_dir, "-o", "-")
        self.assertEqual(printed.returncode, 0, printed.stderr)
        self.assertEqual(printed.stdout, (self.run_dir / "report.md").read_text())
        result = self.report(self.run_dir, "--to", "json,md,csv,samples.csv", "-o", "again")
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("report.json", "report.md", "summary.csv", "samples.csv"):
            self.assertEqual((self.dir / "again" / name).read_bytes(), (self.run_dir / name).read_bytes(), name)
            self.assertIn(name, result.stderr)
        # A report.json alone will do, and keeps a sizing.
        self.assertEqual(self.kvcast("gpu.csv", "--p99", "6ms", "-o", "sized").returncode, 0)
        (self.dir / "alone").mkdir()
        (self.dir / "alone/r.json").write_text((self.dir / "sized/report.json").read_text())
        self.assertEqual(self.report("alone/r.json", "-q").stderr, "")
        self.assertIn("## Queue sizing", (self.dir / "alone/report.md").read_text())

    def test_what_is_no_report_is_refused(self):
        (self.dir / "broken.json").write_text("{")
        for args, code, text in ((["gpu.csv"], 2, "gpu.csv"), (["broken.json"], 2, "broken.json"), (["none"], 3, "none"),
                                 ([self.run_dir, "--to", "pdf"], 2, "--to: 'pdf' is unknown"),
                                 ([self.run_dir, "--to", "md,csv", "-o", "-"], 2, "takes one format")):
            result = self.report(*args, *([] if "-o" in args else ["-o", "new"]))
            self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
            self.assertIn(text, result.stderr)
            self.assertFalse((self.dir / "new").exists())

    def test_every_number_of_the_csv_has_a_source(self):
        result = self.kvcast("gpu.csv", "--p99", "6ms", "--drop", "40", "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        self.assertGreater(len(rows), 300)
        for row in rows:
            self.assertIn(row["source"], ("fitted", "extrapolated", "computed", "assumed", "measured"), row)
            for part in ("value", "lo", "hi"):
                if row[part]:
                    float(row[part])
        limit = [row for row in rows if row["section"] == "budgets" and row["quantity"] == "limit"]
        self.assertEqual([(row["item"], float(row["value"]), row["unit"]) for row in limit], [("p99", 0.006, "s")])

    def test_bad_input_is_one_line_and_exit_2(self):
        for args, text in ((["--r", "0.15", "--p99", "50ms"], "--p99: r alone gives ratios, not times"),
                           (["gpu.csv", "--p99", "0"], "--p99: '0' is out of range"),
                           (["gpu.csv", "--p99", "fast"], "--p99:"),
                           (["gpu.csv", "--qps", "5/day"], "--qps: '5/day' has no known unit"),
                           (["gpu.csv", "--qps", "-3"], "--qps:"),
                           (["gpu.csv", "--memory", "8QiB"], "--memory:"),
                           (["gpu.csv", "--memory", "8GiB"], "add --shape PRESET|FILE"),
                           (["gpu.csv", "--shape", "seeed", "--memory", "8GiB"], "seeed"),
                           (["gpu.csv", "--drop", "0.4"], "could be a fraction or a percentage"),
                           (["gpu.csv", "--drop", "140"], "--drop: '140' is out of range"),
                           (["gpu.csv", "--workers", "0"], "--workers: '0' is out of range"),
                           (["gpu.csv", "--workers", "many"], "--workers"),
                           (["gpu.csv", "-L", "64"], "--history:"),
                           (["gpu.csv", "--scheme", "packed"], "--scheme:"),
                           (["gpu.csv", "--r", "0.1"], "--r: r comes from gpu.csv"),
                           (["gpu.csv", "--format", "xml"], "--format"),
                           ([self.run_dir, "-L", "64,128"], "is a list"),
                           ([self.run_dir, "-L", "777"], "was not measured"),
                           ([self.run_dir, "--scheme", "cached"], "follows no law of r"),
                           ([], "nothing to size from")):
            with self.subTest(args=args):
                self.assertIn(text, self.refused(*args, "-o", "new"))
                self.assertFalse((self.dir / "new").exists())
        self.assertEqual(self.kvcast("no-such-file").returncode, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
