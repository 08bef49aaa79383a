"""What other programs take of the CPUs, and what a test may then not expect.

Figures of a machine that others use are not given: `run` says "No usable result", exits with 4 and has written all the
same; what builds on those figures refuses. Tests that are not about figures hold nevertheless; the others are skipped
by name.
"""
import os
import re
import resource
import subprocess
import unittest

BUSY = 0.3  # of the CPU time


def _times():
    """(all, busy) CPU seconds of the CPUs that this process may use, and what our finished children took."""
    tick, total, busy = os.sysconf("SC_CLK_TCK"), 0, 0
    usable = os.sched_getaffinity(0)
    with open("/proc/stat") as stat:
        for line in stat:
            cpu = re.match(r"cpu(\d+) ", line)
            if cpu and int(cpu.group(1)) in usable:
                ticks = [int(value) for value in line.split()[1:9]]
                total += sum(ticks) / tick
                busy += (sum(ticks) - ticks[3] - ticks[4]) / tick
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return total, busy, own.ru_utime + own.ru_stime


class Load:
    """with Load() as load: ...; load.foreign is the share of the CPU time that others took meanwhile."""
    foreign = 0.0

    def __enter__(self):
        self.before = _times()
        return self

    def __exit__(self, *_):
        total, busy, own = (after - before for after, before in zip(_times(), self.before))
        self.foreign = max(0.0, busy - own) / total if total > 0 else 0.0


def spoilt(code, stderr, load):
    """Why a command that should have had figures has none, where that is the fault of others; else empty."""
    if code == 4 and re.search("no usable result", stderr, re.IGNORECASE):
        return stderr.strip().splitlines()[-1]
    # A budget that preparing and checking used up, or checks that others' time slices upset.
    if code == 4 and load.foreign > BUSY and re.search("nothing could be measured|times the sum of its parts|under two names", stderr):
        return f"other programs took {load.foreign:.0%} of the CPUs: {stderr.strip().splitlines()[-1]}"
    return ""


def skip_where_spoilt(args, result, load):
    """The result of a command. A run without usable figures counts as good: it has done all else. What it has no output
    of, or what builds on figures, is skipped."""
    reason = spoilt(result.returncode, result.stderr, load)
    if not reason:
        return result
    if args[0] == "run" and result.stdout and "o usable result" in reason:
        result.returncode = 0
        result.stderr = "".join(line for line in result.stderr.splitlines(keepends=True)
                                if not re.search("no usable result", line, re.IGNORECASE))
        return result
    raise unittest.SkipTest(reason)


def run_beside_others(binary, *args, **options):
    """Runs the binary. Text in, text out. The test is skipped where others spoil the figures that a command is about."""
    with Load() as load:
        result = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                **options)
    return skip_where_spoilt(args, result, load)
