"""clang-tidy with the checks of .clang-tidy over every source of src and bench. Not over the peers: their libraries come with ./dev bench.

The compile commands are those of the preset 'lint', which is clang, so clang's own warnings count too.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("KVCAST_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = ROOT / "build" / "lint"


def tidy(*args):
    return subprocess.run(["clang-tidy", "--quiet", *map(str, args)], capture_output=True, text=True)


class TidyTest(unittest.TestCase):
    def test_every_check_exists(self):
        """A misspelt name in the list is silently no check."""
        text = (ROOT / ".clang-tidy").read_text()
        named = re.findall(r"(?m)^  ([a-z][\w.-]+),?$", text)
        self.assertGreater(len(named), 50)
        known = subprocess.run(["clang-tidy", "--checks=*", "--list-checks"], capture_output=True, text=True,
                               check=True).stdout.split()
        self.assertEqual(sorted(set(named) - set(known)), [])

    def test_a_fault_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "fault.cpp"
            source.write_text("double half(int n) { return n / 2; }\nint main() { return half(3) > 1.0 ? 0 : 1; }\n")
            found = tidy(f"--config-file={ROOT / '.clang-tidy'}", source, "--", "-std=c++20")
        self.assertNotEqual(found.returncode, 0)
        self.assertIn("[bugprone-integer-division,-warnings-as-errors]", found.stdout)

    def test_sources(self):
        configured = subprocess.run(["cmake", "--preset", "lint"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(configured.returncode, 0, configured.stdout + configured.stderr)
        commands = json.loads((BUILD / "compile_commands.json").read_text())
        sources = sorted({entry["file"] for entry in commands
                          if pathlib.Path(entry["file"]).is_relative_to(ROOT / "src")
                          or pathlib.Path(entry["file"]).parent == ROOT / "bench"})
        self.assertGreater(len(sources), 100)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lambda source: tidy("-p", BUILD, source), sources))
        faults = "".join(result.stdout for result in results if result.returncode != 0)
        crashed = "".join(result.stderr for result in results if result.returncode != 0 and not result.stdout)
        if faults + crashed:
            self.fail(faults + crashed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
