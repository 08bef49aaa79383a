#!/usr/bin/env python3
"""Sizes at their ends: what is too large is refused before anything is allocated, what is small or strange runs.

KVCAST_BIN is the binary. No test compares two timings.
"""
import json
import os
import resource
import subprocess
import sys
import unittest
import zipfile

from cli_test import BIN, TIMEOUT_S, CliTest, environment
from export_test import read_safetensors, write_safetensors

GIB = 1 << 30
TINY = ["-d", "8", "--heads", "2", "--layers", "1"]
OWN = "candidates,naive_seconds,shared_seconds\n" + "".join(
    f"{n},{0.1 * n + 0.001 * i},{0.1 + 0.02 * n - 0.001 * i}\n" for n in (1, 5, 10) for i in range(3))


class LimitTest(CliTest):
    def limited(self, *args, memory=None, **env):
        """With so many bytes of address space."""
        def limit():
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        run = lambda *args: subprocess.run([BIN, *args], cwd=self.dir, capture_output=True, text=True,
                                           timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, env=environment() | env,
                                           preexec_fn=limit)
        result = run(*args)
        if memory and result.returncode not in (0, 2, 3) and run("--version").returncode != 0:
            self.skipTest("this build does not start in so little address space, as those with sanitizers")
        return result


class MemoryTest(LimitTest):
    def test_a_refusal_says_what_would_fit(self):
        result = self.kvcast("run", "default", "-L", "1000000", "--max-memory", "2GiB", "--dry-run")
        self.assert_one_line(result, 2, "/model", "GiB of memory", "2 GiB is available", "such as --history ")
        length = result.stderr.rsplit("--history ", 1)[1].strip()
        self.assertEqual(self.kvcast("run", "default", "-L", length, "--max-memory", "2GiB", "--dry-run").returncode, 0)
        result = self.kvcast("run", "default", "--layers", "4000", "--max-memory", "1GiB", "--dry-run")
        self.assert_one_line(result, 2, "/model", "such as --layers ")
        self.assert_one_line(self.kvcast("verify", "default", "-L", "1000000", "--max-memory", "1GiB"), 2, "/model",
                             "GiB of memory", "1 GiB is available")

    def test_a_skipped_row_says_which_n_would_fit(self):
        args = ["run", *TINY, "-L", "8", "--max-memory", "64MiB", "--dry-run", "--format", "json"]
        point = next(p for p in json.loads(self.kvcast(*args, "-N", "1,10000000").stdout)["points"]
                     if p["status"] == "skipped" and p["scheme"] == "naive")
        n = int(point["reason"].rsplit("N = ", 1)[1])
        planned = json.loads(self.kvcast(*args, "-N", f"1,{n}").stdout)
        self.assertNotIn("skipped", [p["status"] for p in planned["points"] if p["scheme"] == "naive"])

    def test_what_the_process_may_take_is_what_is_planned_with(self):
        plan = json.loads(self.limited("run", "smoke", "--dry-run", "--format", "json", memory=GIB).stdout)
        self.assertLess(plan["memory_bytes"], GIB)
        for args, parts in (
                (["run", "default", "-d", "4096", "--heads", "8", "-o", "out"], ["/model", "GiB is available"]),
                (["verify", "default", "-d", "4096", "--heads", "8"], ["/model", "GiB is available"]),
                (["replay", "smoke", "-q", "-d", "4096", "--heads", "8", "--threads", "1", "--history", "10",
                  "--candidates", "5", "--qps", "5", "--users", "5"],
                 ["/model: the replay needs about", "fewer layers"]),
                (["simulate", "--service", "1ms", "--history", "10", "--candidates", "5", "--qps", "5", "--users",
                  "100000000"], ["--users", "100000000 users", "GiB of memory"])):
            with self.subTest(args=args):
                self.assert_one_line(self.limited(*args, memory=GIB), 2, *parts)
        self.assertFalse((self.dir / "out").exists())

    def test_entries_of_a_simulated_cache(self):
        result = self.limited("simulate", "--service", "1ms", "--history", "1", "--candidates", "1", "--qps", "9",
                              "--users", "2000000", "--requests", "2000000", "--zipf", "0", "--token-bytes", "1",
                              "--cache", "1TB", "--threads", "2", "--replications", "2", memory=3 * GIB // 8)
        self.assert_one_line(result, 2, "--cache", "users, in every replication", "GiB of memory", "fewer --users")

    def test_memory_that_runs_out_nonetheless(self):
        # The plan is told of more than there is.
        result = self.limited("run", "default", "-q", "-d", "1024", "--heads", "8", "--layers", "12", "--max-memory",
                              "8GiB", "-o", "out", memory=GIB // 2)
        self.assert_one_line(result, 2, "out of memory", "--max-memory")
        self.assertFalse((self.dir / "out").exists())


class ThreadTest(LimitTest):
    COMMANDS = [["run", "smoke", "--threads", "2", "-o", "out"], ["verify", "smoke", "--threads", "2"],
                ["info", "--threads", "2"],
                ["simulate", "--service", "1ms", "--history", "1", "--candidates", "1", "--qps", "9", "--users", "9",
                 "--requests", "99", "--threads", "2", "--replications", "2"]]

    def test_threads_that_cannot_be_made(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one CPU")
        for args in self.COMMANDS:
            for memory, env, part in ((None, {"OMP_THREAD_LIMIT": "1"}, "OMP_THREAD_LIMIT is 1"),
                                      (None, {"OMP_DYNAMIC": "true"}, "OMP_DYNAMIC"),
                                      (2 * GIB, {"OMP_STACKSIZE": "8G"}, "a stack of 8388608 KiB")):
                with self.subTest(args=args, env=env):
                    result = self.limited(*args, memory=memory, **env)
                    self.assert_one_line(result, 2, "threads", "2 threads cannot run here", part)
                    self.assertFalse((self.dir / "out").exists())


    def test_little_address_space_is_a_refusal_or_enough(self):
        # oneDNN crashes where it finds no memory for code.
        bf16 = ["verify", "-L", "64", "-d", "256", "--heads", "4", "--layers", "2", "--dtype", "bf16", "-q"]
        for megabytes in (100, 130, 160, 190, 220, 250, 280, 310):
            for args in (["verify", "smoke", "-q"], bf16, ["run", "smoke", "--budget", "6s", "-q"]):
                with self.subTest(megabytes=megabytes, args=args):
                    result = self.limited(*args, memory=megabytes * 1000 * 1000)
                    if "No usable result" not in result.stderr:  # beside others
                        self.assertIn(result.returncode, (0, 2), result.stderr)
                    if result.returncode == 2:
                        self.assert_one_line(result, 2, "")


class EdgeTest(LimitTest):
    def test_the_smallest_shapes_run(self):
        result = self.kvcast("run", "-q", "-L", "0", "-N", "1", "-d", "4", "--heads", "4", "--layers", "1", "--budget",
                             "8s", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        case = json.loads(result.stdout)["cases"][0]
        self.assertTrue(case["equivalence"]["agrees"])
        self.assertEqual([point["candidates"] for point in case["points"]], [1])
        for scheme in case["points"][0]["schemes"].values():
            self.assertEqual(scheme["status"], "measured")
            self.assertGreater(scheme["seconds"]["median"], 0)
        self.assertNotRegex(result.stdout, "NaN|Infinity")
        for args in (["-L", "0", "-d", "1", "--heads", "1"], ["-L", "1", "-d", "4", "--heads", "4", "--kv-heads", "1"],
                     ["-L", "1", "-d", "1", "--heads", "1", "--dtype", "bf16"]):
            with self.subTest(args=args):
                result = self.kvcast("verify", "-q", *args, "--layers", "2", "--format", "json")
                self.assertEqual(result.returncode, 0, result.stderr)
                schemes = json.loads(result.stdout)["equivalence"]["schemes"]
                self.assertTrue(all(scheme["agrees"] for scheme in schemes))
                self.assertIn("shared", [scheme["scheme"] for scheme in schemes])

    def test_a_million_candidates_and_a_million_tokens(self):
        # Preparing and checking a million tokens took 3 to 4 seconds.
        for args, size in ((["-N", "1,1000000", "-L", "4", "--budget", "4s"], 1000000),
                           (["-L", "1000000", "-N", "1,2", "--budget", "12s"], 2)):
            with self.subTest(args=args):
                result = self.kvcast("run", "-q", "-d", "1", "--heads", "1", "--layers", "1", *args, "--threads", "1",
                                     "--format", "json")
                self.assertIn(result.returncode, (0, 4), result.stderr)
                if result.returncode == 0:
                    point = json.loads(result.stdout)["cases"][0]["points"][-1]
                    self.assertEqual(point["candidates"], size)
                    self.assertNotEqual(point["schemes"]["shared"]["status"], "skipped")
                else:  # a machine that is too slow for the budget says so
                    self.assertRegex(result.stderr, "nothing could be measured|composition|assembled")

    def test_more_points_than_can_be_planned(self):
        self.refused([*TINY, "-L", "1-5000", "--layers", "1,2", "-N", "1-10000"], "10000 shapes x 10000 N x 2 schemes",
                     "200000000 points", "at most 100000")
        self.refused([*TINY, "-N", "1-10000", "--micro-batch", "1-5000"], "--micro-batch", "points")
        self.write("own.csv", OWN)
        self.assert_one_line(self.kvcast("fit", "own.csv", "-N", "1-10000", "-L", "1-10000"), 2, "--history",
                             "100000000 predictions", "at most")

    def test_counts_that_overflow(self):
        self.write("own.csv", OWN)
        most = str(2**63 - 1)
        for args in (["fit", "own.csv", "-N", most], ["size", "own.csv", "-N", most],
                     ["size", "own.csv", "--p99", "1s", "--shape", "smoke", "--memory", "8GiB", "-N", most]):
            with self.subTest(args=args):
                result = self.kvcast(*args, "--format", "json")
                self.assertIn(result.returncode, (0, 2), result.stderr)
                self.assertNotRegex(result.stdout, r"NaN|Infinity|: -\d{3,}")
        self.refused([*TINY, "--head-width", str(2**40), "--head-layers", str(2**20)], "ranking head",
                     "overflows 64 bits")


class TextTest(LimitTest):
    def test_text_that_is_as_good(self):
        """A byte order mark, lines that end in CR LF, blanks around cells."""
        self.write("plain.csv", OWN)
        r_of = lambda result: json.loads(result.stdout)["cases"][0]["fits"]["shared"]["r"]
        plain = r_of(self.kvcast("fit", "plain.csv", "--format", "json"))
        for name, text in (("bom.csv", "\ufeff" + OWN), ("crlf.csv", OWN.replace("\n", "\r\n")),
                           ("cr.csv", OWN.replace("\n", "\r")), ("blank.csv", OWN.replace(",", " , "))):
            with self.subTest(name=name):
                self.write(name, text.encode())
                fitted = self.kvcast("fit", name, "--format", "json")
                self.assertEqual(fitted.returncode, 0, fitted.stderr)
                self.assertEqual(r_of(fitted), plain)
        config = '{\r\n "model": {"dim": 8, "heads": 2, "layers": 1, "history_length": 5}\r\n}\r\n'
        self.write("config.json", ("\ufeff" + config).encode())
        plan = json.loads(self.kvcast("run", "config.json", "--dry-run", "--format", "json").stdout)
        self.assertEqual(plan["cases"][0]["history_length"], 5)

    def test_bytes_that_are_no_text(self):
        self.kvcast("fit", self.write("own.csv", OWN), "-q", "-o", "good")
        report = (self.dir / "good/report.json").read_bytes()
        for byte in (b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"):
            for name, text, command in (
                    ("bad.csv", OWN.encode().replace(b"\n", b",note" + byte + b"\n"), ["fit"]),
                    ("bad/report.json", report.replace(b'"cases"', b'"' + byte + b'", "cases"'), ["report"]),
                    ("bad.json", b'{"comment": "' + byte + b'"}', ["run", "--dry-run"])):
                with self.subTest(byte=byte, name=name):
                    (self.dir / name).parent.mkdir(exist_ok=True)
                    self.write(name, text)
                    self.assert_one_line(self.kvcast(command[0], f"./{name}", *command[1:]), 2, name)
        # A name is not checked by whoever reads the file; what says it in a report is.
        name = os.fsdecode(b"w\xff.safetensors")
        self.assert_one_line(self.kvcast("run", "--import", name), 2, "--import", "\\xff", "not UTF-8")
        (self.dir / os.fsdecode(b"r\xff.csv")).write_text(OWN)
        result = subprocess.run([BIN, "fit", os.fsdecode(b"r\xff.csv"), "-q", "-o", "named"], cwd=self.dir,
                                capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        json.loads((self.dir / "named/report.json").read_text(encoding="utf-8"))

    def test_deep_json(self):
        deep = "[" * 100000
        (self.dir / "deep").mkdir()
        self.write("deep/report.json", '{"schema": "kvcast.report/1", "cases": ' + deep)
        self.write("deep/journal.jsonl", '{"schema": ' + deep + "]" * 100000 + "}\n")
        self.write("deep.json", '{"model": ' + deep)
        exported = self.kvcast("verify", "-q", *TINY, "-L", "1", "--export", "case.safetensors")
        self.assertEqual(exported.returncode, 0, exported.stderr)
        tensors = read_safetensors(self.dir / "case.safetensors")[1]
        # Deeper than any stack, if it were read by recursion.
        write_safetensors(self.dir / "deep.safetensors",
                          {"kvcast.config": '{"model": {"dim": ' + 20 * deep + 20 * "]" * 100000 + "}}"}, tensors)
        for args in (["report", "deep/report.json"], ["fit", "deep/report.json"], ["fit", "deep/journal.jsonl"],
                     ["run", "--resume", "deep"], ["run", "./deep.json"], ["run", "--import", "deep.safetensors"]):
            with self.subTest(args=args):
                result = self.kvcast(*args)
                self.assert_one_line(result, 2, "deep", "nested deeper than 64 levels")

    def test_a_line_without_an_end_takes_no_memory(self):
        """Of 10^9 bytes, most of them a hole in the file."""
        for name, head, args, code, part in (
                ("long.csv", OWN, ["fit"], 2, "line 11: is longer than 128 MiB"),
                ("long.jsonl", "{}\n", ["fit"], 2, "line 2: is longer than 128 MiB"),
                ("long/report.json", "", ["report"], 2, "line 1: is longer than 128 MiB"),
                ("long.json", "", ["run"], 2, "larger than 16 MiB"),
                ("log.csv", "timestamp_ms,user_id,history_len,n_candidates\n1,1,1,1\n",
                 ["simulate", "--service", "1ms", "--trace"], 2, "longer than 65536 bytes"),
                ("log.csv", "", ["simulate", "--service", "1ms", "--trace"], 2, "longer than 65536 bytes")):
            with self.subTest(name=name, head=head[:20]):
                path = self.dir / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(head)
                os.truncate(path, 10**9)
                self.assert_one_line(self.limited(*args, f"./{name}", memory=GIB // 2), code, name, part)
        os.truncate(self.dir / "long.csv", 2**40)
        self.assert_one_line(self.limited("fit", "long.csv", memory=GIB // 2), 3, "long.csv", "larger than 1 GiB")
        # What is not that long, and still no row.
        self.write("row.csv", OWN + "1" * (2 << 20))
        self.assert_one_line(self.kvcast("fit", "row.csv"), 2, "row.csv: line 11", "longer than 1 MiB")
        self.write("row.csv", OWN + ",1" * (450 << 10))
        self.assert_one_line(self.kvcast("fit", "row.csv"), 2, "row.csv")


class LocaleTest(LimitTest):
    def test_a_decimal_comma_changes_nothing(self):
        made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(self.dir / "de_DE.UTF-8")],
                              capture_output=True, text=True)
        if not (self.dir / "de_DE.UTF-8/LC_NUMERIC").exists():
            self.skipTest(f"no German locale can be made here: {made.stderr.strip()}")
        german = {"LOCPATH": str(self.dir), "LC_ALL": "de_DE.UTF-8"}
        asked = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"
        comma = subprocess.run([sys.executable, "-c", asked], env=environment() | german, capture_output=True,
                               text=True)
        self.assertEqual(comma.stdout, ",\n", comma.stderr)
        self.write("own.csv", OWN)
        for env, folder in (({"LC_ALL": "C"}, "c"), (german, "de")):
            for args in (["fit", "own.csv", "-q", "-N", "20", "-o", folder],
                         ["size", "own.csv", "-q", "--p99", "1.5s", "-o", f"{folder}/size"],
                         ["simulate", "--service", "1.5ms", "--history", "lognormal:3,9.5", "--candidates", "2",
                          "--qps", "0.5", "--requests", "500", "--users", "9", "-q", "-o", f"{folder}/simulate"]):
                result = self.limited(*args, **env)
                self.assertEqual(result.returncode, 0, result.stderr)
        files = sorted(path.relative_to(self.dir / "c") for path in (self.dir / "c").rglob("*") if path.is_file())
        self.assertGreater(len(files), 15)
        for name in files:
            with self.subTest(name=name):
                if name.suffix == ".xlsx":
                    with zipfile.ZipFile(self.dir / "c" / name) as c, zipfile.ZipFile(self.dir / "de" / name) as de:
                        for part in c.namelist():
                            if part != "docProps/core.xml":  # the time
                                self.assertEqual(c.read(part), de.read(part), part)
                else:
                    self.assertEqual((self.dir / "c" / name).read_bytes(), (self.dir / "de" / name).read_bytes())


if __name__ == "__main__":
    unittest.main(verbosity=2)
