#!/usr/bin/env python3
"""Schemes, number types, SIMD targets and model shapes through the real binary, on shapes that take milliseconds.

Times are never compared, except to see that the report names the row that it says is the fastest in it.
"""
import json
import os
import unittest

from cli_test import CliTest, isa_names

SCHEMES = ["naive", "shared", "shared-copy", "packed", "cached", "append"]
# Ends after the fewest rounds that precision is judged on; the budget is for slow machines.
QUICK = ["--budget", "10s", "--precision", "0.9", "-q", "--format", "json"]


class EngineTest(CliTest):
    def run_report(self, *args):
        result = self.kvcast("run", *args, *QUICK)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def run_case(self, *args):
        return self.run_report(*args)["cases"][0]

    def verify(self, *args, schemes=SCHEMES):
        """The JSON of a verify in which all of `schemes`, and no others, agree."""
        result = self.kvcast("verify", "smoke", *args, "-q", "--format", "json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        report = json.loads(result.stdout)
        equivalence = report["equivalence"]
        self.assertEqual([row["scheme"] for row in equivalence["schemes"]], schemes)
        self.assertTrue(all(row["agrees"] for row in equivalence["schemes"]))
        self.assertTrue(equivalence["agrees"])
        self.assertGreater(equivalence["ranked_candidates"], 0)
        return report


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "two workers need two CPUs")
class WorkersTest(EngineTest):
    def test_layouts_are_a_grid_with_the_throughput_of_all_workers_and_their_contention(self):
        report = self.run_report("smoke", "-N", "1,10", "--workers", "1,2", "--threads", "1,2", "--cpus", "2", "-o", "layouts")
        shapes = [(case["shape"]["workers"], case["shape"]["threads"]) for case in report["cases"]]
        self.assertEqual(shapes, [(1, 1), (1, 2), (2, 1)])
        for case in report["cases"]:
            workers = case["shape"]["workers"]
            for point in case["points"]:
                for name, row in point["schemes"].items():
                    with self.subTest(workers=workers, n=point["candidates"], scheme=name):
                        self.assertAlmostEqual(row["requests_per_s"] * row["seconds"]["median"], workers)
                        self.assertAlmostEqual(row["candidates_per_s"], point["candidates"] * row["requests_per_s"])
                        self.assertEqual(row["contention"] is not None, workers > 1)
                        if row["contention"]:
                            self.assertGreater(row["contention"]["value"], 0)
            self.assertTrue(all(row["agrees"] for row in case["after_timing"]))
            self.assertEqual({row["scheme"] for row in case["after_timing"]},
                             {"naive", "shared"} | ({"naive/alone", "shared/alone"} if workers > 1 else set()))
        # What the report says of contention, and of the other layouts.
        for workers, note in (("1", None), ("2", "contention measured: times are those of 2 workers of 1 thread in parallel")):
            size = ["size", "layouts", "--p99", "1s", "--workers", workers, "--format", "json", "--memory"]
            points = json.loads(self.kvcast(*size, "1GiB").stdout)["sizing"]["points"]
            # Enough for one candidate: an answer below what is known, to which there are alternatives.
            [memory] = [row["memory_bytes"] for row in points if row["candidates"] == 1]
            result = self.kvcast(*size, str(memory))
            self.assertEqual(result.returncode, 0, result.stderr)
            sizing = json.loads(result.stdout)["sizing"]
            contention = [text for text in sizing["notes"] if "contention" in text]
            self.assertEqual(contention, [note] if note else [])
            others = {"1 worker of 1 thread, measured", "1 worker of 2 threads, measured", "2 workers of 1 thread, measured"}
            others.discard("2 workers of 1 thread, measured" if workers == "2" else "1 worker of 2 threads, measured")
            self.assertEqual({row["change"] for row in sizing["alternatives"] if row["change"].endswith("measured")}, others)
            for row in sizing["points"]:
                self.assertAlmostEqual(row["max_candidates_per_s"], row["candidates"] * row["max_requests_per_s"])
        # Of samples alone the throughput is the same.
        fitted = self.kvcast("fit", "layouts/samples.csv", "--format", "json")
        again = json.loads(fitted.stdout)["cases"]
        for case, before in zip(again, report["cases"], strict=True):
            self.assertEqual(case["shape"]["workers"], before["shape"]["workers"])
            for point, was in zip(case["points"], before["points"], strict=True):
                self.assertEqual(point["schemes"]["shared"]["contention"], was["schemes"]["shared"]["contention"])
                self.assertEqual(point["schemes"]["shared"]["requests_per_s"], was["schemes"]["shared"]["requests_per_s"])

    def test_more_workers_than_cpus_are_refused(self):
        for args, said in ((["--workers", "5000"], "5000 workers on"), (["--workers", "0"], "out of range"),
                           (["--workers", "2", "--pin"], "several workers are not pinned")):
            result = self.kvcast("run", "smoke", *args)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(said, result.stderr)


class ProfileTest(EngineTest):
    # On one thread, so that the listening thread's steps are all there is.
    SHAPE = ["smoke", "-N", "1,5", "--threads", "1"]

    def test_passes_and_their_steps(self):
        profiles = self.run_case(*self.SHAPE, "--schemes", "naive,shared,packed", "--cached", "--append", "8",
                                 "--profile")["profiles"]
        passes = [(profile["scheme"], profile["pass"], profile["candidates"]) for profile in profiles]
        # At the smallest and the largest N; naive at the N whose parts repeat in larger ones.
        both = [("prefill", 0), ("scoring", 1), ("scoring", 5)]
        expected = {"naive": [("forward", 5)], "shared": both, "packed": [("forward", 1), ("forward", 5)],
                    "cached": both[1:], "append": both}
        self.assertEqual({entry[0] for entry in passes}, set(expected))
        for scheme, wanted in expected.items():
            self.assertEqual([entry[1:] for entry in passes if entry[0] == scheme], wanted, scheme)
        for profile in profiles:
            with self.subTest(scheme=profile["scheme"], of=profile["pass"]):
                names = [step["name"] for step in profile["steps"]]
                self.assertEqual(len(names), len(set(names)))
                self.assertLessEqual(set(names), {"norm", "matmul", "gelu", "packing", "attention", "copy"})
                self.assertLessEqual({"norm", "matmul", "gelu", "attention"}, set(names))
                for step in profile["steps"]:
                    self.assertEqual(set(step), {"name", "seconds", "share"})
                    self.assertAlmostEqual(step["share"], step["seconds"] / profile["seconds"])
                total = sum(step["share"] for step in profile["steps"])
                self.assertGreaterEqual(total, 0.5)
                self.assertLessEqual(total, 1.05)
                # Two layers of at least attention, four products and two norms.
                self.assertGreaterEqual(profile["dispatches"], 10)
                self.assertGreaterEqual(profile["dispatch_seconds"], 0)

    def test_micro_batch_is_profiled_at_its_size(self):
        profiles = self.run_case(*self.SHAPE, "--schemes", "naive", "--micro-batch", "2", "--profile")["profiles"]
        self.assertIn(("packed", "forward", 2), [(p["scheme"], p["pass"], p["candidates"]) for p in profiles])
        self.assertEqual(len([p for p in profiles if p["scheme"] == "packed"]), 1)

    def test_only_when_asked_for(self):
        self.assertEqual(self.run_case(*self.SHAPE)["profiles"], [])


class MicroBatchTest(EngineTest):
    def test_one_row_each_and_the_fastest_of_them(self):
        case = self.run_case("smoke", "--schemes", "naive,shared,packed", "--micro-batch", "2,5", "-N", "5,10")
        for point in case["points"]:
            self.assertEqual(list(point["schemes"]), ["naive", "shared", "packed-2", "packed-5"])
            # Work in prefills beyond the one of shared: one for every further micro-batch.
            n, flops = point["candidates"], {name: row["flops"] for name, row in point["schemes"].items()}
            history = (flops["naive"] - flops["shared"]) / (n - 1)
            passes = [1 + round((flops[name] - flops["shared"]) / history, 6) for name in ("packed-2", "packed-5")]
            self.assertEqual(passes, {5: [3, 1], 10: [5, 2]}[n])
            self.assertIn("b_m 2", point["schemes"]["packed-2"]["detail"])
        self.assertEqual([best["candidates"] for best in case["micro_batches"]], [5, 10])
        for point, best in zip(case["points"], case["micro_batches"], strict=True):
            seconds = {size: point["schemes"][f"packed-{size}"]["seconds"]["median"] for size in (2, 5)}
            fastest = min(seconds, key=seconds.get)
            self.assertEqual((best["micro_batch"], best["scheme"]), (fastest, f"packed-{fastest}"))
            self.assertAlmostEqual(best["slowest_ratio"], max(seconds.values()) / seconds[fastest])
        self.assertEqual(list(case["fits"]), ["shared"])

    def test_one_pass_for_all_is_one_row_with_a_fit(self):
        for extra in ([], ["--micro-batch", "5"]):
            with self.subTest(extra=extra):
                case = self.run_case("smoke", "--schemes", "naive,packed", "-N", "1,5", *extra)
                self.assertEqual([list(point["schemes"]) for point in case["points"]], [["naive", "packed"]] * 2)
                self.assertEqual(list(case["fits"]), ["packed"])
                self.assertEqual(case["micro_batches"], [])

    def test_several_passes_have_no_fit(self):
        case = self.run_case("smoke", "--schemes", "naive,packed", "-N", "1,5", "--micro-batch", "3")
        self.assertEqual([list(point["schemes"]) for point in case["points"]], [["naive", "packed"]] * 2)
        self.assertEqual((case["fits"], case["micro_batches"]), ({}, []))


class ReturningUserTest(EngineTest):
    def test_rows_of_a_returning_user(self):
        report = self.run_report("smoke", "--cached", "--append", "8", "-N", "1,5")
        rows = ["naive", "shared", "cached", "append"]
        self.assertEqual(report["config"]["run"]["schemes"], rows)
        case = report["cases"][0]
        self.assertEqual(list(case["fits"]), ["shared"])
        for point in case["points"]:
            schemes = point["schemes"]
            self.assertEqual(list(schemes), rows)
            self.assertFalse({"speedup", "gain_over_shared"} & set(schemes["naive"]))
            self.assertIsNone(schemes["shared"]["gain_over_shared"])
            for name in ("cached", "append"):
                for estimate in (schemes[name]["speedup"], schemes[name]["gain_over_shared"]):
                    self.assertGreater(estimate["value"], 0)
                    self.assertLess(estimate["ci95"][0], estimate["ci95"][1])
                self.assertIsNone(schemes[name]["predicted_speedup"])
            self.assertIn("8 new", schemes["append"]["detail"])
            # By counted work, which does not depend on the machine.
            self.assertLess(schemes["cached"]["flops"], schemes["append"]["flops"])
            self.assertLess(schemes["append"]["flops"], schemes["shared"]["flops"])
            self.assertEqual(len({schemes[name]["kv_bytes"] for name in ("shared", "cached", "append")}), 1)
        # The same from what was echoed: no scheme twice, none lost.
        again = self.run_report("./" + self.write("echo.json", report["config"]))
        self.assertEqual([list(point["schemes"]) for point in again["cases"][0]["points"]], [rows, rows])
        self.assertEqual(again["config"], report["config"])

    def test_one_alone(self):
        for extra, row in ((["--cached"], "cached"), (["--append", "8"], "append"), (["--micro-batch", "2"], "packed")):
            with self.subTest(row=row):
                result = self.kvcast("run", "smoke", "--dry-run", "--format", "json", "--schemes", "naive", *extra)
                points = json.loads(result.stdout)["points"]
                self.assertEqual({point["scheme"] for point in points}, {"naive", row})

    def test_no_gain_over_a_row_that_is_not_there(self):
        for point in self.run_case("smoke", "--schemes", "naive,cached", "-N", "5")["points"]:
            self.assertEqual(list(point["schemes"]), ["naive", "cached"])
            self.assertIsNone(point["schemes"]["cached"]["gain_over_shared"])
            self.assertGreater(point["schemes"]["cached"]["speedup"]["value"], 0)


class IsaTest(EngineTest):
    DENSE = {"avx2": "avx2", "sse4": "sse41", "ssse3": "sse41", "sse2": "sse41", "scalar": "sse41", "emu128": "sse41"}

    def test_every_target_runs(self):
        names = isa_names()
        self.assertIn(names[-1], ("scalar", "emu128"))
        errors = set()
        for name in names:
            with self.subTest(name=name):
                report = self.verify("--isa", name)
                self.assertEqual(report["machine"]["isa"].lower(), name)
                if name in self.DENSE:
                    self.assertEqual(report["machine"]["dense_isa"], self.DENSE[name])
                elif name.startswith("avx3"):
                    self.assertTrue(report["machine"]["dense_isa"].startswith("avx512"))
                errors.add(report["equivalence"]["schemes"][0]["vs_reference"]["max_abs"])
        # Other instructions round otherwise: what is reported really ran.
        if len(names) > 1:
            self.assertGreater(len(errors), 1)
        self.assertEqual(self.verify()["machine"]["isa"].lower(), names[0])

    def test_run_and_info_take_it_too(self):
        fallback = isa_names()[-1]
        report = self.run_report("smoke", "-N", "1,2", "--isa", fallback)
        self.assertEqual((report["machine"]["isa"].lower(), report["config"]["run"]["isa"]), (fallback, fallback))
        info = json.loads(self.kvcast("info", "--threads", "1", "--isa", fallback, "--format", "json").stdout)
        self.assertEqual((info["machine"]["isa"].lower(), info["machine"]["dense_isa"]), (fallback, "sse41"))
        self.assertIsNone(info["machine"]["bf16_peak_gflops"])

    def test_unknown_target(self):
        allowed = "allowed: auto, " + ", ".join(isa_names())
        self.refused(["smoke", "--isa", "mmx"], "isa", "'mmx'", allowed)
        self.assert_one_line(self.kvcast("verify", "smoke", "--isa", "mmx"), 2, "isa", "'mmx'", allowed)
        self.assert_one_line(self.kvcast("info", "--isa", "mmx"), 2, "isa", "'mmx'", allowed)


class NumberTypeTest(EngineTest):
    def codes(self, report):
        return [warning["code"] for warning in report["warnings"]]

    def test_bf16_is_coarser_and_ranks(self):
        fp32 = self.verify()
        for args, types in ((["--dtype", "bf16"], ("bf16", "bf16")), (["--kv-dtype", "bf16"], ("fp32", "bf16")),
                            (["--dtype", "bf16", "--kv-dtype", "fp32"], ("bf16", "fp32"))):
            with self.subTest(args=args):
                report = self.verify(*args)
                self.assertEqual((report["shape"]["dtype"], report["shape"]["kv_dtype"]), types)
                self.assertGreater(report["equivalence"]["bound_reference"], fp32["equivalence"]["bound_reference"])
                # The check in fp32 is that of a run in fp32.
                allowed = report["equivalence"]["tolerance_fp32"]
                self.assertLess(allowed, 2 * fp32["equivalence"]["bound_reference"])
                for row in report["equivalence"]["schemes"]:
                    self.assertLessEqual(row["vs_reference_fp32"]["max_abs"], allowed)
                    self.assertLess(row["vs_reference_fp32"]["max_abs"], row["vs_reference"]["max_abs"] / 64)
                for row, finer in zip(report["equivalence"]["schemes"], fp32["equivalence"]["schemes"], strict=True):
                    # bf16 has 16 bits of mantissa less; some errors cancel.
                    self.assertGreater(row["vs_reference"]["max_abs"], 64 * finer["vs_reference"]["max_abs"])
                    self.assertGreater(row["reference_top_k_overlap"], 0)
                    self.assertLessEqual(row["reference_top_k_overlap"], 1)
                    self.assertGreaterEqual(row["reference_kendall_tau"], -1)
                    self.assertLessEqual(row["reference_kendall_tau"], 1)
        for row in fp32["equivalence"]["schemes"]:
            self.assertGreater(row["reference_kendall_tau"], 0.99)

    def test_keys_and_values_take_half_the_memory(self):
        held = {name: [point["schemes"]["shared"]["kv_bytes"] for point in
                       self.run_case("smoke", "-N", "1,2", "--kv-dtype", name)["points"]] for name in ("fp32", "bf16")}
        self.assertEqual(held["fp32"], [2 * size for size in held["bf16"]])

    def test_says_when_bf16_runs_on_fp32_instructions(self):
        native = self.verify("--dtype", "bf16")
        if "bf16" in native["machine"]["dense_isa"]:
            self.assertNotIn("bf16-portable", self.codes(native))
        else:
            self.assertIn("bf16-portable", self.codes(native))
        fallback = ["--isa", isa_names()[-1]]
        portable = self.verify("--dtype", "bf16", *fallback)
        self.assertEqual(self.codes(portable), ["bf16-portable"])
        self.assertEqual(self.codes(self.verify(*fallback)), [])
        table = self.kvcast("verify", "smoke", "--dtype", "bf16", *fallback, "-q")
        self.assertRegex(" ".join(table.stdout.split()), r"note bf16 .*ran in fp32")

    def test_says_so_on_avx2(self):
        avx2 = self.kvcast("verify", "smoke", "--dtype", "bf16", "--isa", "avx2", "-q", "--format", "json")
        if avx2.returncode == 2:
            self.skipTest("no AVX2 here")
        self.assertEqual((avx2.returncode, avx2.stderr), (0, ""))
        self.assertEqual(self.codes(json.loads(avx2.stdout)), ["bf16-portable"])


class ModelShapeTest(EngineTest):
    # What each computes is recomputed from its file in export_test.py.
    def test_all_schemes_agree(self):
        for args, fields in ((["--token-merge", "4", "--query-tokens", "5"], {"token_merge": 4, "query_tokens": 5}),
                             (["--candidate-from-layer", "1"], {"candidate_from_layer": 1, "query_tokens": None}),
                             (["--kv-heads", "1"], {"kv_heads": 1, "heads": 2}),
                             (["--mask", "history-blind", "--query-tokens", "5", "--candidate-from-layer", "1"],
                              {"mask": "history-blind", "query_tokens": 5, "candidate_from_layer": 1}),
                             (["--token-merge", "2", "--append", "8", "--no-trim"], {"token_merge": 2, "trim": False})):
            with self.subTest(args=args):
                report = self.verify(*args)
                self.assertEqual({name: report["shape"][name] for name in fields}, fields)
                self.assertEqual(report["skipped"], [])

    def test_late_candidate_makes_a_mask_shareable(self):
        args = ["--mask", "bidirectional", "--layers", "2"]
        report = self.verify(*args, "--candidate-from-layer", "1", schemes=SCHEMES[:-1])
        self.assertEqual([scheme["scheme"] for scheme in report["skipped"]], ["append"])
        self.assertTrue(report["equivalence"]["shareable"])
        self.assertIsNone(report["stale"])
        self.verify("--mask", "target-first-causal", "--candidate-from-layer", "1")
        # One layer earlier it does not.
        self.assertEqual(self.kvcast("verify", "smoke", *args, "-q").returncode, 4)
        case = self.run_case("smoke", *args, "--candidate-from-layer", "1", "-N", "2,5", "--cached")
        self.assertEqual([list(point["schemes"]) for point in case["points"]], [["naive", "shared", "cached"]] * 2)

    def test_a_run_counts_the_work_of_its_shape(self):
        shape = ["-L", "64", "-d", "32", "--heads", "2", "--layers", "3", "-N", "5"]

        def passes(*args):
            """Flops of the prefill and of one candidate, from N·(C_u + C_f) and C_u + N·C_f."""
            schemes = self.run_case(*shape, *args)["points"][0]["schemes"]
            history = (schemes["naive"]["flops"] - schemes["shared"]["flops"]) / 4
            return history, (schemes["shared"]["flops"] - history) / 5

        history, candidate = passes()
        late = passes("--candidate-from-layer", "1")
        self.assertEqual(late[0], history)
        self.assertAlmostEqual(late[1], candidate * 2 / 3)
        hybrid = passes("--query-tokens", "8")
        self.assertLess(hybrid[0], history)
        self.assertLess(hybrid[1], candidate)


class PresetTest(EngineTest):
    # Where a plan is measured against the preset's budget: slower machines may need a larger one.
    GFLOPS = 250

    def test_plans_within_its_own_budget(self):
        listed = self.kvcast("presets").stdout
        peak = json.loads(self.kvcast("info", "--format", "json").stdout)["machine"]["peak_gflops"]
        for name in ("longer", "dlrmv3", "hstu-serving"):
            with self.subTest(name=name):
                self.assertRegex(listed, rf"(?m)^{name} ")
                preset = json.loads(self.kvcast("presets", "show", name).stdout)
                budget = float(preset["measure"]["budget"].rstrip("s"))
                # A busy moment makes the machine look slow and the plan long; the best of three is the machine's.
                for _ in range(3):
                    result = self.kvcast("run", name, "--dry-run", "--format", "json")
                    self.assertEqual((result.returncode, result.stderr), (0, ""))
                    plan = json.loads(result.stdout)
                    if plan["total_s"] <= budget:
                        break
                self.assertEqual([(point["candidates"], point["scheme"]) for point in plan["points"]],
                                 [(n, scheme) for n in preset["run"]["candidates"] for scheme in ("naive", "shared")])
                if plan["total_s"] > budget and peak < self.GFLOPS:
                    self.skipTest(f"{peak:.0f} GFLOP/s are too few for this preset's budget")
                self.assertLessEqual(plan["total_s"], budget)


if __name__ == "__main__":
    unittest.main(verbosity=2)
