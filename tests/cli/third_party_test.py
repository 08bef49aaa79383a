"""docs/third-party.md names everything that the program, its set-up and its data are made from."""
import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(ROOT / "build/release/kvcast"))
# Names of files that say little, and what the page calls them.
LIBRARIES = {"c": "glibc", "m": "glibc", "z": "zlib", "gcc_s": "GCC runtime", "stdc++": "libstdc++", "hwy": "Highway",
             "dnnl": "oneDNN", "gomp": "libgomp", "omp": "libomp"}
SANITIZERS = {"asan", "ubsan"}


class ThirdPartyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = (ROOT / "docs" / "third-party.md").read_text()
        cls.program, cls.tools, cls.data = re.split(r"(?m)^## (?:For building|Data).*$", text)

    def test_versions(self):
        """--version names the libraries of the page, each with a number."""
        stdout = subprocess.run([BIN, "--version"], capture_output=True, text=True, check=True).stdout
        libraries = dict(part.split(" ", 1) for part in stdout.splitlines()[1].split(", "))
        for name, version in libraries.items():
            self.assertRegex(version, r"^\d+(\.\d+)*( of lib\w+)?$", name)
        table = re.findall(r"(?m)^\| (\S+) \| \S", self.program)[1:]  # without the head
        self.assertEqual(sorted(libraries), sorted(table))

    def test_loaded_libraries(self):
        listed = subprocess.run(["ldd", BIN], capture_output=True, text=True, check=True).stdout
        loaded = set(re.findall(r"\blib([\w+]+?)[-.\d]*\.so", listed)) - SANITIZERS
        self.assertLess({"c", "fmt", "xlsxwriter"}, loaded)
        for library in loaded:
            self.assertIn(LIBRARIES.get(library, library), self.program)

    def test_packages(self):
        packages = re.findall(r"(?ms)^\w*packages\+?=\((.+?)\)", (ROOT / "dev").read_text())
        self.assertGreater(len(packages), 2)
        for package in " ".join(packages).split():
            self.assertRegex(self.program + self.tools, rf"(?<![\w-]){re.escape(package)}(?![\w-])")

    def test_data(self):
        traces = list((ROOT / "configs" / "traces").glob("*.csv"))
        self.assertTrue(traces)
        for trace in traces:
            self.assertIn(f"`configs/traces/{trace.name}`", self.data)


if __name__ == "__main__":
    unittest.main(verbosity=2)
