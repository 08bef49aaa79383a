"""The include rules of docs/design.md, checked against every #include of the tree.

The table in docs/design.md is the rule: its first column names modules, its second what they may include. Modules are
folders of src/ (or include/kvcast), or parts of one (traffic/replay), whose rule then holds; the second table maps
library names to include prefixes.
"""
import os
import pathlib
import re
import unittest

ROOT = pathlib.Path(os.environ.get("KVCAST_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def table(text, header):
    """Rows of the Markdown table whose header line starts with the given cells."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if cells(line)[: len(header)] == header)
    rows = []
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def names(cell):
    return [name.strip().strip("`").removeprefix("include/") for name in re.sub(r"\([^)]*\)", "", cell).split(",") if name.strip()]


class Rules:
    def __init__(self, text):
        self.allowed = {}
        modules = []
        for row in table(text, ["module", "may include"]):
            allowed = names(row[1])
            for module in names(row[0]):
                if allowed == ["all of the above"]:
                    allowed_here = set(modules) | {lib for libs in self.allowed.values() for lib in libs}
                else:
                    allowed_here = set(allowed)
                self.allowed[module] = allowed_here
                modules.append(module)
        self.prefixes = {}  # library -> include prefixes
        for row in table(text, ["name", "include prefix"]):
            if row[1].startswith("`"):
                for name in names(row[0]):
                    self.prefixes[name] = names(row[1])

    def owner(self, path):
        """Module or library that an included path belongs to; None for the standard library."""
        if path.startswith("kvcast/"):
            return "kvcast"
        best = None
        for library, prefixes in self.prefixes.items():
            for prefix in prefixes:
                if path.startswith(prefix) and (best is None or len(prefix) > len(best[1])):
                    best = (library, prefix)
        part = self.part(path)
        if part:
            return part
        if best:
            return best[0]
        folder = path.split("/")[0]
        return folder if "/" in path and folder != "sys" else None

    def part(self, path):
        """The longest module with a / in its name that a path is in; None when it is in none."""
        parts = [module for module in self.allowed if "/" in module and path.startswith(module + "/")]
        return max(parts, key=len, default=None)

    def violations(self, module, text):
        found = []
        for kind, path in INCLUDE.findall(text):
            owner = self.owner(path)
            if owner is None or owner == module or owner in self.allowed[module] or owner == "std":
                continue
            found.append(f"{path} ({owner} is not among {', '.join(sorted(self.allowed[module])) or 'nothing'})")
        return found


def sources(rules):
    for path in sorted((ROOT / "include" / "kvcast").glob("*.h")):
        yield "kvcast", path
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".h", ".cpp"):
            below = path.relative_to(ROOT / "src")
            yield rules.part(below.as_posix()) or below.parts[0], path


class IncludesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rules = Rules((ROOT / "docs" / "design.md").read_text())

    def test_every_folder_has_a_rule(self):
        for module, path in sources(self.rules):
            self.assertIn(module, self.rules.allowed, f"{path} is in a folder that docs/design.md does not list")

    def test_includes_follow_the_table(self):
        problems = [f"{path.relative_to(ROOT)}: {violation}" for module, path in sources(self.rules)
                    for violation in self.rules.violations(module, path.read_text())]
        self.assertEqual(problems, [], "\n".join(problems))

    def test_a_violation_is_found(self):
        self.assertTrue(self.rules.violations("engine/builtin/kernels", '#include "engine/builtin/schemes/scheme.h"\n'))
        self.assertTrue(self.rules.violations("analysis", "#include <nlohmann/json.hpp>\n"))
        self.assertTrue(self.rules.violations("cli", '#include "engine/builtin/model/weights.h"\n'))
        self.assertTrue(self.rules.violations("traffic", '#include "engine/builtin/model/weights.h"\n'))
        self.assertTrue(self.rules.violations("traffic", '#include "traffic/replay/replay.h"\n'))
        self.assertFalse(self.rules.violations("traffic/replay", '#include "traffic/request.h"\n'))
        self.assertFalse(self.rules.violations("app", '#include "traffic/replay/replay.h"\n'))
        self.assertFalse(self.rules.violations("engine/builtin/kernels", "#include <vector>\n"))

    def test_renderers_of_documents_know_nothing_of_what_they_are_about(self):
        allowed = {"document.h", "layout.h", "json.h", "text.h"}
        for name in ("terminal", "markdown", "plot", "document_json"):
            for path in sorted((ROOT / "src" / "report" / "render").glob(f"{name}.*")):
                seen = {include for _, include in INCLUDE.findall(path.read_text()) if include.startswith(("report/", "kvcast/"))}
                extra = {include for include in seen
                         if include.removeprefix("report/") not in allowed and not include.startswith("report/render/")}
                self.assertEqual(extra, set(), path)

    def test_omp_pragmas_stay_in_base(self):
        for module, path in sources(self.rules):
            if module != "base":
                self.assertNotRegex(path.read_text(), r"#\s*pragma\s+omp", f"{path}: OpenMP belongs to base/parallel")

    def test_a_source_includes_its_header_first(self):
        """So the build shows that the header stands alone; tests/CMakeLists.txt compiles those without a source."""
        checked = 0
        for module, path in sources(self.rules):
            if path.suffix == ".cpp" and path.with_suffix(".h").exists():
                first = INCLUDE.search(path.read_text()).group(2)
                below = path.with_suffix(".h").relative_to(ROOT / "src").as_posix()
                self.assertIn(first, (below, path.with_suffix(".h").name), f"{path} does not include its header first")
                checked += 1
        self.assertGreater(checked, 50)


if __name__ == "__main__":
    unittest.main(verbosity=2)
