#!/usr/bin/env python3
"""What people's files and shells make of timings, traces and flags: read for what they are, or refused in one line.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test judges a time that was measured.
"""
import csv
import gzip
import json
import os
import re
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TIMEOUT_S = 180
ROWS = [(n, n * 0.0021, 0.002 + 0.0006 * n) for n in (1, 5, 20, 100)]
HEAD = ("candidates", "naive_seconds", "shared_seconds")
TRACE_HEAD = ("timestamp_ms", "user_id", "history_len", "n_candidates")
REQUESTS = [(10 * k + 0.5, f"u{k % 7}", 100 + k, 10) for k in range(200)]
COSTS = ("--service", "1ms", "--token-time", "10us", "--candidate-time", "20us", "--token-bytes", "8KiB")


def table(head, rows, separator=",", decimal=".", quote=""):
    """A table as text; `decimal` in its numbers."""
    def cell(value):
        text = f"{value:.7g}" if isinstance(value, float) else str(value)
        return quote + text.replace(".", decimal) + quote
    return "".join(separator.join(cell(value) for value in row) + "\n" for row in [head, *rows])


class InputTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_input_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def kvcast(self, *args, stdin=None):
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        result = subprocess.run([BIN, *map(str, args)], cwd=self.dir, capture_output=True, timeout=TIMEOUT_S, **given)
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        return result

    def write(self, name, content):
        path = self.dir / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def report(self, *args, stdin=None):
        result = self.kvcast(*args, "--format", "json", "-q", stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def refused(self, *args, stdin=None):
        """The one line that exit 2 comes with."""
        result = self.kvcast(*args, stdin=stdin)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def taken_for(self, report):
        return [w["text"] for w in report["warnings"] if w["code"] == "read-as"]

    def fit_of(self, report):
        return report["cases"][0]["fits"]["shared"]["r"]["value"]

    def test_timings_of_any_country_and_program(self):
        """Case 06: what was assumed is said; the numbers are those of the plain file."""
        wanted = self.fit_of(self.report("fit", self.write("plain.csv", table(HEAD, ROWS))))
        plain = table(HEAD, ROWS)
        decimal_comma = ["read with cells separated by semicolons, numbers with a decimal comma"]
        excel = table(HEAD, ROWS, ";", ",")
        cases = {
            "semicolons.csv": (excel, decimal_comma),
            "sep.csv": ("sep=;\r\n" + excel.replace("\n", "\r\n"), decimal_comma),
            "quoted.csv": (table(HEAD, ROWS, ",", ",", '"'), ["read with numbers with a decimal comma"]),
            "tabs.tsv": (table(HEAD, ROWS, "\t"), ["read with cells separated by tabs"]),
            "bars.txt": (table(HEAD, ROWS, "|"), ["read with cells separated by bars (|)"]),
            "empty-rows.csv": (plain + ",,\n,,\n", []),
            "comment.csv": ("# host A\n" + plain, ["read with 1 line that begins with # left out"]),
            "numpy.csv": ("# " + plain, []),
            "wide.csv": (table(HEAD, [], "，") + table(ROWS[0], ROWS[1:]),
                         ["read with names of columns separated by full-width commas (U+FF0C)"]),
            "wide-all.csv": (table(HEAD, ROWS, "，"), ["read with cells separated by full-width commas (U+FF0C)"]),
            "bom.csv": (b"\xef\xbb\xbf" + plain.encode(), []),
            "utf16.txt": (table(HEAD, ROWS, "\t").encode("utf-16"), ["read with cells separated by tabs"]),
            "utf16be.csv": (plain.encode("utf-16-be"), []),
            "plain.csv.gz": (gzip.compress(plain.encode()), []),
            "gzip-by-content.csv": (gzip.compress(excel.encode()), decimal_comma),
            "float-counts.csv": (plain.replace("\n5,", "\n5.0,").replace("\n20,", "\n20.00,"), []),
        }
        for name, (content, taken) in cases.items():
            with self.subTest(name):
                report = self.report("fit", self.write(name, content))
                self.assertEqual(self.taken_for(report), [f"{name}: {what}" for what in taken])
                self.assertAlmostEqual(self.fit_of(report), wanted, places=9)
        said = self.kvcast("size", "semicolons.csv", "--p99", "500ms")
        self.assertIn("semicolons.csv: read with cells separated by semicolons, numbers with a decimal comma",
                      said.stdout + said.stderr)

    def test_timings_that_cannot_be_told(self):
        cases = {
            "either.csv": (table(HEAD, [(1, '"1,234"', '"2,345"')]), "'1,234' in line 2 may be 1.234 or 1234"),
            "both.csv": (table(HEAD, [(1, '"0,5"', "0.5")]), "decimal points and decimal commas: '0.5' in line 2"),
            "spaces.txt": (table(HEAD, ROWS, " "), "separate cells by commas, semicolons or tabs, not by spaces"),
            "one.csv": ("sep=;\n" + table(HEAD, ROWS[:1], ";", ","), "only N = 1 was timed, which says nothing about r (read "
                        "with cells separated by semicolons, numbers with a decimal comma)"),
            "book.xlsx": (b"PK\x03\x04\x14\x00\x06\x00", "is an Excel workbook or another zip archive; save the sheet"),
            "old.csv.zst": (b"\x28\xb5\x2f\xfd\x00\x00", "is compressed with zstd; uncompress it"),
            "cut.csv.gz": (gzip.compress(table(HEAD, ROWS).encode())[:-6], "gzip-compressed and ends too early"),
            "ragged.csv": (table(HEAD, [], ";") + "1,2\n", "line 2: 1 cell, but the header has 3"),
        }
        for name, (content, problem) in cases.items():
            with self.subTest(name):
                line = self.refused("fit", self.write(name, content), "-q")
                self.assertIn(f"{name}: ", line)
                self.assertIn(problem, line)

    def test_units_in_names_of_columns(self):
        """Case 07: never a thousand times off, and never told to rename."""
        wanted = self.fit_of(self.report("fit", self.write("s.csv", table(HEAD, ROWS))))
        for unit, factor, name in (("ms", 1e3, "milliseconds"), ("mseconds", 1e3, "milliseconds"),
                                   ("useconds", 1e6, "microseconds"), ("ns", 1e9, "nanoseconds")):
            with self.subTest(unit):
                rows = [(n, factor * naive, factor * shared) for n, naive, shared in ROWS]
                head = ("candidates", f"naive_{unit}", f"shared ({unit})")
                report = self.report("fit", self.write("t.csv", table(head, rows)))
                self.assertAlmostEqual(self.fit_of(report), wanted, places=6)
                self.assertEqual(self.taken_for(report),
                                 [f"t.csv: read with 'naive_{unit}' in {name}, 'shared ({unit})' in {name}"])
                naive = report["cases"][0]["points"][0]["schemes"]["naive"]["seconds"]["median"]
                self.assertAlmostEqual(naive, ROWS[0][1], places=9)
        line = self.refused("fit", self.write("t.csv", table(("candidates", "naive", "shared"), ROWS)))
        self.assertIn("the column 'naive' does not name one time unit", line)

    def test_columns_of_ones_own(self):
        plain = self.report("fit", self.write("s.csv", table(HEAD, ROWS)))
        rows = [(f"x{n}", n, 1e3 * naive, 1e3 * shared) for n, naive, shared in ROWS]
        self.write("own.csv", table(("id", "n", "t_full_ms", "t_cached"), rows))
        names = "candidates=n,naive=t_full_ms,shared=t_cached:ms"
        report = self.report("fit", "own.csv", "--columns", names)
        self.assertAlmostEqual(self.fit_of(report), self.fit_of(plain), places=6)
        result = self.kvcast("size", "own.csv", "--columns", names, "--p99", "100ms")
        self.assertEqual(result.returncode, 0, result.stderr)
        for columns, problem in (("candidates=m,naive=t_full_ms,shared=t_cached:ms", "it has 'id', 'n', 't_full_ms'"),
                                 ("candidate=n", "did you mean 'candidates'?"), ("naive=n,shared=n", "both naive and shared"),
                                 ("candidates=n,naive=t_cached,shared=t_full_ms", "'t_cached' does not name one time unit"),
                                 ("n", "names no column")):
            with self.subTest(columns):
                self.assertIn(problem, self.refused("fit", "own.csv", "--columns", columns))
        self.assertIn("--columns: no file is read", self.refused("size", "--r", "0.2", "--columns", names))
        self.own_columns_of_a_fleet(names)
        trace = table(("ts", "uid", "hist_len", "n"), REQUESTS)
        wanted = self.simulated("--trace", self.write("plain.csv", table(TRACE_HEAD, REQUESTS)))
        names = "timestamp=ts,user=uid,history=hist_len,candidates=n"
        traffic = self.simulated("--trace", self.write("log.csv", trace), "--columns", names)
        self.assertEqual(traffic["latencies"], wanted["latencies"])
        line = self.refused("simulate", *COSTS, "--trace", "log.csv")
        self.assertIn("log.csv:1: no column user_id among 'ts,uid,hist_len,n'", line)
        self.assertIn("--columns", line)
        line = self.refused("simulate", *COSTS, "--qps", "10", "--history", "5", "--candidates", "5", "--columns", names)
        self.assertIn("--columns: no trace is read", line)

    def own_columns_of_a_fleet(self, names):
        """simulate PATH: the times of both, told apart from a trace's columns by what they name."""
        fleet = ("--shape", "default", "--workers", "4")
        synthetic = (*fleet, "--qps", "10", "--history", "64", "--candidates", "5", "--requests", "2000")
        def latencies(*args):
            return self.report("simulate", *args)["traffic"]["latencies"]
        self.assertEqual(latencies("own.csv", "--columns", names, *synthetic), latencies("s.csv", *synthetic))
        log = (*fleet, "--trace", self.write("log.csv", table(("ts", "uid", "len", "n"), REQUESTS)),
               "--columns", "timestamp=ts,user=uid,history=len,candidates=n")
        self.assertEqual(latencies("own.csv", *log, "--columns", names), latencies("s.csv", *log))
        for more, problem in ((("own.csv", *synthetic), "--columns"), (("own.csv", *log), "no column"),
                              (("own.csv", *synthetic, "--columns", names, "--columns", names), "given twice"),
                              ((*COSTS, *synthetic[4:], "--columns", names), "fixed times come from no file"),
                              (("s.csv", *log, *log[-2:]), "given twice")):
            with self.subTest(more=more):
                self.assertIn(problem, self.refused("simulate", *more))

    def test_times_and_rates_say_what_they_are(self):
        """Case 15."""
        self.write("base.csv", table(HEAD, ROWS))
        for flag in ("--p99", "--naive-candidate"):
            self.assertIn(f"{flag}: '50' of what? 50ms or 50s", self.refused("size", "base.csv", flag, "50"))
        for flag in ("--service", "--token-time", "--candidate-time", "--ttl", "--p99", "--batch-window"):
            self.assertIn(f"{flag}: '5' of what? 5ms or 5s", self.refused("simulate", flag, "5"))
        self.assertIn("--budget: '20' of what?", self.refused("run", "smoke", "--budget", "20"))
        self.assertIn("measure.budget: '20' of what?", self.refused("run", "smoke", "--set", "measure.budget=20"))
        for rate in ("1,000", "1_000", "1 000", "1.000,5", "10k", "5%"):
            line = self.refused("size", "base.csv", "--qps", rate)
            self.assertIn(f"--qps: '{rate}' ", line)
            self.assertIn("a rate above 0, such as 200, 200/s or 12000/min", line)
            self.assertNotIn("percentage", line)

    def leads(self, text, question, then=""):
        """The question is the first that is said, and `then` follows."""
        flat = " ".join(text.split())
        self.assertTrue(flat.startswith(question[0].upper() + question[1:]), flat[:300])
        self.assertIn(then, flat)

    def asks_first(self, name, question):
        """fit: in place of the speed-up, wherever there is a conclusion."""
        result = self.kvcast("fit", name, "-o", f"asked-{name}", "--force")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.leads(result.stdout, question)
        folder = self.dir / f"asked-{name}"
        text = (folder / "report.md").read_text()
        self.leads(text[text.index("**") + 2:], question)
        page = (folder / "report.html").read_text()
        conclusion = json.loads(re.search(r'"answer": ?("(?:[^"\\]|\\.)*")', page).group(1))
        self.leads(conclusion, question)
        with zipfile.ZipFile(folder / "report.xlsx") as book:
            texts = book.read("xl/sharedStrings.xml").decode() + book.read("xl/worksheets/sheet1.xml").decode()
        self.assertIn(question[1:], texts)
        for said in (result.stdout, text, conclusion, texts):
            self.assertNotRegex(said, "Sharing gives|Sharing is slower")
        with (folder / "summary.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                self.leads(row["doubt"], question)

    def test_times_that_are_not_of_whole_requests(self):
        """Case 04: fit asks, nothing is sized. Case 05: fit asks, and goes on."""
        per = [(n, naive / n, shared / n) for n, naive, shared in ROWS]
        rates = [(n, n / naive, n / shared) for n, naive, shared in ROWS]
        for name, rows in (("per.csv", per), ("rates.csv", rates)):
            with self.subTest(name):
                warnings = self.report("fit", self.write(name, table(HEAD, rows)))["warnings"]
                question = [w["advice"] for w in warnings if w["code"] == "not-requests"]
                self.assertEqual(len(question), 1)
                self.assertIn("rates?", question[0])
                line = self.refused("size", name, "--p99", "20ms")
                self.assertIn(f"{name}: naive takes", line)
                self.assertIn(question[0], line)
                self.assertIn(question[0], self.refused("simulate", name, "--shape", "default", "--qps", "1",
                                                        "--history", "64", "--candidates", "5"))
                self.asks_first(name, question[0])
        swapped = [(n, shared, naive) for n, naive, shared in ROWS]
        warnings = self.report("fit", self.write("swapped.csv", table(HEAD, [(n, b * 0.2, a) for n, b, a in swapped])))["warnings"]
        self.assertEqual([w["advice"] for w in warnings if w["code"] == "swapped"],
                         ["are the columns swapped or in different units, or does it run candidates one by one?"])
        question = "are the columns swapped or in different units, or does it run candidates one by one?"
        self.asks_first("swapped.csv", question)
        self.write("units.csv", table(HEAD, [(n, 1e3 * naive, shared) for n, naive, shared in ROWS]))
        units = "for naive, N candidates cost about N requests of one: are the columns in different units?"
        self.asks_first("units.csv", units)
        # What they are taken as is said in front of the answer.
        for name, asked in (("swapped.csv", question), ("units.csv", units)):
            sized = self.kvcast("size", name, "--p99", "60s", "-o", f"sized-{name}")
            self.assertEqual(sized.returncode, 0, sized.stderr)
            self.leads(sized.stdout, asked, "If the columns are right: at P99 60.0 s score ")
            sizing = json.loads((self.dir / f"sized-{name}" / "report.json").read_text())["sizing"]
            self.leads(sizing["answer"], asked, "If the columns are right: at P99 60.0 s score ")
            self.assertTrue(sizing["answer"].startswith(sizing["doubt"]))
            for file, mark in (("sizing.md", "**"), ("report.md", "**")):
                text = (self.dir / f"sized-{name}" / file).read_text()
                self.leads(text[text.index(mark) + 2:], asked, "If the columns are right: at P99 60.0 s score ")
            one = self.kvcast("size", name, "--p99", "1ms")
            self.assertEqual(one.returncode, 4)
            self.leads(one.stderr.splitlines()[-1].removeprefix("kvcast: "), asked, "If the columns are right: infeasible: ")
            fleet = self.kvcast("simulate", name, "--shape", "smoke", "--qps", "0.1", "--history", "32",
                                "--candidates", "5", "--format", "json")
            self.leads(json.loads(fleet.stdout)["traffic"]["answer"], asked, "If the columns are right: ")
        warnings = self.report("fit", self.write("fine.csv", table(HEAD, ROWS)))["warnings"]
        self.assertFalse({w["code"] for w in warnings} & {"swapped", "not-requests"})

    def simulated(self, *args, stdin=None):
        return self.report("simulate", *COSTS, *args, stdin=stdin)["traffic"]

    def test_traces_of_any_country_and_program(self):
        plain = table(TRACE_HEAD, REQUESTS)
        wanted = self.simulated("--trace", self.write("plain.csv", plain))
        excel = table(TRACE_HEAD, REQUESTS, ";", ",")
        decimal_comma = "read with cells separated by semicolons, numbers with a decimal comma"
        cases = {
            "semicolons.csv": (excel, decimal_comma),
            "sep.csv": ("sep=;\r\n" + excel.replace("\n", "\r\n"), decimal_comma),
            "tabs.tsv": (table(TRACE_HEAD, REQUESTS, "\t"), "read with cells separated by tabs"),
            "comments.csv": ("# day 1\n" + plain + "# end\n,,,\n", "read with 2 lines that begin with # left out"),
            "utf16.txt": (plain.encode("utf-16"), None),
            "plain.csv.gz": (gzip.compress(plain.encode()), None),
        }
        for name, (content, taken) in cases.items():
            with self.subTest(name):
                traffic = self.simulated("--trace", self.write(name, content))
                said = [text for text in traffic["reading"] if "read with" in text]
                self.assertEqual(said, [f"{name}: {taken}"] if taken else [])
                self.assertEqual(traffic["latencies"], wanted["latencies"])
        line = self.refused("simulate", *COSTS, "--trace", self.write("b.xlsx", b"PK\x03\x04\x14\x00\x06\x00"))
        self.assertIn("b.xlsx: is an Excel workbook", line)

    def test_standard_input(self):
        plain = table(HEAD, ROWS).encode()
        wanted = self.fit_of(self.report("fit", self.write("plain.csv", plain)))
        for content in (plain, gzip.compress(plain), table(HEAD, ROWS, ";", ",").encode()):
            self.assertAlmostEqual(self.fit_of(self.report("fit", "-", stdin=content)), wanted, places=9)
        self.assertEqual(self.report("size", "-", "--p99", "100ms", stdin=plain)["sizing"]["points"],
                         self.report("size", "plain.csv", "--p99", "100ms")["sizing"]["points"])
        self.assertIn("standard input: line 2", self.refused("fit", "-", stdin=b"candidates,naive_seconds,shared_seconds\n1\n"))
        self.assertIn("standard input: is empty", self.refused("fit", "-", stdin=b""))
        self.assertIn("standard input has the timings", self.refused("simulate", "-", "--trace", "-", stdin=plain))
        trace = table(TRACE_HEAD, REQUESTS).encode()
        wanted = self.simulated("--trace", self.write("log.csv", trace))
        for content in (trace, gzip.compress(trace)):
            # Read twice: for the simulation, and to be written.
            traffic = self.simulated("--trace", "-", "--write-trace", "again.csv", stdin=content)
            self.assertEqual(traffic["latencies"], wanted["latencies"])
            self.assertEqual(traffic["workload"], "standard input")
            self.assertEqual(len((self.dir / "again.csv").read_text().splitlines()), len(REQUESTS) + 1)
        with open(self.dir / "log.csv", "rb") as log:
            result = subprocess.run([BIN, "simulate", *COSTS, "--trace", "-", "-q", "--format", "json"], stdin=log,
                                    capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(json.loads(result.stdout)["traffic"]["latencies"], wanted["latencies"])
        self.assertIn("standard input:3: n_candidates 'x'",
                      self.refused("simulate", *COSTS, "--trace", "-", stdin=b"\n".join(trace.split(b"\n")[:2]) + b"\n9,a,1,x\n"))


if __name__ == "__main__":
    unittest.main()
