"""No block of ten lines stands in the tree twice.

A line counts without its white space; blank lines, comments, lone punctuation, includes and imports do not count, so
that a block is ten lines of code. What is the same but for names is for people to judge, not for this.
"""
import collections
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(os.environ.get("KVCAST_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BLOCK = 10
SUFFIXES = {".cpp", ".h", ".py", ".js", ".mjs", ".cmake", ".sh", ".css"}
FOLDERS = ("src", "include", "tests", "bench", "cmake", "configs", "docs")
NOT_CODE = re.compile(r"^(//|#\s*(include|pragma)|#!|# |import |from |[\W_]*$|\"\"\")")


def code_lines(text):
    """(line number, line without white space) of the lines that count."""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not NOT_CODE.match(line):
            yield number, re.sub(r"\s+", " ", line)


def repeated(texts, block=BLOCK):
    """Messages for the blocks that stand twice in {name: text}, longest runs joined."""
    places = collections.defaultdict(list)
    numbers = {}
    for name, text in texts.items():
        lines = list(code_lines(text))
        numbers[name] = [number for number, _ in lines]
        for first in range(len(lines) - block + 1):
            places[tuple(line for _, line in lines[first:first + block])].append((name, first))
    runs = set()  # (earlier place, later place) of a window that stands twice
    for where in places.values():
        for later in range(1, len(where)):
            for earlier in range(later):
                one, two = where[earlier], where[later]
                if one[0] != two[0] or two[1] - one[1] >= block:  # a block does not repeat itself
                    runs.add((one, two))
    found = []
    for (one, two) in sorted(runs):
        if ((one[0], one[1] - 1), (two[0], two[1] - 1)) in runs:
            continue  # not the first window of its run
        length = block
        while ((one[0], one[1] + length - block + 1), (two[0], two[1] + length - block + 1)) in runs:
            length += 1
        found.append(f"{one[0]}:{numbers[one[0]][one[1]]} and {two[0]}:{numbers[two[0]][two[1]]} share {length} lines")
    return found


def tree():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.splitlines()]
    else:  # a source archive
        paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths
            if path.suffix in SUFFIXES and path.is_file()}


class DuplicatesTest(unittest.TestCase):
    def test_no_block_stands_twice(self):
        texts = tree()
        self.assertGreater(len(texts), 300)
        found = repeated(texts)
        self.assertEqual(found, [], "\n".join(found))

    def test_a_block_that_stands_twice_is_found(self):
        block = "".join(f"  call({index});\n" for index in range(BLOCK))
        self.assertEqual(repeated({"a.cpp": "int a;\n" + block, "b.cpp": block.replace("  ", "\t") + "// end\n"}),
                         ["a.cpp:2 and b.cpp:1 share 10 lines"])
        self.assertEqual(len(repeated({"a.cpp": block + "int a;\n" + block})), 1)
        shorter = "".join(block.splitlines(True)[1:])
        self.assertEqual(repeated({"a.cpp": block, "b.cpp": shorter}), [])
        self.assertEqual(repeated({"a.cpp": "  std::nullopt,\n" * (BLOCK + 2)}), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
