#!/usr/bin/env python3
"""What is around the program: variables of the libraries below it, signals, readers that go away, a busy machine.

No test compares two timings. KVCAST_BIN is the binary.
"""
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

from cli_test import BIN, TIMEOUT_S, CliTest, environment, kvcast

TINY = ["-L", "16", "-d", "16", "--heads", "2", "--layers", "1"]
QUICK = [*TINY, "-N", "1,2", "--budget", "10s", "--precision", "0.9"]
# Whatever a signal finds it at: minutes of work in steps of seconds.
LONG = ["-L", "1024", "-d", "512", "--heads", "8", "--layers", "8"]
SOON_S = 2


class VariablesTest(CliTest):
    def with_variables(self, *args, **variables):
        return kvcast(*args, cwd=self.dir, env=environment(**variables))

    def cpus(self, launcher=(), **variables):
        """CPUs that `info` counts, and its stderr."""
        result = subprocess.run([*launcher, BIN, "info", "--threads", "1", "--format", "json"], cwd=self.dir,
                                capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(**variables))
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)["machine"]["threads"], result.stderr

    def test_binding_does_not_hide_cpus(self):
        mine = len(os.sched_getaffinity(0))
        for variables in ({"OMP_PROC_BIND": "true"}, {"OMP_PROC_BIND": "spread"}, {"OMP_PROC_BIND": "close"},
                          {"OMP_PLACES": "cores"}, {"OMP_PLACES": "threads", "OMP_PROC_BIND": "master"},
                          {"OMP_PLACES": "{0}"}, {"GOMP_CPU_AFFINITY": "0"}, {"KMP_AFFINITY": "compact"}):
            with self.subTest(variables=variables):
                counted, said = self.cpus(**variables)
                self.assertEqual(counted, mine)
                for name in variables:
                    self.assertIn(name, said)
                plan = self.with_variables("run", "smoke", "--threads", str(mine), "--dry-run", "-q", **variables)
                self.assertEqual((plan.returncode, plan.stderr), (0, ""))
        self.assertEqual(self.cpus()[1], "")

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one CPU")
    def test_a_limit_of_the_system_stays_one(self):
        one = str(min(os.sched_getaffinity(0)))
        for variables in ({}, {"OMP_PROC_BIND": "true"}):
            self.assertEqual(self.cpus(("taskset", "-c", one), **variables)[0], 1)

    def test_what_onednn_would_print_is_not_printed(self):
        for variables in ({"DNNL_VERBOSE": "1"}, {"ONEDNN_VERBOSE": "2", "ONEDNN_VERBOSE_TIMESTAMP": "1"},
                          {"ONEDNN_JIT_DUMP": "1", "DNNL_JIT_DUMP": "1"}, {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}):
            with self.subTest(variables=variables):
                result = self.with_variables("verify", "smoke", "-q", "--format", "json", **variables)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(json.loads(result.stdout)["equivalence"]["agrees"])
                result = self.with_variables("run", *QUICK, "-q", "--format", "json", **variables)
                self.assertEqual(result.returncode, 0, result.stderr)
                json.loads(result.stdout)
                self.assertEqual(list(self.dir.iterdir()), [])  # no dumps of code
        self.assertEqual(self.with_variables("verify", *TINY, DNNL_VERBOSE="1").stderr.splitlines()[0],
                         "kvcast: DNNL_VERBOSE: ignored by kvcast")

    def test_a_limit_of_onednns_instructions_is_in_every_report(self):
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            with self.subTest(variable=name):
                variable = {name: "SSE41"}
                verified = json.loads(self.with_variables("verify", *TINY, "-q", "--format", "json", **variable).stdout)
                self.assertEqual(verified["machine"]["dense_isa"], "sse41")
                self.assertIn(name, [w["text"] for w in verified["warnings"] if w["code"] == "dense-isa"][0])
                self.assertIn(name, self.with_variables("verify", *TINY, "-q", **variable).stdout)
                run = self.with_variables("run", *QUICK, "-q", "--details", "-o", "out", "--force", **variable)
                self.assertEqual(run.returncode, 0, run.stderr)
                # Once in the report, it is in what is made from it, too.
                shown = subprocess.run([BIN, "fit", "out", "--details"], cwd=self.dir, capture_output=True, text=True).stdout
                for text in (run.stdout, (self.dir / "out/report.json").read_text(), shown,
                             (self.dir / "out/report.md").read_text(), (self.dir / "out/report.html").read_text()):
                    self.assertIn(name, text.replace("\\_", "_"))
        plain = json.loads(self.kvcast("verify", *TINY, "-q", "--format", "json").stdout)
        for value in ("ALL", "no such thing", ""):  # limits nothing
            said = json.loads(self.with_variables("verify", *TINY, "-q", "--format", "json",
                                                  ONEDNN_MAX_CPU_ISA=value).stdout)
            self.assertEqual(said["warnings"], plain["warnings"], value)

    def test_teams_are_whole_whatever_openmp_is_told(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU")
        for variables in ({"OMP_MAX_ACTIVE_LEVELS": "0"}, {"OMP_NESTED": "true"}, {"OMP_NUM_THREADS": "1"},
                          {"OMP_NUM_THREADS": "1,1"}, {"OMP_SCHEDULE": "static,1"}, {"OMP_WAIT_POLICY": "passive"},
                          {"GOMP_SPINCOUNT": "0"}, {"OMP_WAIT_POLICY": "active"}):
            with self.subTest(variables=variables):
                result = self.with_variables("verify", *TINY, "-L", "64", "-d", "64", "--threads", "2", "-q", **variables)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                result = self.with_variables("run", *QUICK, "--schemes", "naive", "-N", "1,5,10", "--threads", "2", "-q",
                                             "--format", "json", **variables)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertTrue(json.loads(result.stdout)["cases"][0]["equivalence"]["agrees"])
        # Without anything in the environment there is nowhere to put the number of spins.
        bare = subprocess.run([BIN, "verify", *TINY, "-q"], cwd=self.dir, capture_output=True, text=True, env={})
        self.assertEqual((bare.returncode, bare.stderr), (0, ""))

    @unittest.skipIf("gomp" not in kvcast("info", cwd=None).stdout, "no libgomp")
    @mock.patch.dict(os.environ)
    def test_threads_spin_for_a_moment_only_unless_told_otherwise(self):
        os.environ.pop("OMP_WAIT_POLICY", None)  # ctest sets it
        def settings(**variables):
            shown = self.with_variables("--version", OMP_DISPLAY_ENV="verbose", **variables).stderr
            return {name: re.search(rf"{name} = '(.*)'", shown).group(1) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
        if not re.search("GOMP_SPINCOUNT", self.with_variables("--version", OMP_DISPLAY_ENV="verbose").stderr):
            self.skipTest("a build with sanitizers")
        self.assertLessEqual(int(settings()["GOMP_SPINCOUNT"]), 20000)
        self.assertGreater(int(settings()["GOMP_SPINCOUNT"]), 0)
        self.assertLessEqual(int(settings(OMP_PLACES="cores")["GOMP_SPINCOUNT"]), 20000)
        self.assertEqual(settings(GOMP_SPINCOUNT="77")["GOMP_SPINCOUNT"], "77")
        self.assertEqual(settings(OMP_WAIT_POLICY="passive")["GOMP_SPINCOUNT"], "0")
        self.assertEqual(settings(OMP_WAIT_POLICY="active")["OMP_WAIT_POLICY"], "ACTIVE")

    def test_a_variable_that_lends_its_place_has_it_back(self):
        # NO_COLOR is the last one, which is where the number of spins is put while libraries start.
        self.assertNotIn("\x1b[3", self.on_terminal(["run", *QUICK], "stderr", NO_COLOR="1", code=None))


class ReadingTest(CliTest):
    def test_a_terminal_shows_how_far_a_log_is_read(self):
        with open(self.dir / "log.csv", "w") as file:  # several blocks
            file.write("timestamp_ms,user_id,history_len,n_candidates\n")
            file.writelines(f"{10 * i},{i % 9},10,5\n" for i in range(40_000))
        command = ["simulate", "--trace", "log.csv", "--service", "1ms", "--replications", "1"]
        self.assertRegex(self.on_terminal(command, "stderr"), r"reading log\.csv +[0-9]+%")
        self.assertNotIn("reading", self.on_terminal([*command, "-q"], "stderr"))


class SignalTest(CliTest):
    def big(self, name, rows):
        """Timings that take seconds to read."""
        draw = random.Random(1)
        with open(self.dir / name, "w") as file:
            file.write("candidates,naive_seconds,shared_seconds\n")
            for _ in range(rows):
                n = draw.choice((1, 2, 5, 10, 20, 50, 100))
                file.write(f"{n},{0.01 * n * draw.uniform(0.9, 1.1):.6f},{(0.01 + 0.001 * n) * draw.uniform(0.9, 1.1):.6f}\n")
        return name

    def files(self):
        return sorted(str(path.relative_to(self.dir)) for path in self.dir.rglob("*"))

    def ends(self, number, wait_s, *args):
        before = self.files()
        process = subprocess.Popen([BIN, *args], cwd=self.dir, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.addCleanup(process.kill)
        time.sleep(wait_s)
        self.assertIsNone(process.poll(), "it has ended before the signal")
        process.send_signal(number)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        taken = time.monotonic() - began
        self.assertEqual(process.returncode, 128 + number, stderr)
        # Twice the promise, since what ends it must get a CPU first.
        self.assertLess(taken, 2 * SOON_S)
        self.assertEqual((stdout, self.files()), ("", before))
        self.assertEqual(stderr, "kvcast: interrupted\n")

    def test_the_first_signal_ends_every_command(self):
        big = self.big("big.csv", 300_000)
        self.ends(signal.SIGHUP, 0.5, "verify", *LONG, "-q")
        for number in (signal.SIGINT, signal.SIGTERM):
            for args in (["verify", *LONG], ["verify", *LONG, "--export", "case.safetensors"],
                         ["simulate", "--service", "1ms", "--qps", "900", "--history", "9", "--candidates", "1",
                          "--requests", "100000000", "-o", "out", "--write-trace", "trace.csv"],
                         ["fit", big, "-o", "out"], ["size", big, "--p99", "1s", "-o", "out"], ["compare", big, big],
                         ["info"], ["run", *LONG, "-o", "out"],
                         # Beyond its first step there is nothing to save, and within it nothing to wait for.
                         ["run", *LONG, "-L", "6000", "-N", "1", "--budget", "999s", "-o", "out"]):
                with self.subTest(signal=number, args=args):
                    quiet = [] if args[0] in ("compare", "info") else ["-q"]
                    self.ends(number, 0.3 if args[0] == "info" else 0.5, *args, *quiet)

    def test_the_first_signal_ends_what_reads_reports(self):
        grid = ["-d", "16", "--heads", "2", "--layers", "1", "-L", "16,24", "-N", "1,2,5", "--budget", "10s",
                "--precision", "0.9", "-q"]
        parts = [f"part-{i}" for i in (1, 2)]
        for i, part in enumerate(parts, 1):
            result = self.kvcast("run", *grid, "--shard", f"{i}/2", "-o", part)
            self.assertIn(result.returncode, (0, 4), result.stderr)  # others may use the CPUs
            # The same rounds again and again: seconds to read.
            samples = self.dir / part / "samples.csv"
            with samples.open(newline="") as file:
                rows = list(csv.DictReader(file))
            with samples.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                rounds = 1 + max(int(row["round"]) for row in rows)
                for again in range(1 + 300_000 // len(rows)):
                    writer.writerows({**row, "round": int(row["round"]) + again * rounds} for row in rows)
        for number in (signal.SIGINT, signal.SIGTERM):
            for args in (["merge", *parts, "-o", "whole", "-q"], ["report", parts[0], "--to", "html,xlsx,csv", "-o", "again",
                                                                  "-q"]):
                with self.subTest(signal=number, args=args):
                    self.ends(number, 0.3, *args)

    def test_a_second_signal_does_not_wait(self):
        process = subprocess.Popen([BIN, "run", *LONG, "-L", "3000", "-d", "1024", "-N", "1", "--budget", "999s", "-q"],
                                   cwd=self.dir, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env=environment())
        self.addCleanup(process.kill)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
        self.assertIn(process.returncode, (128 + signal.SIGTERM, 128 + signal.SIGINT))

    def test_a_reader_that_goes_away_is_no_error(self):
        for args in (["presets", "show", "smoke"], ["--help"], ["run", "smoke", "--dry-run", "-q"],
                     ["fit", self.big("few.csv", 200), "-q"], ["completion", "bash"]):
            with self.subTest(args=args):
                reader, writer = os.pipe()
                os.close(reader)
                result = subprocess.run([BIN, *args], cwd=self.dir, stdout=writer, stderr=subprocess.PIPE, text=True)
                os.close(writer)
                self.assertEqual((result.returncode, result.stderr), (128 + signal.SIGPIPE, ""))


class BusyTest(CliTest):
    """A run whose conditions are planted: what other programs took is written into its report."""

    def setUp(self):
        super().setUp()
        result = self.kvcast("run", *TINY, "-N", "1,4", "--budget", "10s", "--precision", "0.9", "-q", "--shard", "1/1",
                             "-o", "out")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.plant(83)

    def plant(self, foreign, steal=0, canary=1):
        path = self.dir / "out/report.json"
        report = json.loads(path.read_text())
        report["conditions"].update(foreign_cpu_pct=foreign, steal_pct=steal)
        report["warnings"] = []
        path.write_text(json.dumps(report))
        # Every round alike, so that nothing but the conditions speaks.
        with open(self.dir / "out/samples.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            n = int(row["candidates"])
            ripple = 1 + 0.001 * (int(row["round"]) % 3)
            row["measured_seconds"] = repr((n if row["scheme"] == "naive" else 1 + 0.1 * n) * 0.01 * ripple)
            if row.get("prefill_s"):
                row["prefill_s"], row["scoring_s"] = repr(0.01 * ripple), repr(0.001 * n * ripple)
            row["canary_ratio"] = repr(canary)
        with open(self.dir / "out/samples.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def raw(self, *args):
        return subprocess.run([BIN, *args], cwd=self.dir, capture_output=True, text=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL, env=environment())

    WHY = "o usable result: other processes used 83% of the CPUs"

    def test_the_headline_says_so_instead_of_a_number(self):
        result = self.raw("fit", "out", "-q", "-o", "fitted")
        self.assertEqual(result.returncode, 4)
        self.assertEqual(result.stdout.splitlines()[0], f"N{self.WHY}.")
        self.assertEqual(result.stderr, f"kvcast: N{self.WHY}\n")
        report = json.loads((self.dir / "fitted/report.json").read_text())
        self.assertEqual([w["text"] for w in report["warnings"] if w["code"] == "no-result"], [f"N{self.WHY}"])
        for name in ("report.md", "report.html"):
            text = (self.dir / "fitted" / name).read_text()
            self.assertIn(self.WHY, text)
            self.assertNotIn("Sharing gives", text)

    def test_nothing_is_built_on_it_without_a_word(self):
        for args in (["merge", "out"], ["size", "out", "--p99", "1s"],
                     ["simulate", "out", "--qps", "1", "--history", "16", "--candidates", "2", "--users", "9"]):
            with self.subTest(args=args):
                self.assert_one_line(self.raw(*args, "-q"), 4, "out: ", self.WHY)
        self.assertIn(f"A: N{self.WHY}", self.raw("compare", "out", "out").stdout)
        # Its tail is named, and one's own may take its place.
        self.assertRegex(self.raw("size", "out", "--p99", "1s", "-q").stderr, r"P99 of the timings is 1(\.0\d*)? times")
        result = self.raw("size", "out", "--p99", "1s", "--tail", "1.3", "-q", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        notes = " ".join(json.loads(result.stdout)["sizing"]["notes"])
        self.assertIn(self.WHY, notes)
        self.assertIn("--tail assumes 1.3", notes)
        result = self.raw("simulate", "out", "--qps", "0.001", "--history", "16", "--candidates", "2", "--users", "9",
                          "--growth", "0", "--requests", "500", "--tail", "1.3", "-q")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_machine_that_is_a_little_busy_is_good_enough(self):
        for planted in ({"foreign": 30}, {"foreign": 70}, {"foreign": 0, "steal": 20}, {"foreign": 0, "canary": 0.5}):
            with self.subTest(planted=planted):
                self.plant(**planted)
                self.assertEqual(self.raw("fit", "out", "-q").returncode, 0)
                merged = self.raw("merge", "out", "-q")
                self.assertEqual(merged.returncode, 0, merged.stderr)
                sized = self.raw("size", "out", "--p99", "1s", "-q")
                self.assertEqual(sized.returncode, 0, sized.stderr)

    def test_a_stolen_machine_is_said_to_be(self):
        self.plant(foreign=1, steal=90)
        self.assertIn("No usable result: the hypervisor took 90% of the CPUs' time", self.raw("fit", "out", "-q").stderr)

    def test_beside_a_program_on_every_cpu_a_run_has_a_figure_or_says_that_it_has_none(self):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
        try:
            result = self.raw("run", "-L", "32,64", "-d", "64", "--heads", "4", "--layers", "2", "-N", "1,10", "--budget",
                              "6s", "-q", "-o", "busy")
        finally:
            for other in others:
                other.kill()
                other.wait()
        if "nothing could be measured" in result.stderr:
            self.skipTest(result.stderr.strip())
        self.assertIn(result.returncode, (0, 4), result.stderr)
        if result.returncode == 4:
            self.assertRegex(result.stdout, r"\ANo usable result: ")
            self.assertNotRegex(result.stdout, r"gives [0-9.]+x")
        self.assertTrue((self.dir / "busy/report.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
