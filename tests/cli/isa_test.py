"""The conformance suite on every SIMD target of this CPU, each in a process of its own."""
import json
import os
import subprocess
import sys

from cli_test import BIN, isa_names

TESTS = os.environ["KVCAST_TESTS"]


def main():
    for name in isa_names():
        environment = dict(os.environ, KVCAST_TEST_ISA=name)
        run = subprocess.run([TESTS, "[conformance]", "--reporter", "compact"], capture_output=True, text=True,
                             env=environment, timeout=600)
        last = run.stdout.strip().splitlines()[-1] if run.stdout.strip() else run.stderr
        print(f"{name}: {last}")
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
        assert "Passed all" in last, last
        # What the binary says ran.
        verify = subprocess.run([BIN, "verify", "smoke", "--isa", name, "--format", "json"], capture_output=True,
                                text=True, timeout=60)
        assert verify.returncode == 0, verify.stderr
        assert json.loads(verify.stdout)["machine"]["isa"].lower() == name
    # A target that is not there must not pass for one that is.
    bad = subprocess.run([TESTS, "[conformance]"], capture_output=True, text=True,
                         env=dict(os.environ, KVCAST_TEST_ISA="none"), timeout=60)
    assert bad.returncode != 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
