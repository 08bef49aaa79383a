"""The approved report.json, and with KVCAST_BIN set a fresh one, against docs/report.schema.json."""

import copy
import json
import os
import pathlib
import subprocess
import unittest

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]


def reject_constant(text):
    raise ValueError(f"{text} is not JSON")


def load(text):
    return json.loads(text, parse_constant=reject_constant)


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = load((ROOT / "docs/report.schema.json").read_text(encoding="utf-8"))
        cls.validator = jsonschema.Draft202012Validator(cls.schema)
        cls.approved = load((ROOT / "tests/golden/approved/fixed.json.txt").read_text(encoding="utf-8"))

    def test_schema_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def assert_valid(self, report):
        errors = [f"/{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in self.validator.iter_errors(report)]
        self.assertEqual(errors, [])

    def test_approved_report_is_valid(self):
        self.assert_valid(self.approved)

    def test_fresh_report_is_valid(self):
        binary = os.environ.get("KVCAST_BIN")
        if not binary:
            self.skipTest("KVCAST_BIN is not set")
        run = subprocess.run([binary, "run", "smoke", "--format", "json"], capture_output=True, timeout=120)
        said = run.stderr.decode(errors="replace")
        self.assertTrue(run.returncode == 0 or (run.returncode == 4 and "No usable result" in said), said)
        report = load(run.stdout.decode("utf-8"))
        self.assert_valid(report)
        self.assertTrue(report["cases"][0]["points"])

    def test_mutated_reports_are_rejected(self):
        def first_case(report):
            return report["cases"][0]

        def shared(report):
            return first_case(report)["points"][0]["schemes"]["shared"]

        mutations = {
            "other schema": lambda r: r.update(schema="kvcast.report/3"),
            "section missing": lambda r: r.pop("warnings"),
            "unknown section": lambda r: r.update(extra=1),
            "unknown config field": lambda r: r["config"]["model"].update(extra=1),
            "config field missing": lambda r: r["config"]["run"].pop("seed"),
            "shape field of a wrong type": lambda r: first_case(r)["shape"].update(dim="768"),
            "shape field unknown": lambda r: first_case(r)["shape"].update(dim=None),
            "bad status": lambda r: shared(r).update(status="guessed"),
            "point field missing": lambda r: shared(r).pop("flops"),
            "unknown point field": lambda r: shared(r).update(seconds_s=1),
            "interval with one end": lambda r: shared(r)["speedup"].update(ci95=[1.0]),
            "text for a number": lambda r: shared(r)["seconds"].update(median="6.75"),
            "speed-up of naive": lambda r: first_case(r)["points"][0]["schemes"]["naive"].update(speedup=None),
            "unknown fit field": lambda r: first_case(r)["fits"]["shared"].update(extra=1),
            "unknown equivalence field": lambda r: first_case(r)["equivalence"]["schemes"]["shared"].update(extra=1),
            "warning without text": lambda r: r["warnings"][0].pop("text"),
        }
        for name, mutate in mutations.items():
            with self.subTest(name):
                report = copy.deepcopy(self.approved)
                mutate(report)
                self.assertFalse(self.validator.is_valid(report))

    def test_every_member_is_required_and_no_other_allowed(self):
        def walk(report, path):
            if isinstance(report, dict):
                yield path, report
            items = report.items() if isinstance(report, dict) else enumerate(report) if isinstance(report, list) else ()
            for key, value in items:
                yield from walk(value, path + [key])

        # Objects whose members are names of schemes or libraries, so any may come and go.
        maps = {"schemes", "fits", "dependencies"}
        for path, obj in walk(self.approved, []):
            if path and path[-1] in maps:
                continue
            with self.subTest("/".join(map(str, path))):
                obj["surprise"] = 1
                self.assertFalse(self.validator.is_valid(self.approved))
                del obj["surprise"]
                for key in list(obj):
                    kept = dict(obj)
                    del obj[key]
                    self.assertFalse(self.validator.is_valid(self.approved), key)
                    obj.clear()
                    obj.update(kept)
        self.assert_valid(self.approved)


if __name__ == "__main__":
    unittest.main()
