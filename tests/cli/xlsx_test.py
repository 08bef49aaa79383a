#!/usr/bin/env python3
"""Reads report.xlsx of the real binary: its zip and XML, and with KVCAST_OFFICE=1 what LibreOffice makes of it.

KVCAST_BIN is the binary, KVCAST_SOURCE_DIR the repository. ./dev test-office installs LibreOffice and sets
KVCAST_OFFICE. No test judges a time that was measured.
"""
import csv
import html
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

from load import run_beside_others

SOURCE = Path(os.environ.get("KVCAST_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BIN = os.environ.get("KVCAST_BIN", str(SOURCE / "build/release/kvcast"))
OFFICE = os.environ.get("KVCAST_OFFICE") == "1"
TIMEOUT_S = 180
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
INPUTS = ["model_r", "model_a", "model_b", "model_c", "model_r_design_note"]  # and model_drop, where there is a drop
SCALES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# Five numbers of a list in one text.
LIST = re.compile(r"(?:-?\d[\d.]*(?:e[-+]?\d+)?[;,|]? ){4}-?\d")


def sheets(name):
    sized = ["sizing"] if name in ("size", "sized") else []
    return ["summary", *sized, "model", "details", "config", "samples"]


def answer_of(text):
    """A sentence without what the sentences of documents add."""
    return text.rstrip(".").lower()
# Every sheet as a file of its own, in UTF-8, with the whole number.
TO_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
# Formulas are worked out on loading; as it comes LibreOffice shows the results in the file.
PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item></oor:items>
"""


def kvcast(*args, cwd):
    result = run_beside_others(BIN, *args, cwd=cwd, timeout=TIMEOUT_S)
    assert result.returncode == 0, result.stderr
    return result


class Cell:
    def __init__(self, value, formula, text, scale=1):
        self.value, self.formula, self.text, self.scale = value, formula, text, scale

    def base(self):
        """In the unit of the contract."""
        return self.value * self.scale


class Workbook:
    def __init__(self, path):
        self.zip = zipfile.ZipFile(path)
        self.strings = []
        if "xl/sharedStrings.xml" in self.zip.namelist():  # with many samples texts are in the cells
            self.strings = ["".join(t.text or "" for t in item.iter(MAIN + "t"))
                            for item in self.xml("xl/sharedStrings.xml")]
        book = self.xml("xl/workbook.xml")
        targets = {r.get("Id"): r.get("Target") for r in self.xml("xl/_rels/workbook.xml.rels")}
        self.files = {s.get("name"): "xl/" + targets[s.get(RELATION)] for s in book.iter(MAIN + "sheet")}
        self.visible = [s.get("name") for s in book.iter(MAIN + "sheet") if s.get("state") != "hidden"]
        styles = self.xml("xl/styles.xml")
        formats = {f.get("numFmtId"): f.get("formatCode") for f in styles.iter(MAIN + "numFmt")}
        self.scales = []
        for style in styles.find(MAIN + "cellXfs"):
            unit = re.search(r'" (\w+)"$', formats.get(style.get("numFmtId"), ""))
            self.scales.append(SCALES.get(unit[1], 1) if unit else 1)
        self.names = {n.get("name"): n.text for n in book.iter(MAIN + "definedName")}
        self.trees = {name: self.xml(file) for name, file in self.files.items()}
        self.cells = {name: {c.get("r"): self.cell(c) for c in tree.iter(MAIN + "c")}
                      for name, tree in self.trees.items()}

    def xml(self, file):
        return ET.fromstring(self.zip.read(file))

    def cell(self, node):
        value, formula = node.find(MAIN + "v"), node.find(MAIN + "f")
        value = None if value is None else value.text
        kind = node.get("t")
        if kind == "s":
            value = self.strings[int(value)]
        elif kind == "inlineStr":
            value = "".join(t.text or "" for t in node.iter(MAIN + "t"))
        elif kind is None and value is not None:
            value = float(value)
        return Cell(value, None if formula is None else formula.text, kind in ("s", "str", "inlineStr"),
                    self.scales[int(node.get("s", 0))])

    def numbers(self, *names):
        """All that are in these sheets, in the unit of the contract."""
        return [cell.base() for name in names for cell in self.cells[name].values() if isinstance(cell.value, float)]

    def chart_titles(self):
        charts = [self.xml(f) for f in self.zip.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", f)]
        return ["".join(t.text for t in chart.find(f"{CHART}chart/{CHART}title").iter(DRAWING + "t")) for chart in charts]

    def at(self, name):
        """Sheet and cell of a defined name."""
        sheet, cell = self.names[name].split("!")
        return sheet, cell.replace("$", "")

    def named(self, name):
        sheet, cell = self.at(name)
        return self.cells[sheet][cell].value

    def columns(self, sheet, head_row):
        """Column letters by head, without the unit."""
        found = {}
        for at, cell in self.cells[sheet].items():
            letters, row = re.fullmatch(r"([A-Z]+)(\d+)", at).groups()
            if int(row) == head_row and cell.text:
                found.setdefault(re.sub(r" \[.*\]$", "", cell.value), letters)
        return found

    def row_of(self, sheet, text, column="A"):
        return next(int(at[len(column):]) for at, cell in self.cells[sheet].items()
                    if re.fullmatch(column + r"\d+", at) and cell.value == text)

    def live_rows(self):
        row = self.row_of("model", "N [candidates]") + 1
        while isinstance(getattr(self.cells["model"].get(f"A{row}"), "value", None), float):
            yield row
            row += 1


class Formulas(dict):
    """What the cells of one sheet come to with other numbers in some: {name: number}. Knows what our formulas use."""

    def __init__(self, book, sheet, changed):
        super().__init__(AND=lambda *parts: all(parts), MAX=max, MIN=min, INT=math.floor, LN=math.log, EXP=math.exp,
                         ROUNDUP=lambda value, _: math.ceil(value))
        self.book, self.sheet, self.changed = book, sheet, {book.at(name): number for name, number in changed.items()}

    def __missing__(self, name):
        if name in self.book.names:
            sheet, name = self.book.at(name)
            assert sheet == self.sheet, name
        value = self.value(name)
        return 0 if value == "" and self.book.cells[self.sheet][name].formula is None else value  # a blank counts as 0

    def value(self, at):
        if (self.sheet, at) in self.changed:
            return self.changed[self.sheet, at]
        cell = self.book.cells[self.sheet].get(at)
        if cell is not None and cell.formula is not None:
            return self.come_to(cell.formula.removeprefix("="))
        return "" if cell is None or cell.value is None else cell.value

    def come_to(self, text):
        if text.startswith("IFERROR("):
            try:
                return self.come_to(text.removeprefix("IFERROR(").removesuffix(',"")'))
            except ZeroDivisionError:
                return ""
        if text.startswith("IF("):
            parts, depth = [""], 0
            for c in text[len("IF("):-1]:
                depth += (c == "(") - (c == ")")
                if c == "," and depth == 0:
                    parts.append("")
                else:
                    parts[-1] += c
            condition, yes, no = parts
            return self.come_to(yes if self.come_to(condition) else no)
        return eval(re.sub(r"(?<![<>=])=", "==", text), {"__builtins__": {}}, self)


def patched(source, target, changes):
    """A copy of a workbook with other numbers in some cells: {(sheet, cell): number}."""
    book = Workbook(source)
    by_file = {}
    for (sheet, cell), number in changes.items():
        by_file.setdefault(book.files[sheet], []).append((cell, number))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.namelist():
            text = old.read(item)
            for cell, number in by_file.get(item, []):
                text, count = re.subn(rf'(<c r="{cell}"[^>]*><v>)[^<]*'.encode(), rf"\g<1>{number!r}".encode(), text)
                assert count == 1, cell
            new.writestr(item, text)


def speedup(n, r):
    return n / (1 + (n - 1) * r)


def time_of(sizing):
    """Seconds over N of the sized model: through what was measured, beyond it its line, scaled to meet it."""
    model = next(m for m in sizing["models"] if m["history_length"] == sizing["history_length"])
    breakpoints = list(zip(model["measured_candidates"], model["measured_s"]))

    def line(n):
        return model["prefill_s"] + model["candidate_s"] * n

    def time(n):
        if not breakpoints or n < breakpoints[0][0] or n >= breakpoints[-1][0]:
            at, seconds = (breakpoints[0] if n < breakpoints[0][0] else breakpoints[-1]) if breakpoints else (n, line(n))
            return seconds * line(n) / line(at)
        (low, below), (high, above) = next(pair for pair in zip(breakpoints, breakpoints[1:]) if pair[0][0] <= n < pair[1][0])
        if model["straight"]:
            return below + (above - below) * (n - low) / (high - low)
        return below * (above / below) ** (math.log(n / low) / math.log(high / low))
    return time


def exact_drop(drop, by):
    return 1 / (1 + by * (1 - drop) / drop)


def setUpModule():
    folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
    unittest.addModuleCleanup(folder.cleanup)
    base = Path(folder.name)
    fleet = SOURCE / "docs/examples/fleet.csv"
    kvcast("fit", fleet, "-o", "fit", "-q", cwd=base)
    kvcast("size", fleet, "--p99", "50ms", "-N", "1,100", "-o", "size", "-q", cwd=base)
    kvcast("run", "smoke", "--schemes", "naive,shared,shared-copy", "--head-width", "32", "--budget", "8s",
           "--precision", "20%", "-q", "-o", "run", cwd=base)
    # The tail is given, so that a machine that others use is no reason to refuse.
    kvcast("size", "run", "--memory", "8GiB", "-N", "1,10,100", "--tail", "1.3", "-o", "sized", "-q", cwd=base)
    for name in ("fit", "size", "run", "sized"):
        Base.folders[name] = base / name


class Base(unittest.TestCase):
    folders = {}

    def book(self, name):
        return Workbook(self.folders[name] / "report.xlsx")

    def report(self, name):
        return json.loads((self.folders[name] / "report.json").read_text())

    def has_line(self, name):
        """Whether N follows from a P99; a small run may be too noisy to tell that candidates take time."""
        sizing = self.report(name)["sizing"]
        model = next(m for m in sizing["models"] if m["history_length"] == sizing["history_length"])
        times = model["measured_s"] or []
        rises = all(low < high for low, high in zip(times, times[1:]))
        return rises and model["candidate_s"] > 0 and any(p["scheme_s"] is not None for p in sizing["points"])

    def main_fit(self, name):
        case = self.report(name)["cases"][-1]
        return case, case["fits"]["shared"]

    def check_table(self, book, name, sheet, file, head):
        """The rows below the heads are those of a CSV file."""
        with open(self.folders[name] / file, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        columns = book.columns(sheet, head)
        self.assertEqual(list(columns), list(rows[0]))
        for i, row in enumerate(rows):
            for column, wanted in row.items():
                self.check_cell(book.cells[sheet].get(f"{columns[column]}{head + 1 + i}"), wanted)
        below = f"{columns['candidates']}{head + 1 + len(rows)}"
        self.assertNotIn(below, book.cells[sheet])

    def check_cell(self, cell, wanted):
        if wanted == "":
            self.assertIsNone(cell)  # unknown is an empty cell
        elif cell.text:
            # A text that a spreadsheet would run has an apostrophe in a CSV; a cell has one line.
            self.assertEqual(cell.value, re.sub(r"[\x00-\x1f]", " ", re.sub(r"^'(?=[=+@-])", "", wanted)))
        elif wanted in ("true", "false"):
            self.assertEqual(cell.value, "1" if wanted == "true" else "0")
        else:
            self.assertTrue(math.isclose(cell.value, float(wanted), rel_tol=1e-14), (cell.value, wanted))

    @staticmethod
    def of(cell):
        return "" if cell is None or cell.value is None else cell.value

    def inputs(self, book):
        return {i: book.named(i) for i in [*INPUTS, "model_drop"] if i in book.names}

    def check_live(self, name, inputs, value):
        """The rows of the live model for these inputs; value(cell) is what a reader shows."""
        book = self.book(name)
        case, fit = self.main_fit(name)
        measured = {p["candidates"]: p["schemes"]["shared"]["speedup"] for p in case["points"]}
        r, a, b, c, seed = (inputs.get(i) or 0 for i in INPUTS)
        drop = inputs.get("model_drop")
        rows = list(book.live_rows())
        self.assertGreaterEqual(len(rows), 10)
        seen = set()
        for row in rows:
            n = value(f"A{row}")
            seen.add(n)
            by_r = speedup(n, r)
            # A column per model, then those of the design note, improvement and drops.
            models = {"one-parameter": by_r}
            if len(fit["models"]) > 1:
                models["affine"] = c * n / (a + b * n)
            self.assertEqual([model["model"] for model in fit["models"]], list(models))
            wanted = dict(zip("EF", models.values()))
            seed_at, improvement, rule, exact = "EFGHIJ"[len(models):][:4]
            wanted[seed_at] = speedup(n, seed)
            known = measured.get(int(n))
            # Improvement and drops are by the form in use, of which the headline speaks too.
            used = (models | {"neither": known and known["value"]}).get(fit["preferred"], by_r)
            if used is None:
                self.assertEqual([value(f"{column}{row}") for column in (improvement, rule, exact)], [""] * 3)
            else:
                wanted[improvement] = 1 - 1 / used
                if drop is not None:
                    wanted |= {rule: drop / used, exact: exact_drop(drop, used)}
            if known is not None:
                wanted["B"] = known["value"]
            else:
                self.assertEqual(value(f"B{row}"), "")
            for column, number in wanted.items():
                self.assertTrue(math.isclose(value(f"{column}{row}"), number, rel_tol=1e-9, abs_tol=1e-12),
                                (name, column, row, value(f"{column}{row}"), number))
        self.assertLessEqual(set(map(float, measured)), seen)

    def check_summary(self, book, name):
        """The answer, then a row per N and scheme with the figures of summary.csv."""
        cells = book.cells["summary"]
        markdown = (self.folders[name] / "report.md").read_text()
        self.assertEqual(answer_of(cells["A1"].value),
                         answer_of(html.unescape(re.search(r"\*\*(.+?)\*\*", markdown).group(1))))
        head = book.row_of("summary", "N")
        columns = book.columns("summary", head)
        self.assertEqual([*columns][:2], ["N", "scheme"])
        with open(self.folders[name] / "summary.csv", newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        for i, row in enumerate(rows):
            at = {column: cells.get(f"{letters}{head + 1 + i}") for column, letters in columns.items()}
            self.assertEqual((at["N"].value, at["scheme"].value), (float(row["candidates"]), row["scheme"]))
            for column, wanted in (("time per request", row["seconds_median"]), ("candidates/s", row["candidates_per_s"]),
                                   ("speed-up", row["speedup"]), ("95% interval low", row["speedup_lo"]),
                                   ("95% interval high", row["speedup_hi"]), ("improvement", row["improvement"])):
                if wanted:
                    self.assertTrue(math.isclose(at[column].base(), float(wanted), rel_tol=1e-12), (column, wanted))
                else:
                    self.assertIn(self.of(at[column]), ("", "-"))
        below = cells.get(f"{columns['N']}{head + 1 + len(rows)}")
        self.assertTrue(below is None or below.text)


class TrafficTest(Base):
    """A report of traffic alone: no cases, so no sheets of runs."""
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        cls.addClassCleanup(folder.cleanup)
        cls.dir = Path(folder.name)
        kvcast("simulate", "--token-time", "5us", "--candidate-time", "50us", "--token-bytes", "8KiB", "--qps", "200",
               "--history", "lognormal:300,2000", "--candidates", "100", "--max-history", "4000", "--workers", "4",
               "--cache", "1GiB", "--p99", "50ms", "--requests", "20000", "-q", "-o", "traffic", cwd=cls.dir)
        cls.book_ = Workbook(cls.dir / "traffic/report.xlsx")
        cls.traffic = json.loads((cls.dir / "traffic/report.json").read_text())["traffic"]

    def test_sheets(self):
        self.assertEqual(self.book_.visible, ["summary", "traffic", "config"])
        for sheet in ("summary", "traffic"):
            self.assertEqual(answer_of(self.book_.cells[sheet]["A1"].value), answer_of(self.traffic["answer"]))

    def test_figures_are_those_of_the_report(self):
        found = sorted(self.book_.numbers("summary", "traffic"))

        def assert_found(number, where):
            self.assertTrue(any(math.isclose(number, one, rel_tol=1e-12, abs_tol=1e-15) for one in found), where)
        for name in ("latencies", "figures", "hit_rates"):
            self.assertTrue(self.traffic[name], name)
            for row in self.traffic[name]:
                for key, wanted in row.items():
                    if isinstance(wanted, dict):
                        for number in (wanted["value"], *wanted["ci95"]):
                            assert_found(number, (name, key, number))
                    elif isinstance(wanted, float) and name == "hit_rates":
                        assert_found(wanted, (name, key, wanted))

    def test_the_chart_is_over_the_latencies(self):
        charts = [self.book_.xml(f) for f in self.book_.zip.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", f)]
        self.assertEqual(len(charts), 1)
        ranges = [reference.text for reference in charts[0].iter(CHART + "f")]
        for reference, key in zip(ranges, ("seconds", "share")):
            sheet, first, last = re.fullmatch(r"(\w+)!\$A\$(\d+):\$A\$(\d+)", reference).groups()
            self.assertEqual(int(last) - int(first) + 1, len(self.traffic["cdf"]))
            for row, point in zip(range(int(first), int(last) + 1), self.traffic["cdf"]):
                self.assertTrue(math.isclose(self.book_.cells[sheet][f"A{row}"].value, point[key], rel_tol=1e-14))

    def test_report_command(self):
        def report(*args):
            return kvcast("report", "traffic", *args, cwd=self.dir)
        report("--to", "html,xlsx,md,csv", "-q", "-o", "again")
        self.assertEqual(sorted(p.name for p in (self.dir / "again").iterdir()),
                         ["report.html", "report.md", "report.xlsx", "traffic.csv"])
        for name in ("report.html", "report.md", "report.xlsx", "traffic.csv"):
            self.assertEqual((self.dir / "again" / name).read_bytes(), (self.dir / "traffic" / name).read_bytes(), name)
        self.assertEqual(report("--to", "csv", "-o", "-").stdout,
                         (self.dir / "traffic/traffic.csv").read_text())
        self.assertIn("## Traffic", report("-o", "-").stdout)
        # With cases the table of points stays.
        kvcast("report", self.folders["size"], "--to", "csv", "-q", "-o", "sized", cwd=self.dir)
        self.assertEqual(sorted(p.name for p in (self.dir / "sized").iterdir()), ["sizing.csv", "summary.csv"])

    def test_a_sizing_from_r_alone(self):
        kvcast("size", "--r", "0.15", "--shape", "smoke", "-q", "-o", "alone", cwd=self.dir)
        self.assertEqual(Workbook(self.dir / "alone/report.xlsx").visible, ["summary", "sizing", "config"])


class XlsxTest(Base):
    def test_sheets_heads_and_names(self):
        for name in self.folders:
            with self.subTest(report=name):
                book = self.book(name)
                self.assertIsNone(book.zip.testzip())
                self.assertEqual(book.visible, sheets(name))
                for file in book.zip.namelist():
                    if file.endswith((".xml", ".rels")):
                        ET.fromstring(book.zip.read(file))
                self.assertEqual(set(INPUTS) - set(book.names), set())
                self.assertEqual("size_n" in book.names, name in ("size", "sized") and self.has_line(name))
                for sheet in ("summary", "details", "samples", "config"):
                    pane = next(book.trees[sheet].iter(MAIN + "pane"))
                    self.assertEqual(pane.get("state"), "frozen")
                for sheet in ("samples", "config"):
                    self.assertEqual(len(list(book.trees[sheet].iter(MAIN + "autoFilter"))), 1)

    def skip_without_a_result(self):
        """On a machine that others keep busy, a run has no figures to look for."""
        for warning in self.report("run")["warnings"]:
            if warning["code"] == "no-result":
                self.skipTest(warning["text"])

    def test_the_summary_answers_first(self):
        self.skip_without_a_result()
        for name in self.folders:
            with self.subTest(report=name):
                book = self.book(name)
                self.check_summary(book, name)
                self.check_table(book, name, "samples", "samples.csv", 1)
        # What all rows share stands once, in front of them.
        book = self.book("run")
        row = book.row_of("summary", "shape")
        self.assertIn(f"L={self.report('run')['cases'][0]['shape']['history_length']} ", book.cells["summary"][f"B{row}"].value)
        self.assertNotIn("history_length", " ".join(str(cell.value) for cell in book.cells["summary"].values()))

    def test_of_several_shapes_every_column_is_there(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        self.addCleanup(folder.cleanup)
        base = Path(folder.name)
        shutil.copy(SOURCE / "tests/golden/approved/fixed.json.txt", base / "report.json")
        kvcast("report", "report.json", "--to", "xlsx,csv", "-o", "out", "-q", cwd=base)
        Base.folders["fixed"] = base / "out"
        self.addCleanup(Base.folders.pop, "fixed")
        book = self.book("fixed")
        self.check_table(book, "fixed", "points", "summary.csv", 1)

    def test_no_cell_holds_a_list(self):
        for name in self.folders:
            book = self.book(name)
            for sheet in book.visible:
                for at, cell in book.cells[sheet].items():
                    if cell.text:
                        self.assertIsNone(LIST.search(cell.value), (name, sheet, at, cell.value))

    def test_prints_on_few_pages(self):
        for name in self.folders:
            book, pages = self.book(name), 0
            areas = [n for n in book.xml("xl/workbook.xml").iter(MAIN + "definedName") if n.get("name") == "_xlnm.Print_Area"]
            self.assertEqual(len(areas), len(book.visible))
            for sheet in book.visible:
                self.assertEqual(next(book.trees[sheet].iter(MAIN + "pageSetUpPr")).get("fitToPage"), "1")
                setup = next(book.trees[sheet].iter(MAIN + "pageSetup"))
                self.assertEqual(setup.get("fitToWidth", "1"), "1")
                high = int(setup.get("fitToHeight", "1"))
                self.assertGreaterEqual(high, 1)
                pages += high
            if name in ("fit", "run"):
                self.assertLessEqual(pages, 6, name)

    def test_only_the_live_blocks_have_formulas(self):
        for name in self.folders:
            book = self.book(name)
            for sheet in book.files:
                formulas = {at for at, cell in book.cells[sheet].items() if cell.formula is not None}
                self.assertEqual(bool(formulas), sheet == "model", name)

    def test_hostile_text_stays_text(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        self.addCleanup(folder.cleanup)
        base = Path(folder.name)
        shutil.copytree(self.folders["run"], base / "run")
        report = json.loads((base / "run/report.json").read_text())
        hostile = "=HYPERLINK(\"http://x\")<&>\u0001"
        report["machine"]["cpu_model"] = hostile
        report["warnings"].append({"code": "=1+1", "text": hostile, "advice": "@x"})
        (base / "run/report.json").write_text(json.dumps(report))
        kvcast("report", "run", "--to", "xlsx", "-q", cwd=base)
        book = Workbook(base / "run/report.xlsx")
        cells = book.cells["config"]
        row = book.row_of("config", "machine/cpu_model")
        self.assertEqual(cells[f"B{row}"].value, hostile.replace("\u0001", " "))
        self.assertIsNone(cells[f"B{row}"].formula)
        self.assertIsNone(book.cells["summary"][f"A{book.row_of('summary', '=1+1')}"].formula)
        for sheet in ("summary", "details", "config"):
            self.assertEqual([c for c in book.cells[sheet].values() if c.formula is not None], [])

    def test_results_in_the_file_are_those_of_the_formulas(self):
        for name in self.folders:
            with self.subTest(report=name):
                book = self.book(name)
                self.check_live(name, self.inputs(book), lambda at: self.of(book.cells["model"].get(at)))

    def test_formulas_come_to_their_results_and_follow_the_inputs(self):
        for name in self.folders:
            book = self.book(name)
            with self.subTest(report=name):
                formulas = Formulas(book, "model", {})
                for at, cell in book.cells["model"].items():
                    if cell.formula is not None and self.of(cell) != "":
                        self.assertTrue(math.isclose(formulas.value(at), cell.value, rel_tol=1e-9), at)
                    elif cell.formula is not None:
                        self.assertEqual(formulas.value(at), "", at)
                changed = {"model_r": 0.3, "model_a": 0.002}
                if "model_drop" in book.names:
                    changed["model_drop"] = 0.25
                inputs = self.inputs(book) | {i: number for i, number in changed.items() if i in book.names}
                self.check_live(name, inputs, Formulas(book, "model", changed).value)
        book = self.book("size")
        sizing, tail = self.report("size")["sizing"], book.named("size_tail")
        time = time_of(sizing)
        for n in (1, 7, 100, 900, sizing["known_to"]):
            for budget, wanted in ((tail * time(n), n), (tail * time(n - 0.01), n - 1)):
                formulas = Formulas(book, "model", {"size_budget": budget})
                answer = book.at("size_n")[1]
                self.assertEqual(formulas.value(answer), wanted)
                below = [re.sub(r"\d+", lambda row: str(int(row[0]) + k), answer) for k in (1, 2)]
                self.assertAlmostEqual(formulas.value(below[0]), time(wanted), delta=1e-12)
                self.assertAlmostEqual(formulas.value(below[1]), tail * time(wanted), delta=1e-12)

    def test_inputs_are_those_of_the_report(self):
        for name in self.folders:
            book = self.book(name)
            _, fit = self.main_fit(name)
            self.assertAlmostEqual(book.named("model_r"), fit["r"]["value"], delta=1e-14)
            for model in fit["models"]:
                for one in model["parameters"]:
                    self.assertAlmostEqual(book.named("model_" + one["symbol"]), one["value"], delta=1e-14)
        # A drop that was neither measured nor given is not asked for.
        drops = [d["drop"]["value"] for d in self.report("run")["degradation"] if d["scheme"] == "naive"]
        self.assertAlmostEqual(self.book("run").named("model_drop"), drops[-1], delta=1e-12)
        for name in ("fit", "size"):
            self.assertNotIn("model_drop", self.book(name).names)

    def test_charts(self):
        """The speed-up on summary, among the details and live; of a drop only where there is one."""
        self.skip_without_a_result()
        for name, wanted in (("fit", 3), ("run", 4), ("size", 4), ("sized", 5)):
            book = self.book(name)
            charts = [book.xml(f) for f in book.zip.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", f)]
            self.assertEqual(len(charts), wanted)
            for chart in charts:
                self.assertTrue(list(chart.iter(CHART + "logBase")))
                for reference in chart.iter(CHART + "f"):
                    if "!" in reference.text:
                        self.assertIn(reference.text.split("!")[0], ("model", "data"))
            drops = [title for title in book.chart_titles() if "drop" in title.lower()]
            self.assertEqual(len(drops), 1 if name in ("run", "sized") else 0, name)

    def test_sizing(self):
        book, sizing = self.book("size"), self.report("size")["sizing"]
        p99 = next(b for b in sizing["budgets"] if b["name"] == "p99")
        self.assertEqual(book.named("size_n"), p99["expected_candidates"])
        self.assertEqual(book.named("size_budget"), 0.05)
        self.assertEqual(answer_of(book.cells["sizing"]["A1"].value), answer_of(sizing["answer"]))
        found = book.numbers("sizing")
        for point in sizing["points"]:
            for wanted in (point["candidates"], point["speedup"]["value"], point["p99_s"]):
                self.assertTrue(any(math.isclose(wanted, one, rel_tol=1e-12) for one in found), wanted)

    def test_the_limit_is_that_of_the_form_in_use(self):
        for name in self.folders:
            book = self.book(name)
            _, fit = self.main_fit(name)
            row = next(at[1:] for at, cell in book.cells["model"].items() if cell.value == "limit of the speed-up")
            limit, for_90 = book.cells["model"][f"B{row}"], book.cells["model"][f"B{int(row) + 1}"]
            if fit["asymptote"] is None:
                self.assertEqual((limit.value, for_90.value), ("-", "-"))
                continue
            self.assertEqual(for_90.value, "-" if fit["candidates_for_90"] is None else fit["candidates_for_90"])
            affine = fit["preferred"] == "affine"
            by = {one["symbol"]: one["value"] for model in fit["models"] for one in model["parameters"]}
            wanted = by["c"] / by["b"] if affine else 1 / fit["r"]["value"]
            self.assertAlmostEqual(limit.value, wanted, delta=1e-9 * wanted)
            self.assertEqual("model_b" in limit.formula, affine)

    def test_no_live_model_beside_an_answer_that_it_does_not_come_to(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        self.addCleanup(folder.cleanup)
        kvcast("size", SOURCE / "docs/examples/fleet.csv", "--p99", "60ms", "--qps", "20", "--workers", "4", "-q", "-o",
               "rate", cwd=folder.name)
        book = Workbook(Path(folder.name) / "rate/report.xlsx")
        self.assertNotIn("size_n", book.names)
        self.assertTrue(any(str(cell.value).startswith("No live model: the queue") for cell in book.cells["model"].values()))

    def test_many_samples(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        self.addCleanup(folder.cleanup)
        base = Path(folder.name)
        rows = [f"{n},{n * 0.001 * (1 + 0.01 * (k % 3))},{(1 + (n - 1) * 0.1) * 0.001 * (1 + 0.01 * (k % 2))}"
                for k in range(5001) for n in (1, 10)]
        (base / "many.csv").write_text("\n".join(["candidates,naive_seconds,shared_seconds", *rows, ""]))
        kvcast("fit", "many.csv", "-o", "many", "-q", cwd=base)
        Base.folders["many"] = base / "many"
        self.addCleanup(Base.folders.pop, "many")
        book = self.book("many")
        self.check_table(book, "many", "samples", "samples.csv", 1)
        self.check_summary(book, "many")
        self.check_live("many", self.inputs(book), lambda at: self.of(book.cells["model"].get(at)))

    def test_report_command(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_xlsx_")
        self.addCleanup(folder.cleanup)
        before = (self.folders["size"] / "report.xlsx").read_bytes()
        kvcast("report", self.folders["size"], "--to", "xlsx", "-o", folder.name, "-q", cwd=folder.name)
        self.assertEqual((Path(folder.name) / "report.xlsx").read_bytes(), before)
        out = subprocess.run([BIN, "report", str(self.folders["size"]), "--to", "xlsx", "-o", "-"], capture_output=True,
                             timeout=TIMEOUT_S)
        self.assertEqual(out.stdout, before)


@unittest.skipUnless(OFFICE, "what LibreOffice makes of report.xlsx is checked by ./dev test-office")
class OfficeTest(Base):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvcast_office_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        user = self.dir / "profile/user"
        user.mkdir(parents=True)
        (user / "registrymodifications.xcu").write_text(PROFILE)

    def converted(self, path, sheets):
        """{sheet: rows of cells} as LibreOffice works them out."""
        out = self.dir / "out"
        shutil.rmtree(out, ignore_errors=True)
        result = subprocess.run(["soffice", "--headless", f"-env:UserInstallation=file://{self.dir}/profile",
                                 "--convert-to", TO_CSV, "--outdir", str(out), str(path)],
                                capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = {}
        for sheet in sheets:
            with open(out / f"{path.stem}-{sheet}.csv", newline="", encoding="utf-8") as handle:
                rows[sheet] = list(csv.reader(handle))
            for row in rows[sheet]:
                for cell in row:
                    self.assertIsNone(re.match(r"Err:|#(VALUE|NAME|REF|DIV/0|N/A|NUM|NULL)", cell), (sheet, row))
        return rows

    def test_office_prints_a_run_on_six_pages(self):
        result = subprocess.run(["soffice", "--headless", f"-env:UserInstallation=file://{self.dir}/profile",
                                 "--convert-to", "pdf", "--outdir", str(self.dir), str(self.folders["run"] / "report.xlsx")],
                                capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, result.stderr)
        pages = re.findall(rb"/Type\s*/Page\b(?!s)", (self.dir / "report.pdf").read_bytes())
        self.assertTrue(3 <= len(pages) <= 6, len(pages))

    @staticmethod
    def reader(rows):
        def value(at):
            letters, row = re.fullmatch(r"([A-Z])(\d+)", at).groups()
            cell = rows[int(row) - 1][ord(letters) - ord("A")]
            if re.fullmatch(r"-?[0-9.]+(E[-+]?\d+)?%", cell):
                return float(cell[:-1]) / 100
            try:
                return float(cell)
            except ValueError:
                return cell
        return value

    def test_office_comes_to_the_same(self):
        for name in self.folders:
            with self.subTest(report=name):
                book = self.book(name)
                converted = self.converted(self.folders[name] / "report.xlsx", book.visible)
                self.check_live(name, self.inputs(book), self.reader(converted["model"]))

    def test_changing_an_input_changes_the_sheet(self):
        book = self.book("size")
        inputs = self.inputs(book)
        inputs.update(model_r=0.3, model_a=0.002)
        changes = {book.at(name): number for name, number in inputs.items()}
        changes[book.at("size_budget")] = 0.02
        copy = self.dir / "changed.xlsx"
        patched(self.folders["size"] / "report.xlsx", copy, changes)
        converted = self.converted(copy, book.visible)
        self.check_live("size", inputs, self.reader(converted["model"]))
        answer = book.at("size_n")[1]
        wanted = Formulas(book, "model", {"size_budget": 0.02}).value(answer)
        self.assertEqual(self.reader(converted["model"])(answer), wanted)
        self.assertNotEqual(wanted, book.named("size_n"))

    def test_office_and_kvcast_agree_on_another_budget(self):
        kvcast("size", SOURCE / "docs/examples/fleet.csv", "--p99", "20ms", "-o", "other", "-q", cwd=self.dir)
        other = Workbook(self.dir / "other/report.xlsx")
        copy = self.dir / "changed.xlsx"
        book = self.book("size")
        patched(self.folders["size"] / "report.xlsx", copy, {book.at("size_budget"): 0.02})
        answer = self.reader(self.converted(copy, book.visible)["model"])(book.at("size_n")[1])
        self.assertEqual(answer, other.named("size_n"))


if __name__ == "__main__":
    unittest.main()
