#!/usr/bin/env python3
"""Text and files of strangers through the real binary: nothing is acted on, and no path leaves its folder."""
import base64
import hashlib
import json
import os
import re
import unittest
import xml.etree.ElementTree as ET
import zipfile

from cli_test import SOURCE, CliTest

# An escape sequence, a link of a terminal, a C1 control, a direction override, line separators, a line end.
EVIL = "\x1b[31m\x1b]8;;http://x.example\x07x\u009b31m\u202etxt\u2028a\nb"
ACTED_ON = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
FORMATS = "json,csv,md,html,xlsx"


def spoilt(value, text, name="", in_config=False):
    """A report with `text` in place of every text that is taken as it comes."""
    if isinstance(value, str):
        # Texts of a closed set are refused where they are read.
        closed = name in ("schema", "status", "execution", "stopped_by", "order", "what") or name.endswith("source")
        fixed = closed or in_config and name not in ("comment", "import")
        return value if fixed else text
    if isinstance(value, list):
        return [spoilt(item, text, name, in_config) for item in value]
    if isinstance(value, dict):
        named = name in ("schemes", "fits", "dependencies")
        return {text + key if named else key: spoilt(item, text, key, in_config or key == "config")
                for key, item in value.items()}
    return value


class TerminalTest(CliTest):
    def assert_inert(self, result):
        for text in (result.stdout, result.stderr):  # line ends are no more than that
            self.assertIsNone(ACTED_ON.search(text), ascii(text))

    def test_names_on_the_command_line(self):
        for args in (["fit", EVIL], ["size", EVIL], ["report", EVIL], ["compare", EVIL, EVIL], ["merge", EVIL],
                     ["run", EVIL], ["run", EVIL + ".json"], ["run", "/" + EVIL], ["presets", "show", EVIL], [EVIL],
                     ["run", "--" + EVIL], ["run", "--set", EVIL + "=1"], ["run", "--set", "model.dim=" + EVIL],
                     ["run", "--mask", EVIL], ["run", "--isa", EVIL], ["verify", "--import", EVIL],
                     ["run", "--resume", EVIL], ["run", "--shard", EVIL], ["run", "--format", EVIL],
                     ["simulate", "--trace", EVIL, "--token-time", "1us", "--candidate-time", "1us"],
                     ["completion", EVIL], ["size", "--r", EVIL], ["size", "--p99", EVIL]):
            with self.subTest(args=args):
                result = self.kvcast(*args)
                self.assertIn(result.returncode, (2, 3))
                self.assertEqual(len(result.stderr.splitlines()), 1)
                self.assert_inert(result)

    def test_files_that_are_written_and_read(self):
        name = EVIL.replace("/", "")
        result = self.kvcast("size", "--r", "0.15", "-o", name)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("wrote ", result.stderr)
        self.assert_inert(result)
        self.assertTrue((self.dir / name / "report.html").exists())
        column = EVIL.replace("\n", " ")
        self.write("own.csv", f'candidates,naive_seconds,shared_seconds,"{column}"\n' +
                   "".join(f"{n},{0.01 * n},{0.01 + 0.001 * n},1\n" for n in (1, 2, 4, 8) for _ in range(3)))
        for extra in (["--details"], ["--format", "json"]):
            result = self.kvcast("fit", "own.csv", *extra)
            self.assertIn(result.returncode, (0, 2), result.stderr)
            self.assertIn("not used: '\\x1b[31m", result.stderr + result.stdout)
            self.assertIsNone(ACTED_ON.search(result.stderr), ascii(result.stderr))
        # Warnings that others wrote.
        self.assertEqual(self.kvcast("fit", "own.csv", "-o", "out", "-q").returncode, 0)
        report = json.loads((self.dir / "out/report.json").read_text())
        report["warnings"].append({"code": "theirs", "text": EVIL, "advice": EVIL})
        self.write("out/report.json", report)
        result = self.kvcast("fit", "out", "--format", "csv")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"warning: .*txt")
        self.assert_inert(result)

    def test_a_report_of_a_stranger_on_the_terminal(self):
        self.write("report.json", spoilt(json.loads((SOURCE / "tests/golden/approved/fixed.json.txt").read_text()), EVIL))
        for args in (["report", "report.json", "--to", "md", "-o", "out"], ["report", "report.json", "--to", "table"]):
            result = self.kvcast(*args)
            self.assert_inert(result)


class FormatTest(CliTest):
    def rendered(self, text):
        golden = json.loads((SOURCE / "tests/golden/approved/fixed.json.txt").read_text())
        self.write("report.json", spoilt(golden, text))
        result = self.kvcast("report", "report.json", "--to", FORMATS, "-o", "out", "--force", "-q")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return self.dir / "out"

    def test_the_workbook_has_no_formula_link_or_part_of_a_stranger(self):
        for text in ("=HYPERLINK(\"http://x.example\")", "=[http://x.example/b.xlsx]s!A1", "@SUM(A1)", "x" * 40000,
                     "\x0b\x01\ufffe\uffff\u2028</t><f>1+1</f>"):
            with self.subTest(text=text[:40]), zipfile.ZipFile(self.rendered(text) / "report.xlsx") as book:
                for name in book.namelist():
                    self.assertNotRegex(name, r"externalLink|vba|macro|embed")
                    if not name.endswith((".xml", ".rels")):
                        continue
                    content = book.read(name).decode()
                    root = ET.fromstring(content)
                    self.assertNotIn('TargetMode="External"', content)
                    for part in root.iter():
                        tag = part.tag.rsplit("}", 1)[-1]
                        if tag == "f" and "/charts/" in name:
                            self.assertRegex(part.text, r"\A[a-z]+!\$[A-Z]+\$\d+:\$[A-Z]+\$\d+\Z")
                        elif tag == "f":
                            self.assertNotRegex(part.text, r"HYPERLINK|http|x{9}|\A1\+1\Z")
                        elif tag == "sheet":
                            self.assertRegex(part.get("name"), r"\A[a-z]+\Z")
                        if tag == "t":
                            self.assertLessEqual(len((part.text or "").encode("utf-16-le")) // 2, 32767)

    def test_the_page_runs_its_own_scripts_only(self):
        page = (self.rendered("</script><script>alert(1)</script>") / "report.html").read_text()
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page).group(1)
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        self.assertEqual(rules["default-src"], "'none'")

        def hashes(elements):
            return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
                            for text in elements)

        self.assertEqual(rules["script-src"], hashes(re.findall(r"<script>(.*?)</script>", page, re.DOTALL)))
        self.assertEqual(rules["style-src"], hashes(re.findall(r"<style>(.*?)</style>", page, re.DOTALL)))
        self.assertEqual({name for name in rules if name.endswith("-src")},
                         {"default-src", "script-src", "style-src", "img-src"})
        self.assertEqual(rules["img-src"], "data: blob:")


class FolderTest(CliTest):
    """A path in a config file is below its folder."""
    SHAPE = ["-L", "8", "-d", "16", "--layers", "1", "--heads", "2", "--threads", "1", "-q"]

    def setUp(self):
        super().setUp()
        for folder in ("mine", "mine/weights", "elsewhere"):
            (self.dir / folder).mkdir()
        self.assertEqual(self.kvcast("verify", "smoke", *self.SHAPE, "--export", "elsewhere/w.safetensors").returncode, 0)
        content = (self.dir / "elsewhere/w.safetensors").read_bytes()
        self.write("mine/w.safetensors", content)
        self.write("mine/weights/w.safetensors", content)
        os.symlink("../elsewhere", self.dir / "mine/out")
        os.symlink("../../elsewhere/w.safetensors", self.dir / "mine/weights/out.safetensors")
        os.symlink("w.safetensors", self.dir / "mine/same.safetensors")
        os.symlink("mine", self.dir / "also")

    def verify(self, path, *args, file="mine/config.json"):
        self.write(file, {"model": {"import": path}})
        return self.kvcast("verify", file, *self.SHAPE, *args)

    def test_below_the_folder_of_the_file(self):
        for path in ("w.safetensors", "./w.safetensors", "weights/w.safetensors", "same.safetensors"):
            self.assertEqual(self.verify(path).returncode, 0, path)
            self.assertEqual(self.verify(path, file="also/config.json").returncode, 0, path)
        self.write("w.safetensors", (self.dir / "mine/w.safetensors").read_bytes())
        self.assertEqual(self.verify("w.safetensors", file="here.json").returncode, 0)
        # Said in the file's own words where it is not there.
        self.assert_one_line(self.verify("nothing.safetensors"), 3, "mine/nothing.safetensors")

    def test_what_leaves_it_is_refused(self):
        for path in ("../elsewhere/w.safetensors", str(self.dir / "mine/w.safetensors"), "weights/../w.safetensors",
                     "out/w.safetensors", "weights/out.safetensors", "..", "/etc/passwd"):
            with self.subTest(path=path):
                self.assert_one_line(self.verify(path), 2, "mine/config.json: /model/import: '", "leaves the folder",
                                     "--import takes any")
        # Even where the command line says otherwise: the file is not what it seems.
        self.assertEqual(self.verify("/etc/passwd", "--import", "elsewhere/w.safetensors").returncode, 2)

    def test_the_command_line_is_the_users_own(self):
        for path in ("elsewhere/w.safetensors", "mine/out/w.safetensors", str(self.dir / "elsewhere/w.safetensors")):
            self.assertEqual(self.kvcast("verify", "smoke", *self.SHAPE, "--import", path).returncode, 0, path)
            self.assertEqual(self.kvcast("verify", "smoke", *self.SHAPE, "--set", f"model.import={path}").returncode, 0)

    def test_a_preset_is_no_path(self):
        self.write("mine/default", "{}")
        for name in ("..", ".", "mine", "elsewhere"):
            self.assert_one_line(self.kvcast("run", name, "--dry-run"), 2, f"'{name}': unknown preset")
        for name in ("../mine/default", "mine/default", "./default", "mine/config.json"):
            self.assert_one_line(self.kvcast("presets", "show", name), 2, "unknown preset")


if __name__ == "__main__":
    unittest.main(verbosity=2)
