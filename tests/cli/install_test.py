#!/usr/bin/env python3
"""Installs the build into an empty folder and uses what is there: the binary, its manual, its completions.

KVCAST_BIN is the binary in its build folder, KVCAST_SOURCE_DIR the repository.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("KVCAST_BIN", SOURCE / "build/release/kvcast"))
TIMEOUT_S = 120

COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_kvcast
printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(*args, cwd=None):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=TIMEOUT_S, cwd=cwd,
                          stdin=subprocess.DEVNULL)


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_install_")
        cls.addClassCleanup(folder.cleanup)
        cls.prefix = Path(folder.name) / "prefix"
        installed = run("cmake", "--install", BIN.parent, "--prefix", cls.prefix)
        assert installed.returncode == 0, installed.stdout + installed.stderr
        cls.binary = cls.prefix / "bin/kvcast"
        cls.bash = cls.prefix / "share/bash-completion/completions/kvcast"

    def completed(self, *words, cwd=None):
        result = run("bash", "-c", COMPLETE, "bash", self.bash, "kvcast", *words, cwd=cwd)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.split()

    def help_of(self, command):
        """With the options that --help leaves out."""
        text = run(self.binary, command, "--help").stdout
        return run(self.binary, command, "--help-all").stdout if "--help-all" in text else text

    def commands(self):
        return re.findall(r"^  ([a-z]+) {2,}", run(self.binary, "--help").stdout.split("Subcommands:")[1], re.M)

    def test_the_installed_binary_has_its_presets(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            listed = run(self.binary, "presets", cwd=elsewhere)
            self.assertEqual(listed.returncode, 0, listed.stderr)
            names = [line.split()[0] for line in listed.stdout.splitlines() if line and not line.startswith(("-", "name"))]
            files = {path.stem: path for path in (self.prefix / "share/kvcast/presets").glob("*.json")}
            self.assertEqual(set(names), set(files))
            shown = run(self.binary, "presets", "show", "seed", cwd=elsewhere)
            self.assertEqual(json.loads(shown.stdout), json.loads(files["seed"].read_text()))

    def test_the_schema_is_there(self):
        schema = json.loads((self.prefix / "share/kvcast/report.schema.json").read_text())
        self.assertEqual(schema["title"], "kvcast.report/2")

    def test_the_manual_names_every_command_and_option(self):
        manual = (self.prefix / "share/man/man1/kvcast.1").read_text()
        self.assertEqual(manual, run(self.binary, "man").stdout)
        plain = manual.replace("\\-", "-")
        for command in self.commands():
            self.assertIn(f".SS kvcast {command}\n", plain)
            for flag in re.findall(r"--[a-z][a-z0-9-]+", self.help_of(command).split("Options:")[1]):
                self.assertIn(flag, plain)
        if shutil.which("man"):
            # No request that the formatter does not know.
            page = run("man", "--warnings", "-l", self.prefix / "share/man/man1/kvcast.1")
            self.assertEqual(page.returncode, 0, page.stderr)
            self.assertEqual(page.stderr, "")

    def test_bash_completes_commands_options_values_and_presets(self):
        self.assertEqual(self.completed("ru"), ["run"])
        self.assertEqual(set(self.completed("")), set(self.commands()) | {"--help", "--version"})
        self.assertEqual(self.completed("run", "--bud"), ["--budget"])
        self.assertEqual(self.completed("run", "--mask", "hist"), ["history-blind"])
        self.assertIn("seed-drop", self.completed("run", "seed"))
        self.assertEqual(self.completed("size", "--format", "m"), ["md"])
        self.assertEqual(self.completed("presets", "--bud"), [])
        for command in self.commands():
            flags = set(re.findall(r"^  (?:-\w,)?(--[a-z0-9-]+)", self.help_of(command), re.M))
            self.assertLessEqual(flags, set(self.completed(command, "--")), command)

    def test_bash_completes_values_from_their_lists(self):
        presets = {path.stem for path in (self.prefix / "share/kvcast/presets").glob("*.json")}
        isas = run(self.binary, "info", "--threads", "1").stdout
        isas = re.search(r"--isa: (.*)$", isas, re.M).group(1).split(", ")
        for words, expected in ((("completion", ""), {"bash", "zsh", "fish"}),
                                (("presets", ""), {"show"}),
                                (("presets", "show", ""), presets),
                                (("run", "--isa", ""), {"auto", *isas}),
                                (("verify", "--dtype", ""), {"fp32", "bf16"}),
                                (("run", "--dtype", "=", "b"), {"bf16"}),
                                (("run", "--set", "model.di"), {"model.dim="}),
                                (("size", "--scheme", "shared"), {"shared", "shared-copy"}),
                                (("simulate", "--find", ""), {"qps", "candidates", "workers", "cache"}),
                                (("simulate", "--order", ""), {"fifo", "shortest"}),
                                (("replay", "--policy", ""), {"lru", "belady"}),
                                (("simulate", "--timestamps", ""), {"s", "ms", "us", "ns"}),
                                (("simulate", "--spread-timestamps", ""), {"random", "even", "none"}),
                                (("compare", "--across", "dt"), {"dtype"}),
                                (("replay", "--budget", "5"), {"5min"})):
            with self.subTest(words=words):
                self.assertEqual(set(self.completed(*words)), expected)

    def test_bash_completes_lists_after_a_comma(self):
        for words, expected in ((("run", "--schemes", "naive,sh"), {"naive,shared", "naive,shared-copy"}),
                                (("run", "--schemes", "=", "naive,app"), {"naive,append"}),
                                (("run", "--schemes", "shared,naive,"),
                                 {f"shared,naive,{name}" for name in ("shared-copy", "packed", "cached", "append")}),
                                (("report", "--to", "md,x"), {"md,xlsx"}),
                                (("size", "--format", "table,"), set())):
            with self.subTest(words=words):
                self.assertEqual(set(self.completed(*words)), expected)

    def test_bash_completes_files_only_where_a_path_is_taken(self):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "mine.csv").touch()
            (Path(name) / "out").mkdir()
            everything, folders = {"mine.csv", "out"}, {"out"}
            for words, expected in ((("size", ""), everything), (("compare", "x", ""), everything),
                                    (("simulate", "--trace", ""), everything), (("run", "--import", ""), everything),
                                    (("run", "o"), {"out"}), (("size", "--shape", "m"), {"mine.csv"}),
                                    (("run", "-o", ""), folders), (("run", "--resume", ""), folders),
                                    (("merge", ""), folders), (("run", "-N", ""), set()), (("run", "--shard", ""), set()),
                                    (("fit", "--columns", ""), set()), (("run", "--set", "model.dim", "=", ""), set()),
                                    (("info", ""), set()), (("man", ""), set()), (("completion", "m"), set()),
                                    (("presets", "show", "m"), set())):
                with self.subTest(words=words):
                    self.assertEqual(set(self.completed(*words, cwd=name)), expected)

    def test_the_other_shells_can_read_theirs(self):
        for shell, path in (("zsh", "share/zsh/site-functions/_kvcast"),
                            ("fish", "share/fish/vendor_completions.d/kvcast.fish")):
            script = (self.prefix / path).read_text()
            self.assertEqual(script, run(self.binary, "completion", shell).stdout)
            for word in ("--budget" if shell == "zsh" else "-l budget", "history-blind", "seed-drop",
                         "_values -s ," if shell == "zsh" else "__kvcast_list"):
                self.assertIn(word, script)
            if shutil.which(shell):
                read = run(shell, "-n", self.prefix / path)
                self.assertEqual(read.returncode, 0, read.stderr)
        self.assertEqual(run(self.binary, "completion", "tcsh").returncode, 2)

    def test_typos_get_a_suggestion(self):
        for args, meant in ((["rnu"], "run"), (["run", "--budgte", "3s"], "--budget"), (["size", "--p9=5ms"], "--p99"),
                            (["run", "smoek"], "smoke")):
            result = run(self.binary, *args)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"did you mean '{meant}'?", result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
        self.assertNotIn("did you mean", run(self.binary, "run", "--nothing-like-it").stderr)


if __name__ == "__main__":
    unittest.main()
