"""The list of `./dev mutate` fits the tree, and mutate.py calls a fault caught only where a test failed of it."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(os.environ.get("KVCAST_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "tests" / "mutate"))
import mutate  # noqa: E402


class ListTest(unittest.TestCase):
    faults = mutate.load(ROOT / "tests" / "mutate" / "faults.toml")

    def test_lines_and_scripts_are_there(self):
        self.assertEqual(mutate.problems(self.faults, ROOT), [])

    def test_every_test_selects_something(self):
        named = {test for fault in self.faults for test in fault.tests if not mutate.is_python(test)}
        none = [test for test in sorted(named) if mutate.selects(os.environ["KVCAST_TESTS"], test) == 0]
        self.assertEqual(none, [])
        self.assertEqual(mutate.selects(os.environ["KVCAST_TESTS"], "no test is called so"), 0)

    def test_both_groups_are_large_enough(self):
        for group, least in (("engine", 15), ("analysis", 25)):
            self.assertGreaterEqual(sum(fault.group == group for fault in self.faults), least, group)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path


class ProblemsTest(Folder):
    def setUp(self):
        super().setUp()
        self.write("a.cpp", """\
            int f() {
              return 1;
            }
            int g() {
              return 2;
            }
            """)
        self.write("x_test.py", """\
            class XTest:
                def test_x(self):
                    pass
            """)

    def fault(self, **changed):
        fine = {"name": "one", "group": "engine", "file": "a.cpp", "line": "return 1;", "becomes": "return 3;",
                "tests": ("[f]", "x_test.py XTest.test_x"), "why": "f is wrong"}
        return mutate.Fault(**{**fine, **changed})

    def test_a_fine_list_has_none(self):
        self.assertEqual(mutate.problems([self.fault()], self.root), [])
        self.assertEqual(mutate.problems([self.fault(becomes="")], self.root), [])

    def test_each_is_named(self):
        for changed, said in (({"line": "return 4;"}, "has the line 0 times"), ({"line": "}"}, "has the line 2 times"),
                              ({"line": "  return 1;"}, "without its indentation"),
                              ({"becomes": "return  1;"}, "becomes what it was"),
                              ({"becomes": "return\n3;"}, "one line"), ({"file": "b.cpp"}, "no file b.cpp"),
                              ({"group": "cli"}, "group"), ({"tests": ()}, "names no test"), ({"why": ""}, "why"),
                              ({"tests": ("x_test.py XTest.test_y",)}, "no XTest.test_y in x_test.py"),
                              ({"tests": ("y_test.py XTest.test_x",)}, "no file y_test.py")):
            found = mutate.problems([self.fault(**changed)], self.root)
            self.assertRegex("; ".join(found), f"^one: .*{said}")
        self.assertIn("one: the name is there twice", mutate.problems([self.fault(), self.fault()], self.root))

    def test_one_line_changes_and_keeps_its_place(self):
        self.assertEqual(mutate.planted(self.fault(), self.root),
                         "int f() {\n  return 3;\n}\nint g() {\n  return 2;\n}\n")

    def test_an_entry_has_all_keys_and_no_other(self):
        entry = '[[fault]]\nname = "one"\ngroup = "engine"\nfile = "a"\nline = "b"\nbecomes = "c"\ntests = ["[f]"]\n'
        self.assertEqual(len(mutate.load(self.write("fine.toml", entry + 'why = "w"\n'))), 1)
        for wrong in (entry, entry + 'why = "w"\nwhen = "now"\n'):
            with self.assertRaisesRegex(mutate.Stale, "one: "):
                mutate.load(self.write("wrong.toml", wrong))


@unittest.skipUnless(shutil.which("git"), "git tells what a tree holds")
class CopyTest(Folder):
    def test_a_copy_is_its_tree_whatever_was_left_in_it(self):
        root, copy = self.root / "tree", self.root / "copy"
        self.write("tree/.gitignore", "build/\n")
        self.write("tree/src/a.cpp", "sound\n")
        self.write("tree/src/b.cpp", "sound\n")
        self.write("tree/build/object", "no source\n")
        subprocess.run(["git", "init", "-q", root], check=True)
        mutate.copy_tree(root, copy)
        self.assertFalse((copy / "build").exists())
        written = (copy / "src/b.cpp").stat().st_mtime_ns
        self.write("copy/src/a.cpp", "a fault that an interrupted run left\n")
        self.write("copy/src/gone.cpp", "no longer in the tree\n")
        self.write("copy/build/object", "of the copy\n")
        mutate.copy_tree(root, copy)
        self.assertEqual((copy / "src/a.cpp").read_text(), "sound\n")
        self.assertFalse((copy / "src/gone.cpp").exists())
        self.assertTrue((copy / "build/object").exists())
        self.assertEqual((copy / "src/b.cpp").stat().st_mtime_ns, written)


class VerdictTest(Folder):
    """With a script in place of kvcast_tests."""

    def verdict(self, script, limit_s=10):
        run = mutate.Run(self.root, self.root, lambda text: None)
        run.binary = self.write("tree/tests", "#!/bin/sh\n" + textwrap.dedent(script))
        run.binary.chmod(0o755)
        return run.run("[f]", limit_s)

    def test_what_passes_is_not_caught(self):
        self.assertIsNone(self.verdict("""echo '<TestCase name="f is f">'"""))

    def test_the_last_that_began_has_caught_it(self):
        self.assertEqual(self.verdict("""\
            echo '<TestCase name="f is f">'
            echo '<TestCase name="f is g">'
            exit 1
            """), "'f is g'")

    def test_a_crash_and_a_test_without_end_are_said(self):
        self.assertEqual(self.verdict("""\
            echo '<TestCase name="f is f">'
            kill -SEGV $$
            """), "'f is f' (signal 11)")
        self.assertIn("takes more than", self.verdict("sleep 100", 0.2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
