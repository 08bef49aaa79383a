#!/usr/bin/env python3
"""Runs kvcast simulate and kvcast replay of the real binary.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. No test judges a time that was measured.
"""
import bisect
import csv
import io
import json
import math
import os
import signal
import subprocess
import tempfile
import time
import unicodedata
import unittest
from datetime import datetime, timezone
from pathlib import Path
from random import Random

import jsonschema

from load import run_beside_others

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TRACES = SOURCE / "configs/traces"
TIMEOUT_S = 180
HEAD = "timestamp_ms,user_id,history_len,n_candidates\n"
TINY = ["-d", "64", "--heads", "2", "--layers", "2"]
VALIDATOR = jsonschema.Draft202012Validator(json.loads((SOURCE / "docs/report.schema.json").read_text()))

# Not under ThreadSanitizer, where everything takes many times as long: what reads a log, refuses or words is on one
# thread, and the fleets behind it run the same threads as those of the other tests.
ON_ONE_THREAD = unittest.skipIf("TSAN_OPTIONS" in os.environ, "its threads are those of other tests")


def kvcast(*args, cwd):
    return run_beside_others(BIN, *args, cwd=cwd, timeout=TIMEOUT_S)


def report_of(text):
    def reject(constant):
        raise ValueError(f"{constant} is not JSON")
    return json.loads(text, parse_constant=reject)


def flags(**values):
    """Flags of keyword arguments; None leaves one out, True is a flag without a value."""
    found = []
    for name, value in values.items():
        if value is not None:
            found += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return found


def latency(traffic, name, part="total"):
    return next(row for row in traffic["latencies"] if row["name"] == name)[part]


def figure(traffic, name):
    return next(row for row in traffic["figures"] if row["name"] == name)["value"]


def column(traffic, name):
    return next(row for row in traffic["columns"] if row["name"] == name)


class TrafficTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_traffic_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def kvcast(self, *args):
        return kvcast(*args, cwd=self.dir)

    def report(self, *args, exit_code=0):
        result = self.kvcast(*args, "--format", "json")
        self.assertEqual(result.returncode, exit_code, result.stderr)
        report = report_of(result.stdout)
        errors = [f"/{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in VALIDATOR.iter_errors(report)]
        self.assertEqual(errors, [])
        return report

    def refused(self, *args):
        result = self.kvcast(*args)
        self.assertEqual(result.returncode, 2, f"{args}: {result.stdout}{result.stderr}")
        self.assertEqual(result.stdout, "", args)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def trace(self, rows, name="log.csv"):
        (self.dir / name).write_text(HEAD + "".join(f"{row}\n" for row in rows))
        return name


class SimulateTest(TrafficTest):
    # A fleet whose times follow from what is asked: half of it is the prefill.
    BASE = dict(token_time="2us", candidate_time="20us", token_bytes="1KiB", qps=100, history="lognormal:300,2000",
                candidates=50, users=300, requests=20000, replications=4, seed=3)

    def simulate(self, *args, exit_code=0, **changed):
        return self.report("simulate", *args, *flags(**{**self.BASE, **changed}), exit_code=exit_code)["traffic"]

    def of_trace(self, path, *args, exit_code=0, **changed):
        return self.simulate(*args, trace=path, exit_code=exit_code,
                             **{**dict(qps=None, history=None, users=None, requests=None), **changed})

    def test_constant_times_are_an_m_d_1_queue(self):
        for load in (0.3, 0.7):
            traffic = self.report("simulate", *flags(service="5ms", qps=load / 0.005, history=1, candidates=1,
                                                     requests=100000, replications=10))["traffic"]
            # Pollaczek-Khinchine: without variation of the service, half of what M/M/1 waits.
            wait = 0.005 * load / (2 * (1 - load))
            found = latency(traffic, "mean", "wait")
            # 99.99% instead of 95% of Student's t with 9 degrees: one seed in ten thousand is outside.
            wider = 6.59 / 2.262
            half = (found["ci95"][1] - found["ci95"][0]) / 2 * wider
            self.assertLess(abs(found["value"] - wait), half)
            self.assertLess(half, 0.08 * wait)
            self.assertAlmostEqual(latency(traffic, "mean")["value"], 0.005 + found["value"], delta=1e-9)
            busy = figure(traffic, "utilisation")
            self.assertLess(abs(busy["value"] - load), wider * (busy["ci95"][1] - busy["ci95"][0]) / 2)
            self.assertEqual(traffic["offered_load_workers"], 1)
            self.assertAlmostEqual(figure(traffic, "littles_ratio")["value"], 1, delta=1e-9)
        self.assertEqual(traffic["costs"]["source"], "assumed")

    def test_the_numbers_depend_on_the_seed_alone(self):
        args = flags(**{**self.BASE, "cache": "20MiB", "workers": 2, "tail": 2}) + ["--format", "json"]
        one = self.kvcast("simulate", *args, "--threads", "1")
        self.assertEqual(one.returncode, 0, one.stderr)
        for threads in ("2", "3", "0"):
            self.assertEqual(self.kvcast("simulate", *args, "--threads", threads).stdout, one.stdout)
        other = self.kvcast("simulate", *[a if a != "3" else "4" for a in args], "--threads", "1")
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertNotEqual(other.stdout, one.stdout)

    def test_csv_has_the_numbers_of_the_json(self):
        args = ["simulate", *flags(**{**self.BASE, "cache": "20MiB", "p99": "50ms", "find": "workers"})]
        traffic = self.report(*args)["traffic"]
        rows = list(csv.DictReader(io.StringIO(self.kvcast(*args, "--format", "csv").stdout)))
        self.assertEqual(list(rows[0]), ["section", "row", "item", "quantity", "value", "lo", "hi", "text", "unit",
                                         "source"])
        values = {(row["section"], int(row["row"]), row["quantity"]): row for row in rows}
        self.assertEqual(len(values), len(rows))
        compared = 0

        def compare(section, number, name, value):
            row = values.pop((section, number, name))
            nonlocal compared
            compared += 1
            if isinstance(value, dict):
                self.assertEqual(float(row["value"]), value["value"])
                self.assertEqual([float(row["lo"]), float(row["hi"])], value["ci95"])
            elif value is None:
                self.assertEqual(row["value"] + row["text"], "")
            elif isinstance(value, bool):
                self.assertEqual(row["text"], str(value).lower())
            elif isinstance(value, (int, float)):
                self.assertEqual(float(row["value"]), value)
            elif isinstance(value, list):
                self.assertTrue(row["text"] or value == [])
            else:
                self.assertEqual(row["text"], value)
        for section, part in traffic.items():
            if isinstance(part, list) and part and isinstance(part[0], dict):
                for number, row in enumerate(part):
                    for name, value in row.items():
                        # The unit is that of the value, in a column of its own.
                        if name != "unit":
                            compare(section, number, name, value)
            elif isinstance(part, dict):
                for name, value in part.items():
                    if name != "source":
                        compare(section, 0, name, value)
            elif part != [] or section == "reading":
                compare("traffic", 0, section, part)
        self.assertEqual(list(values), [])
        self.assertGreater(compared, 500)

    def test_files(self):
        result = self.kvcast("simulate", *flags(**self.BASE), "-o", "out")
        self.assertEqual(result.returncode, 0, result.stderr)
        names = {path.name for path in (self.dir / "out").iterdir()}
        self.assertLessEqual({"report.json", "traffic.csv", "traffic.md", "report.html", "report.xlsx", "report.md"},
                             names)
        self.assertFalse([name for name in names if name.endswith(".tmp")])
        for name in names:
            self.assertIn(name, result.stderr)
        report = report_of((self.dir / "out/report.json").read_text())
        self.assertTrue(VALIDATOR.is_valid(report))
        args = ["simulate", *flags(**self.BASE), "--format"]
        self.assertEqual(report, report_of(self.kvcast(*args, "json").stdout))
        for name, form in (("traffic.csv", "csv"), ("traffic.md", "md")):
            self.assertEqual((self.dir / "out" / name).read_text(), self.kvcast(*args, form).stdout)
        self.assertEqual(self.kvcast("simulate", *flags(**self.BASE), "-o", "out", "-q", "--force").stderr, "")
        again = self.kvcast("report", "out", "--to", "json", "-o", "-")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(report_of(again.stdout)["traffic"], report["traffic"])

    @ON_ONE_THREAD
    def test_what_is_missing_is_asked_for(self):
        for flag, gone in (("--qps", "qps"), ("--history", "history"), ("--candidates", "candidates")):
            error = self.refused("simulate", *flags(**{**self.BASE, gone: None}), "-o", "out")
            self.assertTrue(error.startswith(f"kvcast: {flag}: is missing"), error)
        untimed = {**self.BASE, "token_time": None, "candidate_time": None}
        error = self.refused("simulate", *flags(**untimed), "-o", "out")
        self.assertIn("nothing says how long a request takes; a report, or --service", error)
        self.assertEqual(list(self.dir.iterdir()), [])

    @ON_ONE_THREAD
    def test_bad_values_are_refused_by_name(self):
        # flag, value, what is allowed in the words of the message.
        wrong = [
            ("qps", "0", "above 0"), ("qps", "-1", "rate"), ("qps", "fast", "a rate"), ("qps", "2000000000", "1e9"),
            ("history", "long", "lognormal:MEDIAN,P99"), ("history", "lognormal:5", "two numbers"),
            ("history", "lognormal:9,5", "MEDIAN <= P99"), ("history", "lognormal:0,5", "0 < MEDIAN"),
            ("history", "-1", "a whole number"), ("history", "1.5", "a whole number"), ("history", "file:", "file:"),
            ("candidates", "0", "at least 1"), ("candidates", "lognormal:1", "two numbers"),
            ("candidates", "many", "file:TRACE.csv"), ("requests", "0", "at least 1"), ("users", "0", "from 1"),
            ("zipf", "-1", "from 0 to 10"), ("zipf", "x", "a number"), ("growth", "-1", "from 0"),
            ("history-scale", "0", "above 0"), ("max-history", "-1", "0 or more"), ("cache", "x", "a size"),
            ("page", "0", "1 to 1000000"), ("ttl", "0", "a time above 0"), ("ttl", "-1s", "a time above 0"),
            ("p99", "0", "a time above 0"), ("p99", "soon", "a time above 0"), ("warm-up", "0.95", "0 to 0.9"),
            ("warm-up", "x", "a number or a percentage"), ("seed", "-1", "at least 0"), ("workers", "0", "1 to 4096"),
            ("workers", "5000", "1 to 4096"), ("order", "lifo", "fifo, shortest"), ("policy", "random", "lru, belady"), ("batch", "0", "1 to"),
            ("batch-window", "5ms", "--batch 8"), ("batch-window", "-1ms", "a time above 0"),
            ("find", "everything", "qps, candidates, workers, cache"), ("find", "qps", "--p99"),
            ("replications", "0", "1 to 1000"), ("replications", "1001", "1 to 1000"), ("threads", "-1", "0 to 4096"),
            ("token-time", "-1us", "a time above 0"), ("candidate-time", "x", "a time above 0"),
            ("token-bytes", "x", "a size"), ("tail", "0.5", "1 to 14.9"), ("tail", "15", "1 to 14.9"),
            ("tail", "nan", "a number"), ("shape", "smoke", "only with a report"),
            ("layers", "2", "only with a report"),
            ("scheme", "naive", "only with a report"), ("output", "", "-o out"),
            ("write-trace", "", "log.csv"), ("timestamps", "min", "s, ms, us or ns"),
            ("spread-timestamps", "yes", "random, even or none"),
        ]
        for flag, value, allowed in wrong:
            with self.subTest(flag=flag, value=value):
                base = {name: old for name, old in self.BASE.items() if name != flag.replace("-", "_")}
                error = self.refused("simulate", *flags(**base), "--" + flag, value)
                self.assertTrue(error.startswith(f"kvcast: --{flag}: "), error)
                problem, _, hint = error.partition("; ")
                self.assertIn(allowed, hint)
                if flag not in ("batch-window", "shape", "layers", "scheme", "output", "write-trace") and \
                        (flag, value) != ("find", "qps"):
                    self.assertIn(f"'{value}'", problem)
        for value, problem in (("x", "'x' is not a number"), ("101%", "'101%' is out of range"), ("-1%", "'-1%' is out")):
            self.assertIn("--skip-bad-rows: " + problem, self.refused("simulate", *flags(**self.BASE),
                                                                      "--skip-bad-rows=" + value))
        error = self.refused("simulate", *flags(**{**self.BASE, "token_bytes": None, "cache": "1MiB"}))
        self.assertIn("--cache: fixed times do not give the size of a cached history; add --token-bytes", error)
        self.assertIn("--workers = x", self.refused("simulate", *flags(**self.BASE), "--workers", "x"))
        self.assertIn("--bogus", self.refused("simulate", *flags(**self.BASE), "--bogus", "1"))
        self.assertEqual(list(self.dir.iterdir()), [])

    @ON_ONE_THREAD
    def test_what_cannot_be_read_or_written_is_exit_3(self):
        for changed in (dict(history="file:none.csv"), dict(arrivals="none.csv"), dict(write_trace="none/log.csv"),
                        dict(trace="none.csv", history=None), dict(trace=".", history=None),
                        dict(output="/dev/null/x")):
            result = self.kvcast("simulate", *flags(**{**self.BASE, **changed}))
            self.assertEqual((result.returncode, result.stderr.count("\n"), result.stdout), (3, 1, ""), result.stderr)
            self.assertIn(str(list(changed.values())[0]).removeprefix("file:"), result.stderr)
        self.assertEqual(list(self.dir.iterdir()), [])

    @ON_ONE_THREAD
    def test_flags_that_contradict_a_trace(self):
        log = self.trace(["0,1,10,5", "10,1,11,5"])
        base = {**self.BASE, "trace": log, "qps": None, "history": None}
        for changed, flag in ((dict(history=5), "--history"), (dict(arrivals=log), "--arrivals"),
                              (dict(replace_candidates=True, candidates=None), "--replace-candidates"),
                              (dict(qps=1e9), "--qps")):
            error = self.refused("simulate", *flags(**{**base, **changed}))
            self.assertTrue(error.startswith(f"kvcast: {flag}: "), error)

    @ON_ONE_THREAD
    def test_bad_rows(self):
        good = ["0,7,10,5", "5,8,20,5"]
        bad = {
            "x,7,10,5": "timestamp_ms 'x' is not a number or date; a number from 0, or a date as in 2024-08-01T12:",
            "-1,7,10,5": "timestamp_ms '-1' is negative; a number",
            "1e300,7,10,5": "timestamp_ms '1e300' is out of range; a number",
            "2024-13-01,7,10,5": "timestamp_ms '2024-13-01' is not a number or date; ",
            ",7,10,5": "timestamp_ms is empty; a number",
            "6,,10,5": "user_id is empty; any text or number",
            "6,7,ten,5": "history_len 'ten' is not a whole number; a whole number from 0 to ",
            "6,7,1.5,5": "history_len '1.5' is not a whole number; a whole number from 0 to ",
            "6,7,-1,5": "history_len '-1' is negative; a whole number from 0 to ",
            "6,7,9999999999999,5": "history_len '9999999999999' is out of range; a whole number from 0 to ",
            "6,7,10,-5": "n_candidates '-5' is negative; a whole number from 0 to ",
            "6,7,10,": "n_candidates is empty; a whole number from 0 to ",
            "6,7,10": "3 cells: '6,7,10'; the header has 4",
            "6,7,10,5,1": "5 cells: '6,7,10,5,1'; the header has 4",
            '6,"7,10,5': "the quote is not closed; quote the whole cell",
            '6,"7"x,10,5': "text behind a closing quote; quote the whole cell",
            '6,7"x,10,5': "a quote inside an unquoted cell; quote the whole cell",
            "6,7\0,10,5": "holds a NUL byte; a trace is text",
            "6,7,10,5" + 70000 * " ": "the line is longer than ",
        }
        for row, problem in bad.items():
            with self.subTest(row=row[:40]):
                log = self.trace([*good, row, "9,9,30,5"])
                base = ["simulate", "--trace", log, "--service", "1ms", "--replications", "2"]
                error = self.refused(*base)
                self.assertTrue(error.startswith(f"kvcast: log.csv:4: {problem}"), error)
                self.assertIn("--skip-bad-rows: 1 of 4 rows of log.csv are bad (25%), the first at line 4: ",
                              self.refused(*base, "--skip-bad-rows"))
                traffic = self.report(*base, "--skip-bad-rows=25%")["traffic"]
                self.assertEqual((traffic["requests"], traffic["users"], traffic["log_rows"], traffic["skipped_rows"]),
                                 (3, 3, 4, 1))
                self.assertIn("; 1 of the log's 4 rows (25.00%) left out as bad", traffic["answer"])
        log = self.trace([*good, *(row for row in bad if "\0" not in row), "9,9,30,5"])
        traffic = self.report("simulate", "--trace", log, "--service", "1ms", "--skip-bad-rows=100%")["traffic"]
        self.assertEqual((traffic["requests"], traffic["skipped_rows"]), (3, len(bad) - 1))

    # 150 requests a second, and one worker that is two thirds busy: docs/method.md §23.
    STEADY = dict(service="1ms", token_time="10us", candidate_time="20us", token_bytes="8KiB", replications=2)

    @staticmethod
    def steady(rows=12000, stamp=lambda ms: f"{ms:.3f}"):
        """Rows of Poisson arrivals."""
        random, now = Random(7), 0.0
        for i in range(rows):
            now += random.expovariate(150) * 1000
            yield f"{stamp(now)},{i % 900},{random.randrange(100, 400)},50"

    @ON_ONE_THREAD
    def test_timestamps_in_any_unit_give_the_same_rate(self):
        epoch = 1722470400000
        date = lambda ms: datetime.fromtimestamp((epoch + ms) / 1000, timezone.utc)
        own = self.report("simulate", "--trace", self.trace(self.steady()), *flags(**self.STEADY))["traffic"]
        self.assertEqual(own["reading"], [])
        self.assertAlmostEqual(own["requests_per_s"], 150, delta=10)
        for column, stamp, said in (
                ("timestamp_ms", lambda ms: f"{(epoch + ms) / 1000:.6f}", "timestamps read as epoch seconds (17224704"),
                ("timestamp", lambda ms: f"{epoch + ms:.3f}", "timestamps read as epoch milliseconds (17224704"),
                ("timestamp_ms", lambda ms: round(1000 * (epoch + ms)), "timestamps read as epoch microseconds (1722"),
                ("ts", lambda ms: round(1000000 * (epoch + ms)), "timestamps read as epoch nanoseconds (1722"),
                ("Time", lambda ms: date(ms).isoformat(), "timestamps read as dates (the first is 2024-08-01 00:00:00."),
                ("timestamp_ms", lambda ms: date(ms).strftime("%Y-%m-%d %H:%M:%S.%f"), "timestamps read as dates (the "),
                ("Timestamp (s)", lambda ms: f"{ms / 1000:.6f}", None)):
            with self.subTest(column=column, said=said):
                log = self.trace(self.steady(stamp=stamp))
                text = (self.dir / log).read_text()
                (self.dir / log).write_text(text.replace("timestamp_ms", column, 1))
                traffic = self.report("simulate", "--trace", log, *flags(**self.STEADY))["traffic"]
                self.assertAlmostEqual(traffic["requests_per_s"] / own["requests_per_s"], 1, delta=1e-3)
                self.assertAlmostEqual(latency(traffic, "mean")["value"] / latency(own, "mean")["value"], 1, delta=0.02)
                self.assertEqual([how[:len(said or "")] for how in traffic["reading"]], [said] if said else [])
                table = self.kvcast("simulate", "--trace", log, *flags(**self.STEADY)).stdout
                if said:
                    self.assertIn(said[1:30], "".join(table.splitlines()[:5]))
        log = self.trace(self.steady(stamp=lambda ms: f"{ms / 1000:.4f}"))
        error = self.refused("simulate", "--trace", log, *flags(**self.STEADY))
        self.assertRegex(error, r"^kvcast: log.csv: 12,000 requests in [0-9.]+ ms: is timestamp_ms in seconds\?")
        traffic = self.report("simulate", "--trace", log, "--timestamps", "s", *flags(**self.STEADY))["traffic"]
        self.assertAlmostEqual(traffic["requests_per_s"] / own["requests_per_s"], 1, delta=1e-3)
        (self.dir / log).write_text((self.dir / log).read_text().replace("timestamp_ms", "ts", 1))
        self.assertIn("log.csv: the unit of 'ts' is unknown; it begins with 0.0",
                      self.refused("simulate", "--trace", log, *flags(**self.STEADY)))

    @ON_ONE_THREAD
    def test_a_log_stamped_to_a_tick_has_no_waits_until_they_are_spread(self):
        base = dict(**self.STEADY, p99="100ms", find="workers")
        fine = self.report("simulate", "--trace", self.trace(self.steady()), *flags(**base))["traffic"]
        self.assertEqual(fine["find"][0]["value"], 1)
        self.assertEqual(fine["reading"], [])
        for tick in (1000, 10000):
            log = self.trace(self.steady(stamp=lambda ms: int(ms // tick * tick)))
            for form in ("table", "json", "csv", "md"):
                error = self.refused("simulate", "--trace", log, "--format", form, *flags(**base))
                self.assertRegex(error, rf"^kvcast: log.csv: 12,000 rows have [0-9]+ distinct timestamps, all multiples "
                                        rf"of {tick} ms: the log has a resolution of {tick // 1000} s; waits are unknown; "
                                        r"--spread-timestamps random ")
            for how in ("random", "even"):
                spread = self.report("simulate", "--trace", log, "--spread-timestamps", how, *flags(**base))["traffic"]
                self.assertEqual(spread["find"][0]["value"], 1)
                self.assertAlmostEqual(spread["requests_per_s"], fine["requests_per_s"], delta=8)
                self.assertIn(f"timestamps with a resolution of {tick // 1000} s spread ", spread["reading"][0])
            result = self.kvcast("simulate", "--trace", log, "--spread-timestamps", "none", "--format", "json",
                                 *flags(**base))
            self.assertIn(result.returncode, (0, 4), result.stderr)  # 4: found, but not shown beyond doubt
            asked = report_of(result.stdout)["traffic"]
            self.assertGreater(asked["find"][0]["value"], 4)
            self.assertIn("rows with the same timestamp arrive together", asked["reading"][0])
        # Milliseconds, and a service of several, are no reason.
        log = self.trace(self.steady(stamp=round))
        whole = self.report("simulate", "--trace", log, *flags(**base))["traffic"]
        self.assertEqual((whole["find"][0]["value"], whole["reading"]), (1, []))

    @ON_ONE_THREAD
    def test_rows_out_of_order_are_sorted_and_a_wrong_clock_is_named(self):
        rows = list(self.steady(1000))
        own = self.report("simulate", "--trace", self.trace(rows), *flags(**self.STEADY))["traffic"]
        mixed = [row for i in range(0, 1000, 4) for row in reversed(rows[i:i + 4])]
        traffic = self.report("simulate", "--trace", self.trace(mixed), *flags(**self.STEADY))["traffic"]
        self.assertRegex(traffic["reading"][0], r"^[0-9]+ rows out of order by up to [0-9.]+ ms: sorted \(tolerated up to 1 min\)")
        self.assertEqual(latency(traffic, "p99"), latency(own, "p99"))
        for at in (20, 999):
            wrong = rows.copy()
            ms, rest = wrong[at].split(",", 1)
            wrong[at] = f"{float(ms) + 3600000:.3f},{rest}"
            log = self.trace(wrong)
            error = self.refused("simulate", "--trace", log, *flags(**self.STEADY))
            self.assertTrue(error.startswith(f"kvcast: log.csv:{at + 2}: timestamp_ms '36"), error)
            traffic = self.report("simulate", "--trace", log, "--skip-bad-rows", *flags(**self.STEADY))["traffic"]
            self.assertEqual((traffic["requests"], traffic["skipped_rows"]), (999, 1))
            self.assertIn("; 1 of the log's 1,000 rows (0.10%) left out as bad", traffic["answer"])
            self.assertAlmostEqual(traffic["requests_per_s"], 150, delta=15)

    @ON_ONE_THREAD
    def test_a_sparse_log_at_other_rates_is_cut_to_what_shows_them(self):
        log = self.trace(f"{36000 * i},{i % 300},{100 + i % 400},50" for i in range(1000))
        traffic = self.report("simulate", "--trace", log, *flags(**self.STEADY), "--qps", "100")["traffic"]
        self.assertEqual(traffic["requests"], 1000000)
        self.assertIn("requests: the first 1000000 of 36", " ".join(traffic["assumptions"]))

    @ON_ONE_THREAD
    def test_traces_that_are_none(self):
        for name, text, problem in (("empty.csv", "", "empty.csv: is empty"),
                                    ("head.csv", HEAD, "head.csv: has no rows"),
                                    ("bad.csv", HEAD + "x\n", "bad.csv: none of its 1 rows is good; line 2: 1 cell: 'x'"),
                                    ("other.csv", "a,b\n1,2\n", "other.csv:1: no column timestamp_ms among 'a,b'"),
                                    ("twice.csv", "user_id," + HEAD, "twice.csv:1: the column user_id appears twice")):
            (self.dir / name).write_text(text)
            error = self.refused("simulate", "--trace", name, "--service", "1ms", "--skip-bad-rows")
            self.assertTrue(error.startswith("kvcast: " + problem), error)

    @ON_ONE_THREAD
    def test_a_log_that_takes_long_to_read_says_so(self):
        command = [BIN, "simulate", "--trace", "-", "--service", "1ms", "--replications", "1"]
        for quiet, seconds, lines in (([], 2.6, 1), ([], 0.2, 0), (["-q"], 2.6, 0)):
            with self.subTest(quiet=quiet, seconds=seconds):
                process = subprocess.Popen([*command, *quiet], cwd=self.dir, stdin=subprocess.PIPE,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self.addCleanup(process.kill)
                process.stdin.write(HEAD)
                began, i = time.monotonic(), 0
                while time.monotonic() - began < seconds:
                    process.stdin.write(f"{10 * i},{i % 7},10,5\n#{60000 * '-'}\n")  # blocks are 64 KiB
                    process.stdin.flush()
                    time.sleep(0.05)
                    i += 1
                said = process.communicate(timeout=TIMEOUT_S)[1]
                self.assertEqual(process.returncode, 0, said)
                self.assertEqual([line for line in said.splitlines() if "reading" in line],
                                 lines * ["reading standard input"])

    @ON_ONE_THREAD
    def test_candidates_that_were_not_recorded(self):
        log = self.trace(["0,1,10,5", "10,2,10,0", "20,1,11,7"])
        base = dict(trace=log, service="1ms", replications=2)
        error = self.refused("simulate", *flags(**base))
        problem = "kvcast: log.csv:3: n_candidates is 0, which means not recorded; give them with --candidates"
        self.assertTrue(error.startswith(problem), error)
        filled = self.report("simulate", *flags(**base, candidates=90))["traffic"]
        self.assertEqual((column(filled, "candidates")["mean"], column(filled, "candidates")["max"]), (34, 90))
        self.assertIn("candidates: not recorded in 1 of 3 rows; these get 90", filled["assumptions"])
        replaced = self.report("simulate", *flags(**base, candidates=90, replace_candidates=True))["traffic"]
        self.assertEqual(column(replaced, "candidates")["mean"], 90)

    def test_saturation_quotes_no_percentile(self):
        args = flags(**{**self.BASE, "qps": None, "service": "5ms", "p99": "150ms"})
        # A request takes 5 ms, 50 candidates of 20 us, and 2 us for each of some 370 tokens.
        args[args.index("--history") + 1] = "300"
        for qps, exit_code in ((100, 0), (200, 4)):
            result = self.kvcast("simulate", *args, "--qps", qps)
            self.assertEqual(result.returncode, exit_code, result.stderr)
            traffic = self.report("simulate", *args, "--qps", qps, exit_code=exit_code)["traffic"]
            self.assertEqual(traffic["saturated"], exit_code == 4)
            shown = [row["total"] is None and row["wait"] is None for row in traffic["latencies"]]
            # The requests are too few for P99.9 either way.
            self.assertEqual(shown[:4], 4 * [exit_code == 4])
            self.assertEqual(traffic["cdf"] == [], exit_code == 4)
            lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.strip()}
            self.assertEqual(lines["P99"] == ["-", "-", "-", "-"], exit_code == 4)
        self.assertIn("kvcast: no steady state: requests bring ", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertTrue(traffic["saturation"])
        for name in ("waiting", "in_system", "attainment"):
            self.assertIsNone(figure(traffic, name))
        # Two workers bear what one does not.
        self.assertEqual(traffic["offered_load_workers"], 2)
        self.assertEqual(self.simulate(qps=100, exit_code=0)["saturated"], False)

    def finds(self, what, **base):
        found = self.simulate(find=what, **base)
        answer, = found["find"]
        self.assertEqual(answer["what"], what)
        self.assertLessEqual(answer["p99_s"]["value"], found["p99_limit_s"] * (1 + 1e-9))
        # What is reported is the fleet that was found.
        self.assertEqual(latency(found, "p99"), answer["p99_s"])

        def meets(value):
            whole = value if what == "qps" else int(value)
            again = self.report("simulate", *flags(**{**self.BASE, **base, what: repr(whole)}),
                                exit_code=0 if value == answer["value"] else 4)["traffic"]
            # No steady state, or so close to one that the requests do not tell.
            if latency(again, "p99") is None:
                return False
            p99 = latency(again, "p99")["value"]
            if value == answer["value"]:
                self.assertEqual(p99, answer["p99_s"]["value"])
            return p99 <= again["p99_limit_s"] * (1 + 1e-9)
        self.assertTrue(meets(answer["value"]))
        self.assertFalse(meets(answer["fails_at"]))
        return answer["value"], answer["fails_at"]

    def test_find_qps(self):
        value, fails = self.finds("qps", p99="12ms")
        self.assertLess(value, fails)
        self.assertLess(fails, 1.01 * value)

    def test_find_candidates(self):
        value, fails = self.finds("candidates", p99="12ms")
        self.assertEqual(fails, value + 1)

    def test_find_workers(self):
        value, fails = self.finds("workers", p99="15ms", qps=1000)
        self.assertEqual(fails, value - 1)

    def test_find_cache(self):
        value, fails = self.finds("cache", p99="5ms")
        page = 16 * 1024
        self.assertLess(fails, value)
        self.assertLessEqual(value - fails, max(page, 0.02 * value))

    def test_find_in_a_trace_weighs_all_of_it(self):
        # The second half comes four times as often as the first: a search that takes the first rows, as many as the
        # log has, finds a rate that the log as a whole does not bear.
        times, now = [], 0.0
        for i in range(1500):
            now += (40 if i < 500 else 10) * (0.5 + (i * 0.618034) % 1)
            times.append(now)
        log = self.trace(f"{t:.3f},{i % 97},50,10" for i, t in enumerate(times))
        base = dict(find="qps", p99="10ms", candidates=None, token_time=None, candidate_time=None, service="2ms",
                    token_bytes=None)
        found = self.of_trace(log, **base)
        answer, = found["find"]
        self.assertGreater(answer["value"], 2 * 1500 / (now / 1000))
        self.assertEqual(latency(found, "p99")["value"], answer["p99_s"]["value"])
        worse = self.of_trace(log, **{**base, "find": None, "qps": repr(answer["fails_at"])}, exit_code=4)
        self.assertGreater(latency(worse, "p99")["value"], 0.01)

    def test_nothing_meets_it(self):
        for what in ("qps", "candidates", "workers", "cache"):
            result = self.kvcast("simulate", *flags(**{**self.BASE, "p99": "10us", "find": what}), "--format", "json")
            self.assertEqual(result.returncode, 4, result.stdout)
            self.assertRegex(result.stderr, "^kvcast: not even .* meets? a P99 of 10.0 us; here P99 ")
            self.assertEqual(result.stderr.count("\n"), 1)
            answer, = report_of(result.stdout)["traffic"]["find"]
            self.assertIsNone(answer["value"])
            self.assertIsNotNone(answer["fails_at"])

    def test_the_most_workers_are_named(self):
        error = self.kvcast("simulate", *flags(service="10ms", qps=100, history=1, candidates=1, requests=2000, p99="5ms",
                                               find="workers")).stderr
        self.assertTrue(error.startswith("kvcast: not even 4,096 workers meet a P99 of 5.00 ms; here P99 "), error)

    def test_a_limit_that_is_met_exactly_is_met(self):
        # 10 ms are summed up with times of arrival, so that some latencies are 4e-14 s longer.
        base = dict(history=1, candidates=1, requests=20000)
        for service, limit, qps in (("10ms", "10ms", 80), ("100ms", "0.1s", 3), ("7us", "7us", 900),
                                    ("300ms", "300ms", 1)):
            found = self.report("simulate", *flags(service=service, p99=limit, find="workers", qps=qps,
                                                   **base))["traffic"]
            self.assertEqual(found["find"][0]["what"], "workers")
            self.assertGreaterEqual(found["find"][0]["value"], 1)
            self.assertAlmostEqual(latency(found, "p99")["value"], found["p99_limit_s"], delta=1e-12)
            self.assertGreaterEqual(figure(found, "attainment")["value"], 0.99)
        # The same with the two other searches, and with none.
        exact = dict(service="10ms", p99="10ms", workers=8, qps=80, **base)
        self.report("simulate", *flags(**exact))
        self.report("simulate", *flags(find="qps", **exact))
        exact = dict(exact, service=None, candidate_time="1ms", candidates=10)
        found = self.report("simulate", *flags(find="candidates", **exact))["traffic"]
        self.assertEqual(found["find"][0]["value"], 10)

    @ON_ONE_THREAD
    def test_a_missed_limit_is_said_first_and_ends_with_4(self):
        args = ["simulate", *flags(**{**self.BASE, "p99": "2ms"})]
        for form in ("table", "md", "csv", "json"):
            result = self.kvcast(*args, "--format", form)
            self.assertEqual(result.returncode, 4, result.stdout)
            self.assertRegex(result.stderr, r"^kvcast: P99 \d.* ms exceeds the limit of 2.00 ms ")
            self.assertEqual(result.stderr.count("\n"), 1)
            first = report_of(result.stdout)["traffic"]["answer"] if form == "json" else result.stdout[:700]
            self.assertIn("exceeds the limit of 2.00 ms", " ".join(first.split()))
        report = self.report(*args, exit_code=4)["traffic"]
        self.assertGreater(latency(report, "p99")["value"], 0.002)
        # By less than three digits show.
        value = latency(report, "p99")["value"]
        close = self.kvcast("simulate", *flags(**{**self.BASE, "p99": f"{value * 1000 * (1 - 1e-5):.9f}ms"}))
        self.assertEqual(close.returncode, 4)
        shown = close.stderr.split(" exceeds the limit of ")
        self.assertNotEqual(shown[0].split("P99 ")[1], shown[1].split(" (")[0])

    def test_too_few_requests_tell_no_percentile(self):
        # 18,000 counted requests of each of ten replications: at a load of 0.95 they have about one independent spell
        # beyond P99, where 1.15 s is exact; at 0.5 they are plenty.
        base = dict(service="25ms", history=1, candidates=1, requests=20000)
        busy = self.report("simulate", *flags(qps=38, **base))["traffic"]
        self.assertIsNone(latency(busy, "p99"))
        self.assertIsNone(latency(busy, "p99.9"))
        missing = {row["name"]: row["missing"] for row in busy["latencies"]}
        self.assertRegex(missing["p99"], r"^it needs about [\d,]+ requests in each replication$")
        self.assertIn(f"P99 unknown ({missing['p99']}) at ", busy["answer"])
        easy = self.report("simulate", *flags(qps=20, **base))["traffic"]
        for name in ("p50", "p95", "p99", "p99.9"):
            row = latency(easy, name)
            self.assertTrue(row["ci95"][0] <= row["value"] <= row["ci95"][1])
        # What is not known is not met.
        result = self.kvcast("simulate", *flags(qps=38, p99="10s", **base))
        self.assertEqual(result.returncode, 4)
        self.assertIn("P99 unknown (", result.stderr)
        log = self.trace(f"{i * 10},{i % 7},10,5" for i in range(60))
        short = self.report("simulate", *flags(trace=log, service="1ms"))["traffic"]
        self.assertIsNone(latency(short, "p99"))
        self.assertRegex(next(r["missing"] for r in short["latencies"] if r["name"] == "p99"),
                         r"^it needs about [\d,]+ requests in the log$")

    def test_the_interval_of_a_log_holds_the_next_log(self):
        found = []
        for seed in range(1, 7):
            self.simulate(write_trace=f"{seed}.csv", requests=6000, users=400, seed=seed, replications=1, growth=0)
            found.append(self.of_trace(f"{seed}.csv", candidates=None))
        for name in ("mean", "p50"):
            rows = [latency(traffic, name) for traffic in found]
            held = [row["ci95"][0] <= other["value"] <= row["ci95"][1]
                    for row in rows if row["ci95"] for other in rows if other is not row]
            self.assertGreater(len(held), 0)
            self.assertGreaterEqual(sum(held), 0.85 * len(held), rows)
        # Of means over time it does not tell.
        self.assertIsNone(figure(found[0], "utilisation")["ci95"])
        self.assertTrue(any(note.startswith("intervals cover the figure in another log") for note in
                            found[0]["assumptions"]))

    @ON_ONE_THREAD
    def test_the_rate_of_the_answer_is_that_of_its_percentiles(self):
        # Slow until the warm-up is over, then ten times as fast.
        log = self.trace(f"{i * 10 if i < 200 else 2000 + i - 200},{i % 37},10,5" for i in range(2000))
        traffic = self.report("simulate", *flags(trace=log, service="100us", candidates=5))["traffic"]
        rate = figure(traffic, "arrivals_per_s")["value"]
        self.assertGreater(rate, 1.5 * traffic["requests_per_s"])
        self.assertIn(f" at {rate:,.0f}/s ", traffic["answer"])

    def test_two_hit_rates_are_told_apart(self):
        text = self.kvcast("simulate", *flags(**{**self.BASE, "cache": "8GiB"}), "--details").stdout
        self.assertIn("after the warm-up", " ".join(text.splitlines()[:3]))
        self.assertIn("hit rate, after the warm-up", text)
        self.assertRegex(text, r"(?s)hit rate by cache size.*All requests, .* from an empty cache on")

    def test_the_first_screen_holds_the_answer(self):
        for more in ({}, {"cache": "8GiB"}, {"p99": "50ms"}):
            text = self.kvcast("simulate", *flags(**{**self.BASE, **more})).stdout
            self.assertLessEqual(text.count("\n"), 24, text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80, text)

    @ON_ONE_THREAD
    def test_no_line_is_wider_than_a_terminal(self):
        def columns(line):
            return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)
        for name in ("推荐系统线上请求日志导出文件二零二四年八月一日晚高峰.csv", "ログ" * 30 + ".csv", "e\u0301" * 70 + ".csv",
                     "로그 파일 " * 12 + ".csv"):
            self.trace((f"{i * 10},{i % 7},10,5" for i in range(600)), name)
            for args in (["--cache", "1MiB"], ["--p99", "1us"]):
                for details, width in ((["--details"], 100), ([], 80)):
                    text = self.kvcast("simulate", *flags(trace=name, service="1ms", token_time="10us", token_bytes="8KiB"),
                                       *args, *details).stdout
                    self.assertLessEqual(max(map(columns, text.splitlines())), width, name)
                    self.assertGreater(max(map(columns, text.splitlines())), width - 20)

    @ON_ONE_THREAD
    def test_no_exponents_in_sentences(self):
        for changed in (dict(qps=1e5, exit_code=4), dict(qps=1e-5), dict(token_time="1s", qps=5, exit_code=4),
                        dict(p99="100000h", qps=1), dict(qps=1, requests=1000, p99="1ms", exit_code=4)):
            exit_code = changed.pop("exit_code", 0)
            result = self.kvcast("simulate", *flags(**{**self.BASE, **changed}))
            self.assertEqual(result.returncode, exit_code, result.stderr)
            self.assertNotRegex(result.stdout.split("latency, queueing included")[0] + result.stderr, r"\de[+-]?\d")

    def test_the_shipped_traces(self):
        movies = self.of_trace(TRACES / "movietweetings.csv", history_scale=20, cache="4MiB", candidates=100)
        self.assertEqual((movies["requests"], movies["users"]), (2134, 353))
        self.assertGreater(figure(movies, "hit_rate")["value"], 0.2)
        self.assertIn("histories: those of the trace times 20, rounded", movies["assumptions"])
        # Two requests in four hours: no number of copies that there may be saturates a worker.
        self.assertEqual(movies["capacity"], [])
        azure = self.of_trace(TRACES / "azure_llm.csv", cache="64MiB", candidates="lognormal:50,400", requests=1000,
                              replications=2)
        self.assertEqual((azure["requests"], azure["users"]), (1000, 1000))
        self.assertEqual(figure(azure, "hit_rate")["value"], 0)
        self.assertEqual(len(azure["capacity"]), 8)
        drawn = self.simulate(history=f"file:{TRACES / 'azure_llm.csv'}", arrivals=TRACES / "azure_llm.csv", qps=None,
                              requests=None, replications=2)
        self.assertEqual(drawn["requests"], 2867)
        shaped = self.simulate(history=100, arrivals=TRACES / "azure_llm.csv", qps=40, requests=None,
                               replications=2)
        self.assertAlmostEqual(shaped["requests_per_s"], 40, delta=2)

    def test_a_written_trace_is_the_same_workload(self):
        # Times to the nanosecond: so are the latencies, but for what a histogram of them can tell.
        drawn = self.simulate(write_trace="log.csv", replications=1, growth=3, cache="20MiB",
                              candidates="lognormal:50,200")
        lines = (self.dir / "log.csv").read_text().splitlines()
        self.assertEqual(lines[0] + "\n", HEAD)
        self.assertEqual(len(lines) - 1, drawn["requests"])
        read = self.of_trace("log.csv", replications=1, candidates=None, cache="20MiB")
        for name in ("requests", "users"):
            self.assertEqual(read[name], drawn[name])
        for one, other in zip(drawn["columns"], read["columns"]):
            for part in ("mean", "p50", "p95", "p99", "max"):
                self.assertAlmostEqual(one[part], other[part], delta=2e-9 + 1e-9 * one[part])
        for one, other in zip(drawn["latencies"], read["latencies"]):
            if one["total"] is None or other["total"] is None:
                self.assertEqual(one["name"], "p99.9")
                continue
            for part in ("total", "wait"):
                self.assertAlmostEqual(one[part]["value"], other[part]["value"],
                                       delta=1e-8 if one["name"] == "mean" else 0.01 * one[part]["value"])
        for name in ("hit_rate", "token_hit_rate"):
            self.assertEqual(figure(read, name)["value"], figure(drawn, name)["value"])

    def test_another_rate_of_a_trace_adds_users(self):
        self.simulate(write_trace="log.csv", requests=3000, growth=0, replications=1)
        base = dict(candidates=None, cache="8GiB", warm_up=0, ttl="5s", replications=1)
        own = self.of_trace("log.csv", **base)
        rate = own["requests_per_s"]
        for times in (2, 3):
            more = self.of_trace("log.csv", qps=times * rate, workers=8, **base)
            self.assertAlmostEqual(more["requests_per_s"] / rate, times, delta=0.01)
            self.assertEqual(more["requests"], times * own["requests"])
            # A user on both sides of where a copy begins is two, so at least as many.
            self.assertGreaterEqual(more["users"], times * own["users"])
            # Gaps of a user are those of the trace: with a TTL a faster clock would find more.
            hits, before = figure(more, "hit_rate")["value"], figure(own, "hit_rate")["value"]
            self.assertLessEqual(hits, before + 0.01)
            self.assertGreater(hits, 0.9 * before)
        half = self.of_trace("log.csv", qps=rate / 2, **base)
        self.assertLess(half["users"], own["users"])
        self.assertEqual(column(half, "history_length")["max"] <= column(own, "history_length")["max"], True)

    def test_batches_share_what_any_pass_takes(self):
        base = dict(token_time=None, candidate_time="10us", service="2ms", token_bytes=None, p99="50ms", qps=700)
        # 700/s of 2.5 ms are beyond one worker; in batches of 8 only 0.5 ms of each are.
        self.assertTrue(self.simulate(exit_code=4, **base)["saturated"])
        together = self.simulate(batch=8, batch_window="4ms", **base)
        self.assertLess(figure(together, "service_s")["value"], 0.0025)
        self.assertIn("requests of a batch share the fixed cost of a pass; not measured", together["assumptions"])
        # A worker that waits for others makes the lone request wait.
        sparse = self.simulate(batch=8, batch_window="4ms", **{**base, "qps": 1})
        self.assertGreater(latency(sparse, "p50", "wait")["value"], 0.0039)

    def test_shortest_first_waits_less_on_average(self):
        base = dict(qps=270, candidates="lognormal:50,400", history=100, growth=0)
        fifo, shortest = self.simulate(**base), self.simulate(order="shortest", **base)
        self.assertFalse(fifo["saturated"] or shortest["saturated"])
        self.assertLess(latency(shortest, "mean", "wait")["value"], 0.9 * latency(fifo, "mean", "wait")["value"])
        busy = [figure(traffic, "utilisation")["value"] for traffic in (fifo, shortest)]
        self.assertAlmostEqual(*busy, delta=1e-3)

    def test_cache_ttl_page_and_warm_up(self):
        def hits(**changed):
            return figure(self.simulate(growth=0, **changed), "hit_rate")["value"]
        # 300 users of 700 KiB at most: nothing is dropped, and only first requests are new.
        everything = hits(cache="8GiB", warm_up=0)
        self.assertAlmostEqual(everything, 1 - 300 / 20000, delta=0.002)
        self.assertGreater(hits(cache="8GiB", warm_up=0.5), everything)
        some = hits(cache="20MiB")
        self.assertLess(some, everything)
        self.assertLess(hits(cache="20MiB", page=4096), some)
        self.assertLess(hits(cache="8GiB", ttl="1s"), hits(cache="8GiB", ttl="10s"))
        self.assertLess(hits(cache="8GiB", ttl="10s"), everything)
        cut = self.simulate(max_history=200)
        self.assertIn("histories: cut to their newest 200 tokens", cut["assumptions"])
        self.assertLess(latency(cut, "mean")["value"], latency(self.simulate(), "mean")["value"])

    def test_a_policy_that_foresees_finds_more(self):
        busy = dict(cache="20MiB", workers=4, growth=0, warm_up=0, replications=2)
        lru, belady = self.simulate(**busy), self.simulate(policy="belady", **busy)
        self.assertEqual((lru["cache"]["policy"], belady["cache"]["policy"]), ("lru", "belady"))
        found = [figure(traffic, "hit_rate")["value"] for traffic in (lru, belady)]
        self.assertLess(found[0], found[1])
        # The curve is of LRU whatever the policy, and has what Belady would find when nobody waits.
        own = next(p for p in belady["hit_rates"] if p["cache_bytes"] == 20 * 1024 * 1024)
        self.assertEqual(lru["hit_rates"], belady["hit_rates"])
        self.assertAlmostEqual(found[1], own["belady"], delta=0.01)
        self.assertIn("by the policy belady", self.kvcast("simulate", *flags(**{**self.BASE, **busy, "policy": "belady"})).stdout)

    def test_a_policy_that_foresees_must_see(self):
        served = self.refused("simulate", *flags(**{**self.BASE, "policy": "belady", "order": "shortest"}))
        self.assertIn("--policy: belady needs to know the requests to come; --order shortest serves out of turn", served)
        replayed = self.refused("replay", *ReplayTest.WORK, "--qps", "60", "--policy", "belady")
        self.assertIn("--policy: belady needs to know the requests to come", replayed)
        self.assertIn("lru", replayed)

    def test_the_curve_of_hit_rates(self):
        traffic = self.simulate(cache="20MiB")
        points = traffic["hit_rates"]
        sizes = [point["cache_bytes"] for point in points]
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertIn(20 * 1024 * 1024, sizes)
        for point in points:
            self.assertLessEqual(point["lru"], point["belady"] + 1e-12)
            self.assertLessEqual(point["belady"], point["bound"] + 1e-12)
        self.assertEqual([p["bound"] for p in points], sorted(p["bound"] for p in points))

    def test_the_distribution_is_that_of_the_percentiles(self):
        traffic = self.simulate(replications=1)
        points = traffic["cdf"]
        self.assertEqual([p["share"] for p in points], sorted(p["share"] for p in points))
        self.assertEqual([p["seconds"] for p in points], sorted(p["seconds"] for p in points))
        self.assertEqual(points[-1]["share"], 1)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            at = points[bisect.bisect_left([p["share"] for p in points], share - 1e-9)]
            self.assertAlmostEqual(at["seconds"], latency(traffic, name)["value"], delta=1e-12)
        loads = [point["utilisation"] for point in traffic["capacity"]]
        self.assertEqual(loads, sorted(loads))
        self.assertTrue(traffic["capacity"][-1]["saturated"])
        self.assertIsNone(traffic["capacity"][-1]["p99_s"])


class FromReportTest(TrafficTest):
    WORK = ["--qps", "0.001", "--candidates", "20", "--requests", "500", "--replications", "2", "--users", "20",
            "--growth", "0"]

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_traffic_")
        cls.addClassCleanup(folder.cleanup)
        cls.runs = Path(folder.name)
        for name, lengths in (("grid", "32,64,128,256"), ("one", "64")):
            # The precision ends it where the machine is quiet; the budget is for one that is not.
            run = kvcast("run", "-L", lengths, *TINY, "-N", "1,8,32", "--budget", "20s", "--precision", "50%", "-q",
                         "-o", name, cwd=cls.runs)
            assert run.returncode == 0, run.stderr

    def from_report(self, path, *args, history=100):
        return self.report("simulate", path, "--history", history, *self.WORK, *args)["traffic"]

    def check_table(self, traffic, longest):
        breakpoints = traffic["service"]
        lengths = [breakpoint["history_length"] for breakpoint in breakpoints]
        self.assertEqual((lengths[0], lengths[-1]), (0, longest))
        self.assertEqual(lengths, sorted(set(lengths)))
        times = [breakpoint["history_s"] for breakpoint in breakpoints]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1], 0)
        for breakpoint in breakpoints:
            self.assertGreaterEqual(min(breakpoint.values()), 0)
        self.assertEqual(traffic["costs"]["residuals"], sorted(traffic["costs"]["residuals"]))
        self.assertGreater(len(traffic["costs"]["residuals"]), 1)
        # Keys and values of 2 layers of 64, of 4 bytes.
        self.assertEqual(traffic["costs"]["bytes_per_token"], 2 * 2 * 64 * 4)

    def test_a_grid(self):
        path = self.runs / "grid"
        traffic = self.from_report(path)
        self.assertEqual(traffic["costs"]["source"], "fitted")
        self.assertIn("shared at L=32 to 256, 2 layers, other lengths from the surface", traffic["costs"]["basis"])
        self.check_table(traffic, 100)
        beyond = self.from_report(path, history=1000)
        self.assertEqual(beyond["costs"]["source"], "extrapolated")
        self.check_table(beyond, 1000)
        self.assertEqual(self.from_report(path / "report.json")["service"], traffic["service"])
        self.check_table(self.from_report(path, "--max-history", "50"), 50)
        cached = self.from_report(path, "--cache", "1GiB", "--warm-up", "0.5")
        self.assertEqual(figure(cached, "hit_rate")["value"], 1)
        self.assertLess(figure(cached, "service_s")["value"], figure(traffic, "service_s")["value"])

    def test_one_shape(self):
        traffic = self.from_report(self.runs / "one")
        self.assertEqual(traffic["costs"]["source"], "assumed")
        self.assertIn("shared at L=64, 2 layers, other lengths scaled by FLOPs", traffic["costs"]["basis"])
        self.check_table(traffic, 100)

    def test_timings_of_ones_own(self):
        (self.dir / "mine.csv").write_text("candidates,naive_seconds,shared_seconds\n" + "".join(
            f"{n},{0.01 * n},{0.01 + 0.001 * n}\n" for n in (1, 5, 20, 100) for _ in range(3)))
        error = self.refused("simulate", "mine.csv", "--history", "100", *self.WORK)
        self.assertIn("--shape: the timings do not record their shape", error)
        traffic = self.from_report("mine.csv", "--shape", "smoke")
        self.assertEqual(traffic["costs"]["source"], "assumed")
        self.assertAlmostEqual(traffic["service"][0]["candidate_s"] / 0.001, 1, delta=0.5)

    def test_refusals(self):
        path = self.runs / "grid"
        for args, flag in ((["--scheme", "naive"], "--scheme"), (["--scheme", "none"], "--scheme"),
                           (["--layers", "9"], "--layers"), (["--shape", "smoke"], "--shape"),
                           (["--tail", "0.5"], "--tail"), (["--token-bytes", "1KiB"], "--token-bytes"),
                           (["--service", "1ms"], "simulate")):
            error = self.refused("simulate", path, "--history", "100", *self.WORK, *args)
            self.assertTrue(error.startswith(f"kvcast: {flag}: "), error)


class ReplayTest(TrafficTest):
    WORK = [*TINY, "--history", "60", "--candidates", "5", "--users", "20", "--cache", "4MiB", "--threads", "1"]

    def test_a_replay(self):
        result = self.kvcast("replay", *self.WORK, "--qps", "60", "--budget", "4s", "-o", "out", "-q", "--format", "json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        report = report_of(result.stdout)
        self.assertTrue(VALIDATOR.is_valid(report))
        self.assertEqual(report, report_of((self.dir / "out/report.json").read_text()))
        self.assertTrue((self.dir / "out/traffic.csv").exists())
        self.assertIsNotNone(report["machine"])
        traffic = report["traffic"]
        # Those of 70% of the budget, Poisson: within 6 standard deviations of 168, where all were served in time.
        if not any(note.startswith("stopped by ") for note in traffic["assumptions"]):
            self.assertLess(abs(traffic["requests"] - 168), 6 * math.sqrt(168))
        self.assertGreaterEqual(column(traffic, "history_length")["mean"], 60)
        rows = {row["name"]: row for row in traffic["replay"]}
        self.assertEqual(set(rows), {"throughput", "mean", "p50", "p95", "p99", "mean_service", "hit_rate",
                                     "token_hit_rate"})
        # One worker takes requests in the same order, whatever their times: so it finds the same.
        for name in ("hit_rate", "token_hit_rate"):
            self.assertEqual(rows[name]["error_pct"], 0)
        self.assertEqual([rows[n]["tolerance_pct"] for n in ("throughput", "p50", "mean")], [5, 10, None])
        self.assertTrue(any(note.startswith("compared over ") for note in traffic["assumptions"]))
        self.assertTrue(all(w["canary_ratio"] is None or w["canary_ratio"] > 0 for w in traffic["windows"]))
        starts = [w["start_s"] for w in traffic["windows"]]
        self.assertEqual(starts, sorted(starts))
        self.assertEqual(traffic["cdf"][-1]["share"], 1)
        self.assertIn("simulation against replay on the engine", (self.dir / "out/traffic.md").read_text())
        for breakpoint in traffic["service"]:
            self.assertGreaterEqual(min(breakpoint.values()), 0)

    def test_every_request_of_a_log_is_served(self):
        log = self.trace(f"{20 * i},{i % 7},{40 + i // 7},{3 + i % 4}" for i in range(60))
        traffic = self.report("replay", *TINY, "--threads", "1", "--trace", log, "--cache", "4MiB", "--budget", "4s",
                              "-q", "--warm-up", "0")["traffic"]
        self.assertEqual((traffic["requests"], traffic["users"]), (60, 7))
        self.assertAlmostEqual(figure(traffic, "hit_rate")["value"], 53 / 60, delta=1e-9)
        # 60 requests, 7 users with 40 to 47 tokens first; appends of one token each are the rest.
        new, tokens = 7 * 40 + 53, sum(40 + i // 7 for i in range(60))
        self.assertAlmostEqual(figure(traffic, "token_hit_rate")["value"], 1 - new / tokens, delta=1e-9)

    def test_a_closed_loop(self):
        traffic = self.report("replay", *self.WORK, "--qps", "50", "--budget", "2s", "--closed-loop", "-q")["traffic"]
        self.assertGreater(traffic["requests"], 0)
        self.assertEqual({row["wait"]["value"] for row in traffic["latencies"] if row["wait"]}, {0})

    def test_refusals_name_the_field(self):
        for args, start in ((["--mask", "bidirectional"], "model.mask: bidirectional"),
                            (["--workers", "4097"], "--workers: '4097' is out of range"),
                            (["--workers", "4096"], "--workers: 4096 workers of 1 thread"),
                            (["--workers", "0"], "--workers: '0' is out of range"),
                            (["--max-memory", "1MiB"], "/model: the replay needs about"),
                            (["--warm-up", "0.95"], "--warm-up: '0.95'"),
                            (["--output", ""], "--output: the folder has no name")):
            error = self.refused("replay", *self.WORK, "--qps", "50", "--budget", "2s", "-q", *args)
            self.assertTrue(error.startswith("kvcast: " + start), error)
        error = self.refused("replay", *self.WORK, "--budget", "2s", "-q")
        self.assertTrue(error.startswith("kvcast: --qps: is missing"), error)
        log = self.trace(["0,1,10,5", "9000000,1,11,5"])
        self.assertIn("--bogus", self.refused("replay", "--bogus"))
        for gone in ("-L", "-N", "--find"):
            self.assertIn(gone, self.refused("replay", *self.WORK, "--qps", "50", gone, "5"))
        self.assertEqual([path.name for path in self.dir.iterdir()], [log])

    def test_an_interrupt_keeps_what_was_served(self):
        run = subprocess.Popen([BIN, "replay", *self.WORK, "--qps", "50", "--budget", "10s", "-o", "out", "--format",
                                "json"], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL)
        self.addCleanup(run.kill)
        # Timing the passes takes up to 30% of the budget; then requests are served.
        for line in run.stderr:
            if line.strip().startswith("replay"):
                break
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 130, err)
        self.assertIn("interrupted; the report covers the requests served so far", err)
        report = report_of(out)
        self.assertTrue(VALIDATOR.is_valid(report))
        self.assertGreater(report["traffic"]["requests"], 0)
        self.assertTrue(any(note.startswith("stopped by the ") for note in report["traffic"]["assumptions"]))
        self.assertTrue((self.dir / "out/report.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
