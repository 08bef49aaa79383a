#!/usr/bin/env python3
"""Nothing wrong goes unnoticed: broken schemes in the real program, weights that leave fp32, the same bits twice.

KVCAST_FAULTY is kvcast with a fault in one scheme of its list, chosen by KVCAST_FAULT (tests/faulty).
"""
import json
import os
import signal
import struct
import subprocess
import time
import unittest

from cli_test import SOURCE, TIMEOUT_S, CliTest, environment
from export_test import read_safetensors

# Threads that wait do not spin: nothing is timed here, and a busy machine would.
os.environ["OMP_WAIT_POLICY"] = "passive"
FAULTY = os.environ.get("KVCAST_FAULTY", str(SOURCE / "build/release/tests/kvcast_faulty"))


class WrongnessTest(CliTest):
    def faulty(self, fault, *args):
        return subprocess.run([FAULTY, *args], cwd=self.dir, capture_output=True, text=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL, env=environment(KVCAST_FAULT=fault))

    def assert_stopped(self, result, *parts):
        """Exit 4 and one line on stderr that has every part; stdout has the report."""
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertRegex(result.stderr, r"\Akvcast: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    def listed(self, what):
        return self.faulty(what).stdout.split()


class FaultTest(WrongnessTest):
    SHAPE = ["smoke", "-L", "24", "-d", "16", "--threads", "1"]

    def test_the_faulty_program_without_a_fault_is_the_program(self):
        result = self.faulty("", "verify", *self.SHAPE, "-q")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(self.faulty("naive:none", "verify", "smoke").returncode, 70)
        self.assertIn("naive", self.listed("?"))

    def test_verify_stops_every_scheme_and_says_which_and_by_how_much(self):
        schemes = self.listed("?")
        self.assertGreaterEqual(len(schemes), 6)
        for index, scheme in enumerate(schemes):
            faults = self.listed(f"{scheme}:?")
            self.assertGreaterEqual(len(faults), 8, scheme)
            # All of them are in tests/unit/equality/equality_test.cpp; here every scheme, and over all schemes every fault.
            for fault in faults[index::len(schemes)]:
                with self.subTest(scheme=scheme, fault=fault):
                    result = self.faulty(f"{scheme}:{fault}", "verify", *self.SHAPE, "-q", "--format", "json")
                    self.assert_stopped(result, f"'{scheme}' is off by ", " (allowed ")
                    rows = {row["scheme"]: row["agrees"] for row in json.loads(result.stdout)["equivalence"]["schemes"]}
                    self.assertFalse(rows[scheme])
                    if scheme != "naive":
                        self.assertEqual([name for name, agrees in rows.items() if not agrees], [scheme])

    def test_a_run_times_nothing_and_reports_nothing_as_valid(self):
        run = ["run", *self.SHAPE, "-N", "1,5", "--schemes", "naive,shared,shared-copy,packed", "--cached", "--append", "8",
               "--budget", "20s", "-q", "--format", "json"]
        for fault in ("shared-copy:stale-layer", "naive:nan"):
            scheme = fault.split(":")[0]
            with self.subTest(fault=fault):
                result = self.faulty(fault, *run, "-o", scheme)
                self.assert_stopped(result, "nothing was timed", f"'{scheme}' is off by ")
                report = json.loads(result.stdout)
                self.assertEqual(report, json.loads((self.dir / scheme / "report.json").read_text()))
                self.assertFalse((self.dir / scheme / "journal.jsonl").exists())
                [case] = report["cases"]
                self.assertIs(case["equivalence"]["agrees"], False)
                self.assertIs(case["equivalence"]["schemes"][scheme]["agrees"], False)
                # Not a time, a speed-up or a fit anywhere.
                self.assertEqual((case["points"], case["fits"], case["composition"]), ([], {}, []))
                self.assertEqual(report["conditions"]["rounds"], 0)
                self.assertEqual(len((self.dir / scheme / "samples.csv").read_text().splitlines()), 1)
                self.assertIn("outputs DISAGREE", (self.dir / scheme / "report.md").read_text())
                for command in (["fit", scheme], ["size", scheme, "--p99", "50ms"]):
                    again = self.kvcast(*command, "-q")
                    self.assertNotEqual(again.returncode, 0, command)
                    self.assertEqual(again.stdout, "", command)

    def test_a_replay_of_a_broken_naive_is_stopped(self):
        for fault in ("naive:infinity", "naive:nan", "naive:lost-key"):
            with self.subTest(fault=fault):
                result = self.faulty(fault, "replay", "smoke", "--qps", "50", "--requests", "20", "--users", "5",
                                     "--history", "24", "--candidates", "3", "--budget", "5s", "--threads", "1", "-q")
                self.assert_stopped(result, "the outputs of naive for a request", "differ from those of float64 by ")


class TimedFaultTest(WrongnessTest):
    """Faults behind everything that is checked before the timing: `run` stops each, and none of its figures is used."""
    MODEL = ["smoke", "-d", "16", "--threads", "1", "-N", "1,5,140"]
    SOON = ["--precision", "50%", "--budget", "4s"]
    SHAPE = [*MODEL, "-L", "24", *SOON]
    ALL = ["--schemes", "naive,shared,shared-copy,packed", "--cached", "--append", "8"]

    def run_with(self, fault, *args):
        return self.faulty(fault, "run", *args, "-q", "--format", "json", "-o", "out", "--force")

    def assert_unusable(self, result, *parts):
        self.assert_stopped(result, "No usable result: ", *parts)
        report = json.loads(result.stdout)
        self.assertEqual(report, json.loads((self.dir / "out/report.json").read_text()))
        self.assertFalse((self.dir / "out/journal.jsonl").exists())
        self.assertIn("No usable result", (self.dir / "out/report.md").read_text())
        self.assertEqual(report["warnings"][0]["code"], "no-result")
        return report

    def test_a_sound_program_says_what_was_judged(self):
        for args in ([], ["--cold"], ["--head-width", "32"], ["--self-check"]):
            with self.subTest(args=args):
                result = self.run_with("", *self.SHAPE, *self.ALL, *args)
                # On a busy machine it has no figures for that reason, and judges all the same.
                self.assertIn(result.returncode, (0, 4), result.stderr)
                self.assertNotRegex(result.stderr, "when it was timed|minimum time its arithmetic")
                [case] = json.loads(result.stdout)["cases"]
                rows = case["after_timing"]
                self.assertTrue(all(row["agrees"] and row["max_abs"] <= row["allowed"] for row in rows))
                timed = {(row["scheme"], row["candidates"]) for row in rows}
                self.assertLessEqual({("naive", 1), ("shared", 140)}, timed)
                for point in case["points"]:
                    for scheme, row in point["schemes"].items():
                        # On a busy machine the budget may not be enough for all candidates of naive.
                        if row["status"] != "measured" or row["seconds"] is None:
                            continue
                        self.assertIn((scheme, point["candidates"]), timed)
                        if args == ["--self-check"]:
                            self.assertIn((scheme + "/again", point["candidates"]), timed)
                self.assertEqual("scores" in {row["what"] for row in rows}, "--head-width" in args)
                self.assertEqual({0} < {row["user"] for row in rows}, "--cold" in args)
                self.assertIn("after the timing", (self.dir / "out/report.md").read_text())

    def test_every_scheme_and_every_fault(self):
        for index, scheme in enumerate(self.listed("?")):
            faults = [fault for fault in self.listed(f"{scheme}:timed?") if fault != "copied-prefill"]
            self.assertGreaterEqual(len(faults), 3, scheme)
            # All of them are in tests/unit/equality/after_timing_test.cpp; here every scheme, and over all every fault.
            for fault in {faults[index % len(faults)], faults[-1]}:
                with self.subTest(scheme=scheme, fault=fault):
                    self.assertEqual(self.faulty(f"{scheme}:{fault}", "verify", *FaultTest.SHAPE, "-q").returncode, 0)
                    result = self.run_with(f"{scheme}:{fault}", *self.SHAPE, *self.ALL)
                    report = self.assert_unusable(result, f"'{scheme}' at N=", "of candidate ", " was off by ", " (allowed ")
                    wrong = {(row["scheme"], row["candidates"]) for row in report["cases"][0]["after_timing"]
                             if not row["agrees"]}
                    self.assertEqual({name for name, _ in wrong}, {scheme})
                    if fault in ("zeroed-from-128", "large-stack"):
                        self.assertEqual(wrong, {(scheme, 140)})
                    for command in (["fit", "out"], ["size", "out", "--p99", "50ms"], ["merge", "out"]):
                        again = self.faulty("", *command, "-q")
                        self.assertEqual(again.returncode, 4, command)
                        self.assertIn("o usable result: ", again.stderr + again.stdout, command)

    def test_another_users_history_in_cold_mode(self):
        for scheme in ("naive", "shared-copy", "cached", "append"):
            with self.subTest(scheme=scheme):
                result = self.run_with(f"{scheme}:same-user", *self.SHAPE, *self.ALL, "--cold")
                # Where naive is wrong nobody agrees with it.
                self.assert_unusable(result, "" if scheme == "naive" else f"'{scheme}' at N=", " for user ")

    def test_scores_of_a_ranking_head(self):
        for scheme in ("head", "shared+head"):
            result = self.run_with("head:zeroed-scores", *self.SHAPE, "--schemes", "naive,shared", "--head-width", "32")
            report = self.assert_unusable(result, ": the score of candidate ", "from float64")
            self.assertIn((scheme, 140, "scores"), {(row["scheme"], row["candidates"], row["what"])
                                                    for row in report["cases"][0]["after_timing"] if not row["agrees"]})

    def test_a_prefill_faster_than_the_machine(self):
        # Its outputs are right: the time alone tells.
        args = ["-L", "512", "-d", "128", "--heads", "4", "--layers", "4", "-N", "1,2", "--threads", "1", "--precision",
                "50%", "--budget", "20s"]
        result = self.run_with("shared:copied-prefill", *args)
        report = self.assert_unusable(result, "'shared' at N=", " took 0.", "work was skipped, or the peak is wrong")
        self.assertTrue(all(row["agrees"] for row in report["cases"][0]["after_timing"]))
        self.assertEqual(self.faulty("", "fit", "out", "-q").returncode, 4)

    def test_a_part_of_a_grid_and_a_run_that_is_taken_up_again(self):
        grid = [*self.MODEL, *self.SOON, "-L", "16,24"]
        result = self.run_with("shared:zeroed-from-128", *grid, "--shard", "1/2")
        self.assert_unusable(result, "'shared' at N=140")
        whole = self.run_with("shared:zeroed-from-128", *grid)
        self.assert_unusable(whole, "'shared' at N=140", "(L=")
        env = environment(KVCAST_FAULT="shared:zeroed-from-128")
        process = subprocess.Popen([FAULTY, "run", *self.MODEL, "-L", "24", "--precision", "0.1%", "--budget", "6s",
                                    "-q", "-o", "cut"], cwd=self.dir,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        journal = self.dir / "cut/journal.jsonl"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)
        self.assertIn(b"No usable result: ", stdout)
        again = self.faulty("shared:zeroed-from-128", "run", "--resume", "cut", "-q", "--format", "json")
        self.assert_stopped(again, "No usable result: ", "'shared' at N=140")


class ExtremeTest(WrongnessTest):
    def test_weights_whose_sums_leave_fp32_are_refused_by_name(self):
        self.assertEqual(self.kvcast("verify", "smoke", "-L", "8", "-d", "16", "--layers", "1", "-q", "--threads", "1", "--export",
                                     "a.safetensors").returncode, 0)
        content = (self.dir / "a.safetensors").read_bytes()
        size, = struct.unpack_from("<Q", content)
        header = json.loads(content[8:8 + size])
        first, last = header["layers.0.attn.qkv.weight"]["data_offsets"]
        for value, code in ((1e30, 4), (3e38, 4), (float("inf"), 2)):
            with self.subTest(value=value):
                data = bytearray(content)
                start = 8 + size + first
                count = (last - first) // 4
                data[start:start + 4 * count] = struct.pack(f"<{count}f", *(value * (-1) ** (i % 3) for i in range(count)))
                self.write("bad.safetensors", bytes(data))
                result = self.kvcast("verify", "--import", "bad.safetensors", "--threads", "1", "-q")
                if code == 4:
                    self.assert_stopped(result, "'naive' is off by NaN from float64 (allowed ")
                else:
                    self.assert_one_line(result, code, "bad.safetensors")


class SameBitsTest(WrongnessTest):
    def outputs(self, name, *args):
        result = self.kvcast("verify", "smoke", *args, "-q", "--export", name)
        self.assertEqual(result.returncode, 0, result.stderr)
        metadata, tensors = read_safetensors(self.dir / name)
        return {key: value for key, value in tensors.items() if key.startswith("outputs.")}

    def test_two_processes_and_any_threads_give_the_same_bits(self):
        avx512 = "avx512" in json.loads(self.kvcast("info", "--format", "json").stdout)["machine"]["dense_isa"]
        for dtype in ("fp32", "bf16"):
            args = ["--dtype", dtype, "-L", "40", "-d", "16", "--max-memory", "1GiB"]
            first = self.outputs("a.safetensors", *args, "--threads", "2")
            self.assertEqual(self.outputs("b.safetensors", *args, "--threads", "2"), first)
            self.assertEqual((self.dir / "a.safetensors").read_bytes(), (self.dir / "b.safetensors").read_bytes())
            if avx512:  # below it the sums follow the row count: CONTRIBUTING.md
                self.assertEqual(self.outputs("c.safetensors", *args, "--threads", "1"), first)
            self.assertNotEqual(self.outputs("d.safetensors", *args, "--threads", "2", "--seed", "5"), first)


if __name__ == "__main__":
    unittest.main(verbosity=2)
