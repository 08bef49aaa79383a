"""The exported case, recomputed from its tensors alone by plain Python floats, and imported again."""
import itertools
import json
import math
import re
import struct
import unittest

from cli_test import CliTest

SHAPE = ["-L", "9", "-d", "16", "--heads", "4", "--layers", "3"]
SHARING = {"shared", "shared-copy", "packed", "cached", "append"}
CODES = {"F32": "f", "F64": "d", "BF16": "H"}


def read_safetensors(path):
    """Metadata, and for every tensor its sizes, its values and its dtype."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        code = CODES[entry["dtype"]]
        values = struct.unpack(f"<{(last - first) // struct.calcsize(code)}{code}", data[first:last])
        if entry["dtype"] == "BF16":  # the upper half of an f32
            values = struct.unpack(f"<{len(values)}f", b"".join(struct.pack("<HH", 0, value) for value in values))
        tensors[name] = (entry["shape"], values, entry["dtype"])
    return metadata, tensors


def write_safetensors(path, metadata, tensors):
    """The inverse, without BF16. No metadata: none in the file."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (shape, values, dtype) in tensors.items():
        packed = struct.pack(f"<{len(values)}{CODES[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def matrix(tensor):
    shape, values, _ = tensor
    return [list(values[i * shape[1]:(i + 1) * shape[1]]) for i in range(shape[0])]


def linear(x, weight, bias):
    return [b + sum(a * w for a, w in zip(x, row)) for row, b in zip(weight, bias)]


def norm(x, weight, bias):
    mean = sum(x) / len(x)
    variance = sum((a - mean) ** 2 for a in x) / len(x)
    return [(a - mean) / math.sqrt(variance + 1e-5) * w + b for a, w, b in zip(x, weight, bias)]


def forward(tensors, rows, sees, active, model):
    """All layers over rows. active(layer, i): whether row i takes part in a layer. Those that do are its keys; those
    that take part in the next one too go on through it."""
    dim, heads, kv_heads = model["dim"] * model["token_merge"], model["heads"], model["kv_heads"]
    head_dim = dim // heads
    for layer in range(model["layers"]):
        def get(name):
            shape, values, _ = tensors[f"layers.{layer}.{name}"]
            return matrix((shape, values, None)) if len(shape) == 2 else list(values)
        keys = [i for i in range(len(rows)) if active(layer, i)]
        qkv = {i: linear(norm(rows[i], get("attn_norm.weight"), get("attn_norm.bias")), get("attn.qkv.weight"),
                         get("attn.qkv.bias")) for i in keys}
        out_weight, out_bias = get("attn.out.weight"), get("attn.out.bias")
        up, up_bias, down, down_bias = (get(n) for n in ("ffn.up.weight", "ffn.up.bias", "ffn.down.weight",
                                                         "ffn.down.bias"))
        updated = list(rows)
        for i in keys:
            if layer + 1 < model["layers"] and not active(layer + 1, i):
                continue
            seen = [qkv[j] for j in keys if sees(i, j)]
            o = []
            for head in range(heads):
                kv = head // (heads // kv_heads) * head_dim
                q = qkv[i][head * head_dim:(head + 1) * head_dim]
                logits = [sum(a * b for a, b in zip(q, row[dim + kv:dim + kv + head_dim])) / math.sqrt(head_dim)
                          for row in seen]
                top = max(logits)
                p = [math.exp(value - top) for value in logits]
                v0 = dim + kv_heads * head_dim + kv
                o += [sum(a * row[v0 + c] for a, row in zip(p, seen)) / sum(p) for c in range(head_dim)]
            x = [a + b for a, b in zip(rows[i], linear(o, out_weight, out_bias))]
            hidden = [0.5 * a * (1 + math.erf(a / math.sqrt(2)))
                      for a in linear(norm(x, get("ffn_norm.weight"), get("ffn_norm.bias")), up, up_bias)]
            updated[i] = [a + b for a, b in zip(x, linear(hidden, down, down_bias))]
        rows = updated
    return rows


def merged(history, tokens):
    """Every `tokens` rows joined into one."""
    return [list(itertools.chain(*history[i:i + tokens])) for i in range(0, len(history), tokens)]


class CaseTest(CliTest):
    def verify(self, *args):
        """The JSON of a verify that succeeds."""
        done = self.kvcast("verify", *args, "-q", "--format", "json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def export(self, name, *args):
        """Its result, and the metadata and tensors it wrote."""
        result = self.verify(*args, "--export", name)
        return result, *read_safetensors(self.dir / name)


class ExportTest(CaseTest):
    def check(self, extra, candidate_first, sees, schemes, exits=0, reference_delta=1e-9, rounding=1e-5):
        """Recomputes two candidates. rounding: of a layer's outputs, relative to the largest; layers add."""
        done = self.kvcast("verify", *SHAPE, *extra, "--export", "case.safetensors")
        self.assertEqual(done.returncode, exits, done.stderr)
        self.assertEqual([path.name for path in self.dir.iterdir()], ["case.safetensors"])
        metadata, tensors = read_safetensors(self.dir / "case.safetensors")
        model = json.loads(metadata["kvcast.config"])["model"]
        for flag, key in (("--token-merge", "token_merge"), ("--query-tokens", "query_tokens"),
                          ("--candidate-from-layer", "candidate_from_layer"), ("--kv-heads", "kv_heads")):
            if flag in extra:
                self.assertEqual(str(model[key]), extra[extra.index(flag) + 1])
        history = merged(matrix(tensors["history"]), model["token_merge"])
        candidates = matrix(tensors["candidates"])
        width, length = model["dim"] * model["token_merge"], len(history)
        self.assertEqual(tensors["outputs.reference"][2], "F64")
        self.assertEqual(tensors["readout"][0], [width])
        self.assertEqual({n.split(".", 1)[1] for n in tensors if n.startswith("outputs.")}, schemes | {"reference"})
        position = 0 if candidate_first else length
        going_on = length if model["query_tokens"] == "auto" else model["query_tokens"]

        def active(layer, i):
            if i == position:
                return layer >= model["candidate_from_layer"]
            return layer == 0 or abs(i - position) <= going_on

        for index in (0, len(candidates) - 1):
            rows = [candidates[index]] + history if candidate_first else history + [candidates[index]]
            truth = forward(tensors, rows, sees, active, model)[position]
            for a, b in zip(truth, matrix(tensors["outputs.reference"])[index], strict=True):
                self.assertAlmostEqual(a, b, delta=reference_delta)
            delta = rounding * model["layers"] * max(map(abs, truth))
            for scheme in schemes:
                for a, b in zip(truth, matrix(tensors[f"outputs.{scheme}"])[index], strict=True):
                    self.assertAlmostEqual(a, b, delta=delta)
        return tensors

    def check_causal(self, *extra, **options):
        return self.check(extra, False, lambda i, j: j <= i, SHARING | {"naive"}, **options)

    def test_causal(self):
        self.check_causal()

    def test_history_blind_and_grouped_heads(self):
        self.check(["--mask", "history-blind", "--kv-heads", "2"], True, lambda i, j: j >= i, SHARING | {"naive"})

    def test_bidirectional_has_naive_only(self):
        self.check(["--mask", "bidirectional"], False, lambda i, j: True, {"naive"}, exits=4)

    def test_merged_tokens(self):
        self.check_causal("--token-merge", "3", "-d", "8")

    def test_query_tokens(self):
        self.check_causal("--query-tokens", "4")
        self.check(["--mask", "history-blind", "--query-tokens", "4"], True, lambda i, j: j >= i, SHARING | {"naive"})

    def test_late_candidate(self):
        self.check_causal("--candidate-from-layer", "1", "--query-tokens", "4", "--kv-heads", "1")
        self.check(["--mask", "bidirectional", "--candidate-from-layer", "2"], False, lambda i, j: True,
                   SHARING - {"append"} | {"naive"})

    def test_bf16_matrices_are_those_of_the_engine(self):
        # 8 activations and 4 matrices of a layer are rounded by 2^-8 each.
        tensors = self.check_causal("--dtype", "bf16", reference_delta=1, rounding=12 / 256)
        for name, (shape, _, dtype) in tensors.items():
            if name.startswith("layers."):
                self.assertEqual(dtype, "BF16" if len(shape) == 2 else "F32", name)

    def test_bf16_reference_is_that_of_the_tensors_in_the_file(self):
        self.check_causal("--dtype", "bf16", rounding=12 / 256)


SMALL = ["-L", "12", "-d", "16", "--heads", "4", "--kv-heads", "2", "--layers", "2", "--ffn-factor", "3", "--seed", "7"]


def inputs(tensors):
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("outputs.")}


class ImportTest(CaseTest):
    def test_brings_its_shape_and_exports_the_same_again(self):
        shape = [*SMALL, "--mask", "history-blind", "--token-merge", "2", "--query-tokens", "3",
                 "--candidate-from-layer", "1", "--no-trim"]
        original, _, tensors = self.export("A.safetensors", *shape)
        again, metadata, copied = self.export("B.safetensors", "--import", "A.safetensors")
        self.assertEqual(again["shape"], original["shape"])
        self.assertEqual(again["warnings"], [])
        config = json.loads(metadata["kvcast.config"])
        self.assertEqual((config["model"]["import"], config["run"]["seed"]), ("A.safetensors", 7))
        self.assertEqual(copied, tensors)

    def test_takes_every_tensor_from_the_file_and_not_from_the_seed(self):
        _, _, tensors = self.export("A.safetensors", *SMALL)
        _, _, seeded = self.export("C.safetensors", *SMALL, "--seed", "8")
        _, _, copied = self.export("B.safetensors", "--import", "A.safetensors", "--seed", "8")
        for name in inputs(tensors):
            self.assertNotEqual(seeded[name], tensors[name], name)
            self.assertEqual(copied[name], tensors[name], name)
        self.assertEqual(copied["outputs.reference"], tensors["outputs.reference"])

    def test_takes_changed_values(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        for name, (shape, values, dtype) in inputs(tensors).items():
            tensors[name] = (shape, tuple(value / 2 for value in values), dtype)  # halves exactly
        write_safetensors(self.dir / "H.safetensors", metadata, inputs(tensors))  # the outputs are another's now
        _, _, copied = self.export("B.safetensors", "--import", "H.safetensors")
        self.assertEqual(inputs(copied), inputs(tensors))
        self.assertNotEqual(copied["outputs.reference"], tensors["outputs.reference"])

    def test_bf16_file(self):
        original, _, tensors = self.export("A.safetensors", *SMALL, "--dtype", "bf16")
        again, _, copied = self.export("B.safetensors", "--import", "A.safetensors")
        self.assertEqual(again["shape"], original["shape"])
        self.assertEqual(again["shape"]["dtype"], "bf16")
        self.assertEqual(inputs(copied), inputs(tensors))

    def test_flags_win_over_the_file(self):
        self.export("A.safetensors", *SMALL)
        result = self.verify("--import", "A.safetensors", "-L", "8", "--kv-dtype", "bf16", "--mask", "history-blind")
        self.assertEqual([result["shape"][key] for key in ("history_length", "kv_dtype", "mask", "kv_heads")],
                         [8, "bf16", "history-blind", 2])
        self.assertEqual(result["warnings"], [])

    def test_first_layers_of_a_file(self):
        _, _, tensors = self.export("A.safetensors", *SMALL)
        result, _, copied = self.export("B.safetensors", "--import", "A.safetensors", "--layers", "1")
        self.assertEqual(result["shape"]["layers"], 1)
        self.assertEqual([warning["code"] for warning in result["warnings"]], ["import-layers"])
        first = {name: tensor for name, tensor in inputs(tensors).items() if not name.startswith("layers.1.")}
        self.assertEqual(inputs(copied), first)

    def test_preset_wins_over_the_shape_of_the_file(self):
        # The default preset's shape is none of the file's.
        self.export("A.safetensors", *SMALL)
        self.assert_one_line(self.kvcast("verify", "default", "--import", "A.safetensors", "-q"), 2, "A.safetensors",
                             "2 layers")

    def test_run(self):
        self.export("A.safetensors", *SMALL)
        result = self.kvcast("run", "--import", "A.safetensors", "-N", "1,5", "--budget", "3s", "--precision", "0.9",
                             "-q", "--format", "json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        report = json.loads(result.stdout)
        self.assertEqual(report["config"]["model"]["import"], "A.safetensors")
        self.assertEqual([report["cases"][0]["shape"][key] for key in ("history_length", "dim", "kv_heads")],
                         [12, 16, 2])
        self.assertEqual([point["candidates"] for point in report["cases"][0]["points"]], [1, 5])
        self.assertTrue(report["cases"][0]["equivalence"]["agrees"])
        self.assertNotIn("import-tokens", [warning["code"] for warning in report["warnings"]])

    def assert_seeded(self, warnings, *parts):
        found = [warning["text"] for warning in warnings if warning["code"] == "import-tokens"]
        self.assertEqual(len(found), 1, warnings)
        for part in ("history", "candidates"):
            (self.assertIn if part in parts else self.assertNotIn)(part, found[0])

    def test_says_which_tokens_the_file_lacks(self):
        original, _, _ = self.export("A.safetensors", *SMALL)
        self.assert_seeded(self.verify("--import", "A.safetensors", "-L", "14")["warnings"], "history")
        more = original["candidates"] + 1
        run = ["run", "--import", "A.safetensors", "-N", str(more), "--budget", "3s", "--precision", "0.9", "-q",
               "--format", "json"]
        self.assert_seeded(json.loads(self.kvcast(*run).stdout)["warnings"], "candidates")
        self.assert_seeded(json.loads(self.kvcast(*run, "-L", "14").stdout)["warnings"], "history", "candidates")

    def test_weights_alone(self):
        _, _, tensors = self.export("A.safetensors", *SMALL)
        weights = {name: tensor for name, tensor in tensors.items() if name.startswith("layers.")}
        write_safetensors(self.dir / "W.safetensors", {}, weights)
        bare = ["--import", "W.safetensors", "--heads", "4", "--kv-heads", "2", "-L", "12", "--seed", "7"]
        result, _, copied = self.export("B.safetensors", *bare)
        self.assert_seeded(result["warnings"], "history", "candidates")
        self.assertEqual(inputs(copied), inputs(tensors))  # seeded as the original was
        self.assertEqual(copied["outputs.reference"], tensors["outputs.reference"])

    def test_history_of_another_width(self):
        # The merged width is that of the weights, the token's is not that of the history.
        self.export("A.safetensors", *SMALL)
        result = self.kvcast("verify", "--import", "A.safetensors", "-d", "8", "--token-merge", "2", "-q")
        self.assert_one_line(result, 2, "A.safetensors", "history", "16 wide", "wanted 8")

    def test_weights_of_another_shape(self):
        self.export("A.safetensors", *SMALL)
        for flag, value, parts in (("--dim", "32", ["tensor 'layers.0.attn_norm.weight'", "[16]", "wanted [32]"]),
                                   ("--kv-heads", "4", ["tensor 'layers.0.attn.qkv.weight'", "[32,16]", "[48,16]"]),
                                   ("--ffn-factor", "4", ["tensor 'layers.0.ffn.up.weight'", "[48,16]", "[64,16]"]),
                                   ("--token-merge", "2", ["tensor 'layers.0.attn_norm.weight'", "[16]", "[32]"]),
                                   ("--layers", "3", ["2 layers", "wanted 3"])):
            with self.subTest(flag=flag):
                result = self.kvcast("verify", "--import", "A.safetensors", flag, value, "-q")
                self.assert_one_line(result, 2, "A.safetensors", *parts)
                result = self.kvcast("run", "--import", "A.safetensors", flag, value, "-q", "-o", "out")
                self.assert_one_line(result, 2, "A.safetensors", *parts)
                self.assertFalse((self.dir / "out").exists())

    def test_broken_file(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        whole = (self.dir / "A.safetensors").read_bytes()
        missing = {name: tensor for name, tensor in tensors.items() if name != "layers.1.ffn.up.bias"}
        write_safetensors(self.dir / "missing.safetensors", metadata, missing)
        tensors["layers.1.ffn.up.bias"] = ([48], (math.nan,) * 48, "F32")
        write_safetensors(self.dir / "nan.safetensors", metadata, tensors)
        files = {"cut.safetensors": (whole[:-1], "complete"), "header.safetensors": (whole[:100], "complete"),
                 "short.safetensors": (whole[:4], "4 bytes"), "empty.safetensors": (b"", "0 bytes"),
                 "text.safetensors": (b"not one of these files", "header"),
                 "missing.safetensors": (None, "'layers.1.ffn.up.bias'"),
                 "nan.safetensors": (None, "'layers.1.ffn.up.bias'")}
        for name, (content, part) in files.items():
            if content is not None:
                self.write(name, content)
            for preset in ([], ["default"]) if content is not None else ([],):
                with self.subTest(name=name, preset=preset):
                    result = self.kvcast("verify", *preset, "--import", name, "-q")
                    self.assert_one_line(result, 2, name, part)

    def test_no_such_file(self):
        for args in (["verify"], ["verify", "smoke"], ["run", "-o", "out"], ["run", "smoke", "-o", "out"]):
            for name in ("no.safetensors", "no/such.safetensors", "."):
                with self.subTest(args=args, name=name):
                    self.assert_one_line(self.kvcast(*args, "--import", name, "-q"), 3, name)
                    self.assertFalse((self.dir / "out").exists())

    def test_without_the_config_in_the_file(self):
        original, _, tensors = self.export("A.safetensors", *SMALL)
        write_safetensors(self.dir / "bare.safetensors", {}, tensors)
        result, metadata, copied = self.export("B.safetensors", "--import", "bare.safetensors", "--heads", "4",
                                               "--kv-heads", "2")
        self.assertEqual(result["shape"], original["shape"])
        self.assertEqual(inputs(copied), inputs(tensors))
        self.assertEqual(copied["outputs.reference"], tensors["outputs.reference"])
        # Metadata of somebody else is no config either.
        write_safetensors(self.dir / "other.safetensors", {"format": "pt"}, tensors)
        other = self.verify("--import", "other.safetensors", "--heads", "4", "--kv-heads", "2")
        self.assertEqual(other["equivalence"], result["equivalence"])
        write_safetensors(self.dir / "bad.safetensors", {"kvcast.config": "[1]"}, tensors)
        self.assert_one_line(self.kvcast("verify", "--import", "bad.safetensors", "-q"), 2, "bad.safetensors",
                             "kvcast.config")

    def resaved(self, name, tensors, metadata=None):
        write_safetensors(self.dir / name, {"format": "pt"} if metadata is None else metadata, tensors)
        return ["verify", "--import", name, "-q"]

    @staticmethod
    def notes(result):
        """The notes of a verify, each in one line."""
        return [" ".join(note.split()) for note in re.findall(r"(?m)^note +(.*\n(?: .*\n)*)", result.stdout)]

    def test_says_what_it_assumed_and_what_the_outputs_in_the_file_show(self):
        # 2 heads of the file are 4 to who does not know.
        shape = ["-L", "12", "-d", "16", "--heads", "2", "--layers", "2", "--seed", "7"]
        _, _, tensors = self.export("A.safetensors", *shape)
        verify = self.resaved("R.safetensors", tensors)
        result = self.kvcast(*verify)
        self.assertEqual(result.returncode, 4, result.stderr)
        note, = self.notes(result)
        for part in ("heads", "kv_heads", "mask", "positions", "not in R.safetensors", "assumed heads 4", "mask causal"):
            self.assertIn(part, note)
        self.assertRegex(" ".join(result.stdout.split()), r"outputs\.reference of the file[^:]*:[^:]*: DIFFERS")
        self.assertRegex(result.stderr, r"outputs\.\w+.* of the imported file differ by .*assumed heads 4")
        self.assertEqual(len(result.stderr.splitlines()), 1)
        # Each value that is said is not assumed, and the right ones make the file's outputs.
        said = self.kvcast(*verify, "--heads", "2", "--mask", "causal")
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        self.assertNotIn("heads", self.notes(said)[0])
        self.assertRegex(" ".join(said.stdout.split()), r"outputs\.reference of the file[^:]*:[^:]*: agrees")
        self.assertEqual(self.kvcast(*verify, "--heads", "2", "--mask", "history-blind").returncode, 4)
        whole = json.loads(self.kvcast(*verify[:-1], "--format", "json", "--heads", "2", "-q").stdout)
        self.assertEqual({one["name"] for one in whole["stored_outputs"]},
                         {name for name in tensors if name.startswith("outputs.")})
        self.assertTrue(all(one["agrees"] for one in whole["stored_outputs"]))

        run = ["run", "--import", "R.safetensors", "-N", "1,5", "--budget", "3s", "--precision", "0.9"]
        wrong = self.kvcast(*run, "-q")
        self.assertEqual(wrong.returncode, 4, wrong.stderr)
        self.assertRegex(wrong.stderr, r"^kvcast: check failed: the outputs in the file are not those of this model, so "
                         r"nothing was timed: outputs\.reference of the imported file differ by .*assumed heads 4")
        right = self.kvcast(*run, "--heads", "2", "--details")
        self.assertIn("not in R.safetensors: assumed mask causal", " ".join(right.stdout.split()))
        self.assertNotIn("import-outputs", right.stdout)
        other = self.kvcast(*run, "--heads", "2", "-L", "8", "--details")
        self.assertIn("of the file not compared: they are those of L=12",
                      " ".join(other.stdout.split()))
        dry = self.kvcast("run", "--import", "R.safetensors", "--dry-run")
        self.assertIn("not in R.safetensors: assumed heads 4", dry.stderr)

    def test_part_of_a_config_in_the_file(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        config = json.loads(metadata["kvcast.config"])
        del config["model"]["heads"], config["model"]["layers"], config["model"]["dim"]
        result = self.kvcast(*self.resaved("P.safetensors", tensors, {"kvcast.config": json.dumps(config)}))
        self.assertEqual(result.returncode, 0, result.stderr)  # 4 heads it has
        self.assertTrue(any(note.startswith("heads, kv_heads and positions are not in P.safetensors")
                            for note in self.notes(result)), result.stdout)
        self.assertNotIn("mask,", result.stdout)

    def test_grouped_heads_and_merged_tokens_follow_from_the_tensors(self):
        for extra in ([], ["--token-merge", "2", "-d", "8"]):
            with self.subTest(extra=extra):
                _, _, tensors = self.export("A.safetensors", *SMALL, *extra)
                result = self.kvcast(*self.resaved("R.safetensors", tensors))
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertRegex(" ".join(result.stdout.split()), r"outputs\.reference of the file[^:]*:[^:]*: agrees")

    def test_outputs_that_cannot_be_compared_say_why(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        shape, values, dtype = tensors["outputs.reference"]
        changed = dict(tensors)
        changed["outputs.reference"] = ([1, shape[1]], values[:shape[1]], dtype)
        changed["outputs.naive"] = ([1], (1.0,), "F32")
        result = self.kvcast(*self.resaved("N.safetensors", changed, metadata))
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("reference", "naive"):
            self.assertRegex(" ".join(result.stdout.split()), rf"not compared outputs\.{name} of the file: shape .*candidates")
        # Another case than the file's, as asked for.
        for flags, part in ((["--mask", "history-blind"], "mask"), (["-L", "8"], "L=12"), (["--layers", "1"], "2 layers")):
            result = self.kvcast(*self.resaved("A.safetensors", tensors, metadata), *flags)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(" ".join(result.stdout.split()), rf"not compared outputs\.reference of the file: .*{part}")
        changed = dict(tensors)
        changed["outputs.reference"] = (shape, (math.nan,) + values[1:], dtype)
        result = self.kvcast(*self.resaved("F.safetensors", changed, metadata))
        self.assertEqual(result.returncode, 4)
        self.assertIn("outputs.reference of the imported file differ by nan", result.stderr)

    def test_tensors_that_nothing_reads_are_named_and_misspelt_ones_refused(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        weight = tensors["layers.0.ffn.up.bias"]
        result = self.kvcast(*self.resaved("E.safetensors", tensors | {"embedding": weight, "layers.0.rotary": weight},
                                           metadata))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(" ".join(self.notes(result)), "not read from E.safetensors.*'embedding', 'layers.0.rotary'")
        for name in ("layers.01.ffn.up.bias", "layers.x.ffn.up.bias", "layer.0.ffn.up.bias", "layers.2.ffn.up.bias",
                     "layers.7.ffn.up.bias", "layers.-1.ffn.up.bias"):
            with self.subTest(name=name):
                verify = self.resaved("M.safetensors", tensors | {name: weight}, metadata)
                self.assert_one_line(self.kvcast(*verify), 2, "M.safetensors", "tensor 'layer")

    def test_dry_run_reads_the_values(self):
        _, metadata, tensors = self.export("A.safetensors", *SMALL)
        for name, value in (("layers.1.ffn.up.bias", math.nan), ("history", math.inf), ("candidates", -math.inf)):
            with self.subTest(name=name):
                shape, values, dtype = tensors[name]
                self.resaved("V.safetensors", tensors | {name: (shape, values[:-1] + (value,), dtype)}, metadata)
                result = self.kvcast("run", "--import", "V.safetensors", "--dry-run")
                self.assert_one_line(result, 2, "V.safetensors", f"'{name}'")
        self.assertEqual(self.kvcast("run", "--import", "A.safetensors", "--dry-run").returncode, 0)

    def test_the_same_case_has_the_same_bytes(self):
        self.export("A.safetensors", *SMALL)
        self.export("B.safetensors", *SMALL, "--max-memory", "3GiB")
        self.assertEqual((self.dir / "A.safetensors").read_bytes(), (self.dir / "B.safetensors").read_bytes())

    def test_an_export_that_would_take_hours_is_refused_before_it_starts(self):
        result = self.kvcast("verify", "-L", "200000", "-d", "4", "--heads", "1", "--layers", "2", "--threads", "1",
                             "--export", "X.safetensors")
        self.assert_one_line(result, 2, "--export", "float64 reference", "such as --history")
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_without_a_history_every_mask_shares(self):
        for mask in ("bidirectional", "target-first-causal"):
            result = self.verify("-L", "0", "-d", "16", "--heads", "2", "--layers", "3", "--mask", mask)
            self.assertTrue(result["equivalence"]["shareable"] and result["equivalence"]["agrees"])
            self.assertIsNone(result["stale"])
            self.assertEqual(result["skipped"], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
