#!/usr/bin/env python3
"""Plants the faults of faults.toml, one at a time, and sees whether the tests that each names fail, and whether the
program itself stops where it should: `product` commands exit 4.

Works in a copy of the tree under build/mutate, so that no fault is ever in yours, however a run ends. A missed one is a
test to write. Exit 0: at least 98% are caught, and
every product stops; 1: fewer, or a fault that does not compile; 2: the list is stale, or the
tests fail without a fault.
"""
import argparse
import ast
import dataclasses
import fcntl
import fnmatch
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GROUPS = ("engine", "analysis")
WANTED = 0.98
BY_FILE = "--filenames-as-tags"  # of Catch2: [#x_test] is what x_test.cpp holds
# A fault may go on allocating for ever, on a machine that others use too.
MOST_BYTES = 16 << 30
CHECK_FAILED = 4  # exit code of kvcast
# Of a test that takes no time; of one that does, a multiple, for other things may run beside it.
LEAST_LIMIT_S, LIMIT_FACTOR = 60, 20


class Stale(Exception):
    """The list or the tests are not as they must be before a fault can be judged."""


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    group: str
    file: str
    line: str  # without its indentation
    becomes: str
    tests: tuple
    why: str
    product: tuple = ()  # commands of kvcast that must not call the fault sound


def load(path):
    """The faults of a list, in its order."""
    keys = {field.name for field in dataclasses.fields(Fault)} - {"product"}
    faults = []
    for entry in tomllib.loads(pathlib.Path(path).read_text())["fault"]:
        name = entry.get("name", f"entry {len(faults) + 1}")
        if set(entry) - {"product"} != keys:
            raise Stale(f"{name}: lacks a key or has one too many: {', '.join(sorted(set(entry) ^ keys))}")
        faults.append(Fault(**{**entry, "tests": tuple(entry["tests"]), "product": tuple(entry.get("product", ()))}))
    return faults


def place(fault, root):
    """The number of the line, from 0, and all lines of its file with their ends."""
    lines = (root / fault.file).read_text().splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == fault.line]
    if len(found) != 1:
        raise Stale(f"{fault.file} has the line {len(found)} times: {fault.line}")
    return found[0], lines


def planted(fault, root):
    """The text of the fault's file with the fault in it."""
    at, lines = place(fault, root)
    lines[at] = lines[at].replace(fault.line, fault.becomes)
    return "".join(lines)


def is_python(test):
    return test.split()[0].endswith(".py")


def python_test(test, root):
    """Script and Class.method of a python test, which are there."""
    script, _, method = test.partition(" ")
    path = root / script
    if not path.is_file():
        raise Stale(f"no file {script} for the test '{test}'")
    methods = [f"{node.name}.{item.name}" for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)
               for item in node.body if isinstance(item, ast.FunctionDef)]
    if method not in methods:
        raise Stale(f"no {method or 'Class.method'} in {script}")
    return path, method


def problems(faults, root):
    """What is wrong with a list, a line each. Catch2's tests are looked up by selects(), which needs the binary."""
    found = []
    for fault in faults:
        def wrong(text, name=fault.name):
            found.append(f"{name}: {text}")

        if [other.name for other in faults].count(fault.name) > 1:
            wrong("the name is there twice")
        if fault.group not in GROUPS:
            wrong(f"group is none of {', '.join(GROUPS)}")
        if fault.line != fault.line.strip() or "\n" in fault.line + fault.becomes:
            wrong("line and becomes are one line, line without its indentation")
        if fault.becomes.split() == fault.line.split():
            wrong("becomes what it was")
        if not fault.tests:
            wrong("names no test")
        if not fault.why:
            wrong("does not say why it matters")
        if not (root / fault.file).is_file():
            wrong(f"no file {fault.file}")
            continue
        try:
            place(fault, root)
            for test in filter(is_python, fault.tests):
                python_test(test, root)
        except Stale as problem:
            wrong(problem)
    return found


def selects(binary, test):
    """How many test cases of Catch2 a name or tag selects."""
    said = subprocess.run([binary, "--list-tests", BY_FILE, test], capture_output=True, text=True).stdout
    count = re.search(r"^(\d+) matching test case", said, re.M)
    return int(count[1]) if count else 0


def copy_tree(root, to):
    """Makes `to` the files of `root` that git knows or would take. Writes only what differs, as ninja goes by time."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                            capture_output=True, check=True).stdout.decode().split("\0")
    wanted = {name for name in listed if name and (root / name).is_file()}
    for name in wanted:
        source, target = root / name, to / name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    for path in list(to.rglob("*")):
        name = path.relative_to(to)
        if path.is_file() and name.parts[0] != "build" and name.as_posix() not in wanted:
            path.unlink()


class Run:
    """One copy of the tree with its build."""

    def __init__(self, root, folder, say):
        self.tree = folder / "tree"
        self.binary = self.tree / "build/release/tests/kvcast_tests"
        self.root, self.say = root, say
        self.limits = {}

    def prepare(self, tests, commands):
        """A build without a fault, in which all these tests and commands pass."""
        self.tree.mkdir(parents=True, exist_ok=True)
        copy_tree(self.root, self.tree)
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        # A source at a time: a fault is one.
        self.must(["cmake", "--preset", "release", "-DKVCAST_UNITY=OFF", *launcher])
        self.targets = sorted({"kvcast_cli" if is_python(test) else "kvcast_tests" for test in tests} |
                              ({"kvcast_cli"} if commands else set()))
        self.say(f"building {' and '.join(self.targets)} in {self.tree}")
        self.must(["cmake", "--build", "--preset", "release", "--target", *self.targets])
        for test in tests:
            if not is_python(test) and selects(self.binary, test) == 0:
                raise Stale(f"no test case matches '{test}'")
            before = time.monotonic()
            verdict = self.run(test, 600)
            if verdict is not None:
                raise Stale(f"without a fault '{test}' fails: {verdict}")
            taken = time.monotonic() - before
            self.limits[test] = max(LEAST_LIMIT_S, LIMIT_FACTOR * taken)
            self.say(f"passes without a fault in {taken:.1f} s: {test}")
        for command in commands:
            if (code := self.product(command)) != 0:
                raise Stale(f"without a fault 'kvcast {command}' exits {code}")
            self.say(f"exits 0 without a fault: kvcast {command}")

    def judge(self, fault):
        """'caught by ...', 'MISSED' or 'INVALID: ...'; and what the product says where it is asked."""
        file = self.tree / fault.file
        sound = file.read_text()
        try:
            file.write_text(planted(fault, self.tree))
            built = self.command(["cmake", "--build", "--preset", "release", "--target", *self.targets])
            if built.returncode != 0:
                error = next((line for line in built.stdout.splitlines() if "error" in line), "the build fails")
                return "INVALID: " + error
            codes = [(command, self.product(command)) for command in fault.product]
            product = "".join(f"; kvcast {command}: " + ("stops" if code == CHECK_FAILED else f"NOT STOPPED, exit {code}")
                              for command, code in codes)
            for test in fault.tests:
                verdict = self.run(test, self.limits[test])
                if verdict is not None:
                    return "caught by " + verdict + product
            return "MISSED" + product
        finally:
            file.write_text(sound)

    def run(self, test, limit_s):
        """What fails of a test; None when nothing does."""
        if is_python(test):
            script, method = python_test(test, self.tree)
            command = [sys.executable, script, method]
        else:
            command = [self.binary, BY_FILE, test, "--reporter", "xml", "--abort"]
        environment = {"KVCAST_BIN": self.tree / "build/release/kvcast", "KVCAST_TESTS": self.binary,
                       "KVCAST_SOURCE_DIR": self.tree, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = self.command(command, limit_s, environment)
        except subprocess.TimeoutExpired:
            return f"time: '{test}' takes more than {limit_s:.0f} s"
        if done.returncode == 0:
            return None
        if is_python(test):
            return f"{script.name} {method}"
        # The last that was begun is the one that failed, or that ended the process.
        names = re.findall(r'<TestCase name="([^"]*)"', done.stdout)
        how = f" (signal {-done.returncode})" if done.returncode < 0 else ""
        return f"'{names[-1]}'{how}" if names else f"'{test}', exit {done.returncode}"

    def product(self, command):
        """Exit code of kvcast with these arguments."""
        binary = self.tree / "build/release/kvcast"
        return self.command([binary, *command.split()], 600, {"KVCAST_SOURCE_DIR": self.tree}).returncode

    def must(self, command):
        done = self.command(command)
        if done.returncode != 0:
            raise Stale(f"{' '.join(command)} fails without a fault:\n{done.stdout[-4000:]}")

    def command(self, command, limit_s=None, environment=None):
        """Runs it to its end or to the limit, with all that it has started."""
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        surroundings = {**os.environ, "CCACHE_BASEDIR": str(self.tree), "CCACHE_NOHASHDIR": "1",
                        **{key: str(value) for key, value in (environment or {}).items()}}
        process = subprocess.Popen([str(word) for word in command], cwd=self.tree, env=surroundings, text=True,
                                   errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   preexec_fn=limit if environment else None)
        try:
            said, _ = process.communicate(timeout=limit_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, said)


def arguments():
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="this one; 'csv-*' for several")
    parser.add_argument("--group", choices=GROUPS, help="those in kernels, schemes and fit, or those behind them")
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    return parser.parse_args()


def chosen(faults, options):
    for pattern in options.only or []:
        if not any(fnmatch.fnmatchcase(fault.name, pattern) for fault in faults):
            raise Stale(f"no fault is called '{pattern}'; --list shows them")
    return [fault for fault in faults
            if (not options.only or any(fnmatch.fnmatchcase(fault.name, pattern) for pattern in options.only))
            and (not options.group or fault.group == options.group)]


def say(text):
    print(text, flush=True)


def main():
    options = arguments()
    faults = load(HERE / "faults.toml")
    if found := problems(faults, ROOT):
        raise Stale("\n".join(found))
    faults = chosen(faults, options)
    if options.list:
        for fault in faults:
            say(f"{fault.name} ({fault.group}, {fault.file}): {fault.why}\n  - {fault.line}\n  + {fault.becomes}\n"
                f"  {'; '.join(fault.tests)}")
        return 0
    folder = ROOT / "build/mutate"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stale(f"another run is in {folder}") from None
        run = Run(ROOT, folder, say)
        run.prepare(list(dict.fromkeys(test for fault in faults for test in fault.tests)),
                    list(dict.fromkeys(command for fault in faults for command in fault.product)))
        verdicts = {}
        for fault in faults:
            verdicts[fault] = run.judge(fault)
            say(f"{fault.name}: {verdicts[fault]}")
    missed = [fault for fault in faults if verdicts[fault].startswith("MISSED")]
    unstopped = [fault for fault in faults if "NOT STOPPED" in verdicts[fault]]
    invalid = [fault for fault in faults if verdicts[fault].startswith("INVALID")]
    judged = len(faults) - len(invalid)
    caught = judged - len(missed)
    say(f"\n{caught} of {judged} faults caught" + (f" ({100 * caught / judged:.1f}%)" if judged else ""))
    for fault in unstopped:
        say(f"not stopped by the product: {fault.name}: {verdicts[fault]}")
    for fault in missed:
        say(f"missed: {fault.name} ({fault.file}): {fault.why}\n  - {fault.line}\n  + {fault.becomes}")
    for fault in invalid:
        say(f"invalid: {fault.name}: {verdicts[fault]}")
    return 0 if not invalid and not unstopped and caught >= WANTED * judged else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except Stale as problem:
        print(f"mutate: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
