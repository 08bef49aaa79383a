#!/usr/bin/env python3
"""Runs every kvcast command of the README as it is printed there, and follows the links of all pages.

In ```sh blocks: lines that start with `kvcast` or `build/release/kvcast`; a trailing `\\` continues a line. Each must
exit 0, or N where the line ends with `# exits N`. Lines such as `./dev run` are left to the tests of CI.
"""
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from load import Load, spoilt

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


def without_code(markdown):
    """The text without fenced blocks, which hold neither links nor headings."""
    return re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", markdown, flags=re.DOTALL | re.MULTILINE)


def links(markdown):
    """Targets of inline and reference links, in order."""
    text = re.sub(r"`[^`\n]*`", "", without_code(markdown))
    inline = re.findall(r"\]\(\s*<?([^\s<>()]*)>?(?:\s+[\"'][^)]*)?\)", text)
    return inline + re.findall(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", text, re.MULTILINE)


def anchors(markdown):
    """Slugs of all headings as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", without_code(markdown), re.MULTILINE):
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        text = re.sub(r"(?<!\w)_+([^_]+)_+(?!\w)", r"\1", text)  # emphasis; an underscore within a word stays
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        unique, copies = slug, 0
        while unique in found:
            copies += 1
            unique = f"{slug}-{copies}"
        found.add(unique)
    return found


class LinkTest(unittest.TestCase):
    def test_extraction(self):
        text = "[a](x.md) `[b](y.md)` ![c](<z.md#d> \"title\")\n[e]: w.md\n```\n[f](v.md)\n# no\n```\n[g](#top)\n"
        self.assertEqual(links(text), ["x.md", "z.md#d", "#top", "w.md"])
        text = "# 4. Naive's `fast_form`\n## A [link](x) & more ##\n## Same\n## Same\n## S(N) = N/(1+(N\u22121)\u00b7r)\n```\n# no\n```\n"
        self.assertEqual(anchors(text), {"4-naives-fast_form", "a-link--more", "same", "same-1", "sn--n1n1r"})

    def test_relative_links_lead_somewhere(self):
        pages = [SOURCE / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")]
        for page in pages + sorted((SOURCE / "docs").rglob("*.md")):
            for link in links(page.read_text()):
                if re.match(r"[a-z][a-z0-9+.-]*:|//", link, re.IGNORECASE):
                    continue
                with self.subTest(page=str(page.relative_to(SOURCE)), link=link):
                    path, _, anchor = link.partition("#")
                    target = (page.parent / path).resolve() if path else page
                    self.assertTrue(target.is_relative_to(SOURCE.resolve()), "outside the repository")
                    self.assertTrue(target.exists(), "no such file")
                    if anchor:
                        self.assertIn(anchor, anchors(target.read_text()))


class ReadmeTest(unittest.TestCase):
    def test_the_chinese_readme_shows_no_other_commands(self):
        def bare(name):
            return {command.split("#")[0].strip() for command, _ in commands((SOURCE / name).read_text())}
        self.assertTrue(bare("README.zh-CN.md"))
        self.assertEqual(bare("README.zh-CN.md") - bare("README.md"), set())

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
            (here / "docs").symlink_to(SOURCE / "docs")
            env = dict(os.environ, PATH=f"{here}/build/release:{os.environ['PATH']}")
            missing = False
            for command, expected in found:
                with self.subTest(command=command):
                    with Load() as load:
                        result = subprocess.run(["sh", "-c", command], cwd=here, env=env, capture_output=True,
                                                text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
                    reason = spoilt(result.returncode, result.stderr, load) if expected == 0 else ""
                    if not reason and missing and "No such file" in result.stderr:
                        reason = f"needs what was not made: {result.stderr.strip()}"
                    if reason:
                        missing = True
                        self.skipTest(reason)
                    self.assertEqual(result.returncode, expected, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
