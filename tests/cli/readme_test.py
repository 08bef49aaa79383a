#!/usr/bin/env python3
"""Runs every kvcast command of the README as it is printed there.

In ```sh blocks: lines that start with `kvcast` or `build/release/kvcast`; a trailing `\\` continues a line. Each must
exit 0, or N where the line ends with `# exits N`. Lines such as `./dev run` are left to the tests of CI.
"""
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
TIMEOUT_S = 600


def commands(markdown):
    """(command, exit code) of every kvcast line in the sh blocks."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.strip()
            if re.match(r"(build/release/)?kvcast(\s|$)", command):
                expected = re.search(r"#\s*exits (\d+)\s*$", command)
                found.append((command, int(expected.group(1)) if expected else 0))
    return found


class ReadmeTest(unittest.TestCase):
    def test_extraction(self):
        text = "```sh\n./dev run\nkvcast run \\\n  smoke\n build/release/kvcast x  # exits 2\nkvcastle\n```\n```text\nkvcast no\n```\n"
        self.assertEqual(commands(text), [("kvcast run    smoke", 0), ("build/release/kvcast x  # exits 2", 2)])

    def test_commands(self):
        found = commands((SOURCE / "README.md").read_text())
        self.assertTrue(found, "README.md shows no kvcast command")
        with tempfile.TemporaryDirectory(prefix="kvcast_readme_") as folder:
            here = Path(folder)
            (here / "build/release").mkdir(parents=True)
            (here / "build/release/kvcast").symlink_to(Path(BIN).resolve())
            (here / "configs").symlink_to(SOURCE / "configs")
            env = dict(os.environ, PATH=f"{here}/build/release:{os.environ['PATH']}")
            for command, expected in found:
                with self.subTest(command=command):
                    result = subprocess.run(["sh", "-c", command], cwd=here, env=env, capture_output=True, text=True,
                                            timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
                    self.assertEqual(result.returncode, expected, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
