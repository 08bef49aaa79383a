#!/usr/bin/env python3
"""What goes wrong around a run: it is killed, the disk is full, the folder vanishes, the terminal or stdout goes away.

KVCAST_BIN is the binary. KVCAST_KILLS (default 4) says how often runs are killed at random moments, KVCAST_SEED which
moments. No test compares two timings.
"""
import csv
import json
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from cli_test import BIN, TIMEOUT_S, CliTest, environment
from load import Load, spoilt

# 200 rounds of a few milliseconds: no machine reaches the precision, and the budget is far off.
TINY = ["-d", "16", "--heads", "2", "--layers", "1", "-L", "8", "-N", "3", "--threads", "1", "--budget",
        "120s"]
LONG = [*TINY, "--precision", "0.0001%"]
# The fewest rounds.
SHORT = [*TINY, "--precision", "99%"]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def whole_lines(journal):
    """What the journal holds for good: its whole lines."""
    try:
        return journal.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


class FaultTest(CliTest):
    def start(self, *args, **options):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        process = subprocess.Popen([BIN, *args], cwd=self.dir, stdin=subprocess.DEVNULL, text=True, env=environment(),
                                   **streams)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def wait_for(self, what, process):
        end = time.monotonic() + TIMEOUT_S
        while not what():
            self.assertIsNone(process.poll(), "the run has ended")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.002)

    def measuring(self, *args, folder="out", **options):
        """A long run that has journalled some rounds."""
        process = self.start("run", "-q", *LONG, "-o", folder, *args, **options)
        self.wait_for(lambda: len(whole_lines(self.dir / folder / "journal.jsonl")) > 3, process)
        return process

    def go_on(self, folder, *args):
        """Resumes a run that has rounds already, and waits for more."""
        journal = self.dir / folder / "journal.jsonl"
        before = len(whole_lines(journal))
        process = self.start("run", "-q", "--resume", folder, *args)
        self.wait_for(lambda: len(whole_lines(journal)) > before + 1, process)
        return process

    def interrupted(self, process, code=128 + signal.SIGTERM):
        """stdout and stderr of a run that is told to end."""
        process.terminate()
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, code, stderr)
        return stdout, stderr

    def mounted(self, size):
        """A file system of that size, which only root can make."""
        disk = self.dir / "disk"
        disk.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True,
                              text=True)
        if made.returncode != 0:
            self.skipTest(f"no file system can be mounted here: {made.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        return disk

    def remount(self, disk, options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def structure(value, key=""):
    """The keys of a report and how many items its lists have, without what depends on the times. Outputs are judged
    after the timing by the process that timed: one that found every round in the journal has none."""
    if key == "fits":
        return {scheme: sorted(fit) for scheme, fit in value.items()}
    if isinstance(value, dict):
        return {name: structure(item, name) for name, item in value.items() if name not in ("warnings", "ci95", "after_timing")}
    return [structure(item) for item in value] if isinstance(value, list) else None


class KillTest(FaultTest):
    def finished(self, folder, last, unbroken):
        """A run that was killed, and resumed until it ended, has every round once, those journalled unchanged."""
        self.assertFalse((folder / "journal.jsonl").exists())
        self.assertEqual([name for name in os.listdir(folder) if name.endswith(".tmp")], [])
        rows = rows_of(folder / "samples.csv")
        key = lambda row: (row["round"], row["scheme"], row["candidates"])
        by_key = {key(row): row for row in rows}
        self.assertEqual(len(by_key), len(rows), "a sample is there twice")
        self.assertEqual(sorted(by_key), sorted(map(key, rows_of(unbroken / "samples.csv"))), "samples are missing")
        for line in last[1:]:
            entry = json.loads(line)
            for _, sample in entry["samples"]:
                row = by_key[str(entry["round"]), sample["scheme"], str(sample["candidates"])]
                self.assertEqual(float(row["measured_seconds"]), sample["measured_seconds"])
        reports = [json.loads((path / "report.json").read_text()) for path in (folder, unbroken)]
        self.assertEqual(*map(structure, reports))
        for report in reports:
            self.assertEqual(report["conditions"]["rounds"], 200)
            for point in report["cases"][0]["points"]:
                for scheme in point["schemes"].values():
                    self.assertEqual((scheme["status"], scheme["seconds"]["samples"]), ("measured", 200))
        return reports[0]["conditions"]["resumed"]

    def test_no_sample_is_lost_or_doubled(self):
        kills = int(os.environ.get("KVCAST_KILLS", 4))
        seed = int(os.environ.get("KVCAST_SEED", random.randrange(10**6)))
        print(f"KVCAST_SEED={seed} KVCAST_KILLS={kills}", flush=True)
        draw = random.Random(seed)
        unbroken = self.dir / "unbroken"
        begin = time.monotonic()
        result = self.kvcast("run", "-q", *LONG, "-o", str(unbroken))
        whole_s = time.monotonic() - begin
        self.assertEqual(result.returncode, 0, result.stderr)
        folder, journal = self.dir / "out", self.dir / "out/journal.jsonl"
        killed = ended = resumed = begun = 0
        last = []
        while killed < kills or last:
            args = ["--resume", "out"] if last else [*LONG, "-o", "out"]
            load = Load().__enter__()
            process = self.start("run", "-q", *args, stdout=subprocess.DEVNULL)
            if killed < kills:
                # Any moment of the process, or one while it measures.
                at = time.monotonic() + draw.uniform(0, whole_s)
                rounds = draw.randrange(1, 60) if draw.random() < 0.6 else None
                here = len(last)
                while process.poll() is None:
                    if time.monotonic() > at and (rounds is None or len(whole_lines(journal)) >= here + rounds):
                        break
                    time.sleep(0.001)
                process.kill()
            stderr = process.communicate(timeout=TIMEOUT_S)[1]
            load.__exit__()
            if process.returncode == -signal.SIGKILL:
                killed += 1
                if killed % 20 == 0:
                    print(f"{killed} kills, {ended} runs ended", flush=True)
                kept = whole_lines(journal)
                if not (folder / "report.json").exists():
                    self.assertEqual(kept[:len(last)], last, "journalled rounds were lost")
                self.assertEqual([json.loads(line)["round"] for line in kept[1:]], list(range(len(kept) - 1)))
                # Between the last file and the end of the journal the run is finished.
                if not kept and (folder / "report.json").exists():
                    kept = None
                last = last if kept is None else kept
                begun += 1 if kept else 0
            else:
                # The rounds are what counts here: beside others a run may have no figures.
                if not spoilt(process.returncode, stderr, load):
                    self.assertEqual(process.returncode, 0, stderr)
            if not journal.exists() and (folder / "report.json").exists():
                resumed += self.finished(folder, last, unbroken)
                ended += 1
                last = []
                shutil.rmtree(folder)
        print(f"{killed} kills, {begun} of them with a journal; {ended} runs ended, {resumed} rounds taken over")

    def test_another_process_does_not_wait_for_a_killed_one(self):
        process = self.measuring()
        for args in (["run", "-q", *LONG, "-o", "out"], ["run", "-q", "--resume", "out"]):
            self.assert_one_line(self.kvcast(*args), 2, "out/journal.jsonl", "in use by another kvcast",
                                 f"(process {process.pid})")
        # Reading takes the rounds that are there.
        fitted = self.kvcast("fit", "out", "--format", "json")
        self.assertEqual(fitted.returncode, 0, fitted.stderr)
        self.assertIn("unfinished-run", [warning["code"] for warning in json.loads(fitted.stdout)["warnings"]])
        self.assert_one_line(self.kvcast("merge", "out"), 2, "out", "unfinished")
        self.assert_one_line(self.kvcast("report", "out"), 3, "out/report.json")
        process.kill()
        process.wait()
        self.interrupted(self.go_on("out"))

    def test_what_a_power_cut_leaves_behind_the_last_round(self):
        process = self.measuring()
        process.kill()
        process.wait()
        journal = self.dir / "out/journal.jsonl"
        lines = whole_lines(journal)
        whole = b"".join(line + b"\n" for line in lines)
        rounds = len(lines) - 1
        half = lines[-1][:40]
        for tail in (b"", half, half + b"\xc3", b"\xff", b"\xff\n", b"\0" * 4096, b"\0" * 4096 + b"\n"):
            with self.subTest(tail=tail[:50]):
                journal.write_bytes(whole + tail)
                fitted = self.kvcast("fit", "out", "--format", "json")
                self.assertEqual(fitted.returncode, 0, fitted.stderr)
                text = next(w["text"] for w in json.loads(fitted.stdout)["warnings"] if w["code"] == "unfinished-run")
                self.assertIn(f"{rounds} rounds" + (" and a truncated one" if tail else ""), text)
        # Damage before the last line is no power cut.
        journal.write_bytes(whole.replace(lines[2], b"\0" * len(lines[2])))
        self.assert_one_line(self.kvcast("run", "--resume", "out"), 2, "out/journal.jsonl: line 3", "NUL")
        journal.write_bytes(lines[0][:50])
        self.assert_one_line(self.kvcast("run", "--resume", "out"), 2, "out/journal.jsonl", "no complete first line")


class DiskTest(FaultTest):
    def test_a_disk_that_fills_up_ends_a_run_that_is_resumed_when_there_is_room(self):
        disk = self.mounted("24k")
        result = self.kvcast("run", "-q", *LONG, "-o", "disk/out")
        self.assert_one_line(result, 3, "disk/out/journal.jsonl", "No space left on device")
        kept = whole_lines(disk / "out/journal.jsonl")
        self.assertGreater(len(kept), 3)
        self.assertEqual(os.listdir(disk / "out"), ["journal.jsonl"])
        # Still too full for the report: it goes to stdout, and nothing is lost.
        self.remount(disk, "size=200k")
        stdout, stderr = self.interrupted(self.go_on("disk/out", "--format", "json"), 3)
        self.assertGreater(json.loads(stdout)["conditions"]["rounds"], len(kept) - 1)
        self.assertEqual(len(stderr.splitlines()), 1, stderr)
        self.assertIn("No space left on device", stderr)
        self.assertIn("kvcast run --resume disk/out", stderr)
        self.assertEqual(os.listdir(disk / "out"), ["journal.jsonl"])
        self.remount(disk, "size=8m")
        self.interrupted(self.go_on("disk/out"))
        times = [float(row["measured_seconds"]) for row in rows_of(disk / "out/samples.csv")]
        for line in kept[1:]:
            for _, sample in json.loads(line)["samples"]:
                self.assertIn(sample["measured_seconds"], times)

    def test_a_read_only_folder_is_refused_before_anything_is_measured(self):
        disk = self.mounted("1m")
        (disk / "out").mkdir()
        self.remount(disk, "ro")
        for folder in ("disk/out", "disk/new"):
            self.assert_one_line(self.kvcast("run", "-q", *SHORT, "-o", folder), 3, folder, "Read-only file system")
        self.write("own.csv", "candidates,naive_seconds,shared_seconds\n1,0.1,0.1\n5,0.5,0.2\n")
        self.assert_one_line(self.kvcast("fit", "own.csv", "-q", "-o", "disk/out"), 3, "disk/out",
                             "Read-only file system")

    def test_a_folder_that_vanishes_is_made_again(self):
        process = self.measuring()
        shutil.rmtree(self.dir / "out")
        self.interrupted(process)
        self.assertGreater(len(rows_of(self.dir / "out/samples.csv")), 3)

    def test_a_folder_that_cannot_be_made_again_leaves_the_report_on_stdout(self):
        process = self.measuring("--format", "json")
        shutil.rmtree(self.dir / "out")
        self.write("out", "no folder")
        stdout, stderr = self.interrupted(process, 3)
        self.assertEqual(len(stderr.splitlines()), 1, stderr)
        self.assertTrue(stderr.startswith("kvcast: out: "), stderr)
        self.assertGreater(json.loads(stdout)["conditions"]["rounds"], 2)
        self.assertEqual((self.dir / "out").read_text(), "no folder")


class StreamTest(FaultTest):
    def assert_saved(self, folder="out"):
        self.assertEqual(json.loads((self.dir / folder / "report.json").read_text())["schema"], "kvcast.report/2")

    def test_files_are_there_when_nobody_reads_stdout(self):
        for number, (shell, code, said) in enumerate((('"$@" | true; exit ${PIPESTATUS[0]}', 128 + signal.SIGPIPE, r"\A\Z"),
                                                      ('"$@" >&-', 3, r"\Akvcast: stdout: .*\n\Z"))):
            with self.subTest(shell=shell):
                result = subprocess.run(["bash", "-c", shell, "bash", BIN, "run", "-q", *SHORT, "-o", f"out{number}"],
                                        cwd=self.dir, capture_output=True, text=True, timeout=TIMEOUT_S,
                                        env=environment())
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertRegex(result.stderr, said)
                self.assert_saved(f"out{number}")

    def test_a_terminal_that_goes_away_ends_a_run_which_is_saved(self):
        try:
            pid, terminal = pty.fork()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal here: {error}")
        if pid == 0:
            os.chdir(self.dir)
            os.execve(BIN, [BIN, "run", *LONG, "-o", "out"], environment())
        seen, end = b"", time.monotonic() + TIMEOUT_S
        while b"left" not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536)
        os.close(terminal)  # its foreground process gets SIGHUP, and every write to it fails
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.assertEqual(os.waitstatus_to_exitcode(ended[1]), 3)  # its stdout is gone
        self.assert_saved()
        self.assertEqual(json.loads((self.dir / "out/report.json").read_text())["conditions"]["stopped_by"],
                         "interrupt")
        self.assertTrue((self.dir / "out/journal.jsonl").exists())

    def test_hangup_is_heeded_unless_it_is_ignored(self):
        process = self.measuring(folder="heard")
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 128 + signal.SIGHUP, stderr)
        self.assertIn("--resume heard", stderr)
        self.assert_saved("heard")
        # As nohup starts it.
        process = self.measuring(folder="kept", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        journal = self.dir / "kept/journal.jsonl"
        before = len(whole_lines(journal))
        self.wait_for(lambda: len(whole_lines(journal)) > before + 2, process)
        self.interrupted(process)


if __name__ == "__main__":
    unittest.main(verbosity=2)
