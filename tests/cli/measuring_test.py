#!/usr/bin/env python3
"""Grids, shards, journals and resuming, cold and pinned runs, the self-check: with the real binary.

No test compares two timings. KVCAST_BIN is the binary.
"""
import csv
import json
import shutil
import signal
import subprocess
import time
import unittest

from cli_test import BIN, CliTest, environment, isa_names

TINY = ["-d", "16", "--heads", "2", "-N", "1,3"]


class GridTest(CliTest):
    def plan(self, *args):
        result = self.kvcast("run", "--dry-run", "--format", "json", *TINY, *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def shapes(self, plan):
        return [(case["history_length"], case["layers"]) for case in plan["cases"]]

    def test_the_plan_shows_every_shape_point_time_and_memory(self):
        plan = self.plan("-L", "8,16", "--layers", "1-2")
        self.assertEqual(self.shapes(plan), [(8, 1), (16, 1), (8, 2), (16, 2)])
        self.assertEqual(len(plan["points"]), 4 * 2 * 2)
        self.assertGreater(plan["round_s"], 0)
        self.assertGreater(plan["memory_bytes"], 0)
        table = self.kvcast("run", "--dry-run", *TINY, "-L", "8,16", "--layers", "1-2").stdout
        self.assertIn("4 shapes, 16 points", table)

    def test_a_config_asks_for_a_grid_and_a_flag_ends_it(self):
        self.write("grid.json", {"sweep": {"history_length": "8-32*2", "layers": [1, 2]}})
        self.assertEqual(len(self.plan("./grid.json")["cases"]), 6)
        self.assertEqual(self.shapes(self.plan("./grid.json", "-L", "8")), [(8, 1), (8, 2)])
        self.assertEqual(self.shapes(self.plan("./grid.json", "-L", "4,8", "--layers", "3")), [(4, 3), (8, 3)])

    def test_what_memory_does_not_hold_at_once_is_measured_in_parts(self):
        # The shapes take about 33 MiB each.
        plan = self.plan("-L", "8,16", "--layers", "1,2", "--max-memory", "80MiB")
        self.assertEqual(plan["batches"], 2)
        self.assertLessEqual(plan["memory_bytes"], 80 << 20)
        self.assertIn("2 parts one after the other", self.kvcast("run", "--dry-run", *TINY, "-L", "8,16", "--layers",
                                                                  "1,2", "--max-memory", "80MiB").stdout)

    def test_every_shape_is_measured_and_checked(self):
        for extra in ([], ["--max-memory", "80MiB"]):
            with self.subTest(extra=extra):
                out = self.dir / f"out{len(extra)}"
                result = self.kvcast("run", "-q", *TINY, "-L", "8,16", "--layers", "1,2", "--budget", "10s", "-o",
                                     str(out), *extra)
                self.assertEqual(result.returncode, 0, result.stderr)
                report = json.loads((out / "report.json").read_text())
                self.assertEqual([(c["shape"]["history_length"], c["shape"]["layers"]) for c in report["cases"]],
                                 [(8, 1), (16, 1), (8, 2), (16, 2)])
                for case in report["cases"]:
                    self.assertTrue(case["equivalence"]["agrees"])
                    self.assertEqual([p["candidates"] for p in case["points"]], [1, 3])
                    self.assertGreater(case["points"][1]["schemes"]["shared"]["speedup"]["value"], 0)
                self.assertGreater(report["conditions"]["rounds"], 0)
                self.assertFalse((out / "journal.jsonl").exists())
                with open(out / "samples.csv", newline="") as file:
                    rows = list(csv.DictReader(file))
                self.assertEqual(len({(r["history_length"], r["layers"], r["candidates"], r["scheme"])
                                      for r in rows}), 16)

    def test_faults(self):
        self.refused(["-L", "8,x"], "--history", "'x' is not a whole number")
        self.refused(["-L", "8,12", "--token-merge", "8"], "history_length 12", "token_merge")
        self.refused(["--layers", "0,1"], "--layers", "out of range")
        self.refused(["--set", "sweep.layer=1,2"], "--set sweep.layer", "did you mean 'sweep.layers'?")


class ShardTest(CliTest):
    def test_shards_are_the_grid_in_parts(self):
        grid = ["run", "--dry-run", "--format", "json", *TINY, "-L", "8,16,32", "--layers", "1,2"]
        whole = json.loads(self.kvcast(*grid).stdout)["points"]
        parts = []
        for index in range(1, 5):
            parts += json.loads(self.kvcast(*grid, "--shard", f"{index}/4").stdout)["points"]
        key = lambda p: (p["layers"], p["history_length"], p["candidates"], p["scheme"])
        self.assertEqual(sorted(map(key, parts)), sorted(map(key, whole)))

    def test_faults(self):
        for text in ("0/2", "3/2", "1", "1/", "/2", "1/2/3", "a/b", "-1/2", "1/0", "1.5/2"):
            self.refused(["--shard", text], "--shard", f"'{text}' is not i/n")
        self.refused(["--shard", "1/2"], "--shard", "2 shards of 1 shapes")


class JournalTest(CliTest):
    # Precision that no machine reaches, so that only the budget or 200 rounds end the run.
    LONG = ["-L", "64", "-d", "64", "--layers", "2", "-N", "1,5", "--heads", "2", "--precision", "0.0001%"]

    def begin(self, *args, rounds=5):
        """A run that has journalled some rounds, still running."""
        process = subprocess.Popen([BIN, "run", "-q", *self.LONG, "--budget", "60s", "-o", "out", *args],
                                   cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        journal = self.dir / "out/journal.jsonl"
        end = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") <= rounds:
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), end, "no rounds were journalled")
            time.sleep(0.01)
        return process

    def killed(self):
        process = self.begin()
        process.kill()
        process.wait()
        return self.dir / "out/journal.jsonl"

    def test_a_killed_run_keeps_its_rounds_and_is_finished_by_resume(self):
        journal = self.killed()
        kept = [json.loads(line) for line in journal.read_text().splitlines(keepends=True)[1:] if line.endswith("\n")]
        self.assertGreaterEqual(len(kept), 5)
        self.assertFalse((self.dir / "out/report.json").exists())
        # As it is, it can be fitted.
        fitted = self.kvcast("fit", "out/journal.jsonl", "--format", "json")
        self.assertEqual(fitted.returncode, 0, fitted.stderr)
        self.assertIsNotNone(json.loads(fitted.stdout)["cases"][0]["fits"]["shared"]["r"])

        result = self.kvcast("run", "--resume", "out", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["conditions"]["rounds"], 200)
        self.assertGreaterEqual(report["conditions"]["resumed"], 5)
        self.assertFalse(journal.exists())
        with open(self.dir / "out/samples.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        # The rounds of the first process are in it, unchanged, and every round once.
        times = {(r["round"], r["scheme"], r["candidates"]): float(r["measured_seconds"]) for r in rows}
        self.assertEqual(len(times), len(rows))
        for line in kept:
            for _, sample in line["samples"]:
                key = (str(line["round"]), sample["scheme"], str(sample["candidates"]))
                self.assertEqual(times[key], sample["measured_seconds"])

    def test_signals_keep_the_journal_beside_the_partial_report(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                process = self.begin()
                process.send_signal(number)
                _, stderr = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 128 + number)
                self.assertIn("--resume out", stderr)
                report = json.loads((self.dir / "out/report.json").read_text())
                self.assertEqual(report["conditions"]["stopped_by"], "interrupt")
                self.assertTrue((self.dir / "out/journal.jsonl").exists())
                # A new run does not write over it.
                self.assert_one_line(self.kvcast("run", "-q", *self.LONG, "-o", "out"), 2, "out/journal.jsonl",
                                     "--resume out")
                shutil.rmtree(self.dir / "out")

    def test_a_file_that_may_not_grow_ends_the_run_and_keeps_whole_rounds(self):
        # The journal grows by 1 KiB a round; bash counts in KiB.
        result = subprocess.run(["bash", "-c", f"ulimit -f 12; exec '{BIN}' run -q {' '.join(self.LONG)} --budget 60s -o out"],
                                cwd=self.dir, capture_output=True, text=True, timeout=120, env=environment())
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("out/journal.jsonl", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        lines = (self.dir / "out/journal.jsonl").read_text().splitlines(keepends=True)
        self.assertGreater(len(lines), 2)
        for line in lines:
            self.assertTrue(line.endswith("\n"))
            json.loads(line)
        self.assertEqual(self.kvcast("run", "-q", "--resume", "out").returncode, 0)

    def test_a_run_on_another_simd_target_is_resumed_on_it(self):
        process = self.begin("--isa", isa_names()[-1], rounds=2)
        process.kill()
        process.wait()
        result = self.kvcast("run", "-q", "--resume", "out", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotEqual(json.loads(result.stdout)["machine"]["isa"], "AVX3")

    def test_a_torn_line_is_left_out(self):
        journal = self.killed()
        whole = journal.read_bytes()
        journal.write_bytes(whole[:-len(whole.splitlines()[-1]) // 2])
        self.assertEqual(self.kvcast("run", "-q", "--resume", "out").returncode, 0)

    def test_resume_refuses_another_config_machine_or_build(self):
        journal = self.killed()
        lines = journal.read_text().splitlines(keepends=True)
        self.assert_one_line(self.kvcast("run", "--resume", "out", "--seed", "9"), 2, "--resume out", '"seed": 1',
                             '"seed": 9')
        self.assert_one_line(self.kvcast("run", "--resume", "out", "smoke"), 2, "--resume out")
        for flag in (["-o", "other"], ["--shard", "1/1"], ["--self-check"], ["--dry-run"]):
            self.assert_one_line(self.kvcast("run", "--resume", "out", *flag), 2, "--resume")
        head = json.loads(lines[0])
        for section, member, value in (("machine", "cpu_model", "another CPU"), ("machine", "threads", 999),
                                       ("tool", "git_commit", "0123456789ab"), ("tool", "version", "9.9.9")):
            with self.subTest(member=member):
                other = json.loads(json.dumps(head))
                other[section][member] = value
                journal.write_text(json.dumps(other) + "\n" + "".join(lines[1:]))
                self.assert_one_line(self.kvcast("run", "--resume", "out"), 2, "out/journal.jsonl", str(value))
        journal.write_text("".join(lines))
        # The same config given again is no other.
        self.assertEqual(self.kvcast("run", "-q", "--resume", "out", "--seed", "1").returncode, 0)

    def test_nothing_to_resume(self):
        self.assertIn(self.kvcast("run", "--resume", "nowhere").returncode, (2, 3))
        self.assertFalse((self.dir / "nowhere").exists())

    def test_a_journal_in_use_is_left_alone(self):
        self.begin()
        self.assert_one_line(self.kvcast("run", "-q", "--resume", "out"), 2, "in use by another")


class HeadTest(CliTest):
    """A run with a ranking head behind every scheme."""
    ARGS = ["-L", "32", "--layers", "2", *TINY, "--head-width", "8", "--precision", "50%"]
    ROWS = [(n, scheme) for n in (1, 3) for scheme in ("naive", "shared")]

    def degradation(self, text):
        report = json.loads(text)
        rows = report["degradation"]
        self.assertEqual([(row["candidates"], row["scheme"]) for row in rows], self.ROWS)
        for row in rows:
            self.assertEqual((row["history_length"], row["layers"], row["status"]), (32, 2, "measured"))
            self.assertGreater(row["drop"]["value"], 0)
            self.assertLess(row["drop"]["value"], 1)
            self.assertGreater(row["head_s"], 0)
            self.assertEqual(row["drop_exact"] is None, row["scheme"] == "naive")
            self.assertEqual(row["drop_design_note"] is None, row["scheme"] == "naive")
        return report, rows

    def test_its_drops_are_in_the_report_and_whoever_asks_again_gets_the_same(self):
        result = self.kvcast("run", "-q", *self.ARGS, "--schemes", "naive,shared", "--budget", "4s", "-o", "out",
                             "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report, rows = self.degradation(result.stdout)
        case = report["cases"][0]
        # It is no scheme: neither among the points nor among what is fitted.
        self.assertEqual([list(point["schemes"]) for point in case["points"]], [["naive", "shared"]] * 2)
        self.assertEqual(list(case["fits"]), ["shared"])
        self.assertEqual({row["scheme"] for row in case["memory"]}, {"naive", "shared"})
        self.assertGreater(case["fits"]["shared"]["explanation"]["shares"][0]["head"], 0)
        with open(self.dir / "out/samples.csv", newline="") as file:
            samples = list(csv.DictReader(file))
        self.assertEqual({row["scheme"] for row in samples}, {"naive", "shared", "head", "naive+head", "shared+head"})

        (self.dir / "alone").mkdir()
        (self.dir / "alone/samples.csv").write_bytes((self.dir / "out/samples.csv").read_bytes())
        for path in ("out", "alone/samples.csv"):
            with self.subTest(path=path):
                fitted = self.kvcast("fit", path, "--format", "json")
                self.assertEqual(fitted.returncode, 0, fitted.stderr)
                again, its_rows = self.degradation(fitted.stdout)
                self.assertEqual(its_rows, rows)
                self.assertEqual(again["cases"][0]["fits"]["shared"]["r"], case["fits"]["shared"]["r"])
        self.assertRegex(self.kvcast("fit", "out").stdout, r"(?m)^drop +throughput of the ranking head behind naive")
        self.assertIn("throughput drop of the ranking head", self.kvcast("fit", "out", "--details").stdout)
        self.assertEqual(self.kvcast("compare", "out", "out").returncode, 0)
        merged = self.kvcast("merge", "out", "--format", "json")
        self.assertEqual(merged.returncode, 0, merged.stderr)
        self.assertEqual(self.degradation(merged.stdout)[1], rows)

    def test_a_killed_run_is_finished_with_its_head(self):
        process = subprocess.Popen([BIN, "run", "-q", *self.ARGS[:-2], "--precision", "0.0001%", "--budget", "6s",
                                    "-o", "out"], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        journal = self.dir / "out/journal.jsonl"
        end = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), end, "no rounds were journalled")
            time.sleep(0.01)
        process.kill()
        process.wait()
        result = self.kvcast("run", "-q", "--resume", "out", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report, _ = self.degradation(result.stdout)
        self.assertGreaterEqual(report["conditions"]["resumed"], 1)

    def test_the_plan_shows_it_and_refuses_what_memory_does_not_hold(self):
        plan = json.loads(self.kvcast("run", "--dry-run", *self.ARGS, "--format", "json").stdout)
        self.assertEqual({point["scheme"] for point in plan["points"]},
                         {"naive", "shared", "head", "naive+head", "shared+head"})
        self.refused(["--head-width", "100000"], "GiB of memory")
        self.refused(["--head-width", "4000000000"], "--head-width", "overflows 64 bits")
        self.refused(["--head-layers", "0"], "--head-layers", "out of range")

    def test_verify_passes_over_it(self):
        self.write("head.json", {"model": {"history_length": 32, "dim": 16, "heads": 2, "layers": 2, "head_width": 8}})
        verified = self.kvcast("verify", "-q", "./head.json", "--export", "case.safetensors", "--format", "json")
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assert_one_line(self.kvcast("verify", "./head.json", "--head-width", "8"), 2, "--head-width")
        # The case has no weights of the head, but the config that it was exported with, whose head is seeded.
        imported = ["run", "--dry-run", "--import", "case.safetensors", "-N", "1", "--format", "json"]
        for args, points in ([], 5), (["--head-width", "0"], 2):
            self.assertEqual(len(json.loads(self.kvcast(*imported, *args).stdout)["points"]), points)

    def test_cold_runs_in_bf16(self):
        result = self.kvcast("run", "-q", *self.ARGS, "--cold", "--schemes", "naive,shared,cached", "--dtype", "bf16",
                             "--budget", "3s", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = json.loads(result.stdout)["degradation"]
        self.assertEqual({row["scheme"] for row in rows}, {"naive", "shared", "cached"})


class ModesTest(CliTest):
    def report(self, *args):
        result = self.kvcast("run", "-q", "-L", "32", "--layers", "2", "--budget", "8s", *TINY, "--format", "json", *args)
        return result, json.loads(result.stdout)

    def test_self_check_times_every_scheme_under_two_names(self):
        result, report = self.report("--self-check")
        checks = report["cases"][0]["self_check"]
        self.assertEqual({(c["scheme"], c["candidates"]) for c in checks},
                         {(s, n) for s in ("naive", "shared") for n in (None, 1, 3)})
        for check in checks:
            inside = check["simultaneous"][0] <= 1 <= check["simultaneous"][1]
            self.assertEqual(check["contains_one"], inside)
        if "no-result" in [warning["code"] for warning in report["warnings"]]:
            self.skipTest("others used the CPUs, which is then what the run says")
        # On a busy machine it may fail, but then it must say so.
        self.assertEqual(result.returncode, 0 if all(c["contains_one"] for c in checks) else 4, result.stderr)
        self.assertEqual("timed under two names" in result.stderr, result.returncode == 4)

    def test_cold_and_pinned_runs(self):
        for flags in (["--cold"], ["--pin"], ["--cold", "--pin", "--schemes", "naive,shared,cached"]):
            with self.subTest(flags=flags):
                result, report = self.report(*flags)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(report["config"]["measure"]["cold"], "--cold" in flags)
                self.assertEqual(report["config"]["measure"]["pin"], "--pin" in flags)
                self.assertNotIn("not-pinned", [w["code"] for w in report["warnings"]])
                self.assertGreater(report["conditions"]["rounds"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
