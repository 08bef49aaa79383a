"""The exported case, recomputed from its tensors alone by plain Python floats."""
import json
import math
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

BINARY = os.environ["KVCAST_BIN"]
SHAPE = ["-L", "9", "-d", "16", "--heads", "4", "--layers", "3"]


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        code = {"F32": "f", "F64": "d"}[entry["dtype"]]
        values = struct.unpack(f"<{(last - first) // struct.calcsize(code)}{code}", data[first:last])
        tensors[name] = (entry["shape"], values, entry["dtype"])
    return metadata, tensors


def matrix(tensor):
    shape, values, _ = tensor
    return [list(values[i * shape[1]:(i + 1) * shape[1]]) for i in range(shape[0])]


def linear(x, weight, bias):
    return [b + sum(a * w for a, w in zip(x, row)) for row, b in zip(weight, bias)]


def norm(x, weight, bias):
    mean = sum(x) / len(x)
    variance = sum((a - mean) ** 2 for a in x) / len(x)
    return [(a - mean) / math.sqrt(variance + 1e-5) * w + b for a, w, b in zip(x, weight, bias)]


def forward(tensors, rows, sees, config):
    dim, heads, kv_heads = (config["model"][key] for key in ("dim", "heads", "kv_heads"))
    head_dim = dim // heads
    for layer in range(config["model"]["layers"]):
        def get(name):
            shape, values, _ = tensors[f"layers.{layer}.{name}"]
            return matrix((shape, values, None)) if len(shape) == 2 else list(values)
        qkv = [linear(norm(x, get("attn_norm.weight"), get("attn_norm.bias")), get("attn.qkv.weight"),
                      get("attn.qkv.bias")) for x in rows]
        out_weight, out_bias = get("attn.out.weight"), get("attn.out.bias")
        attended = []
        for i, own in enumerate(qkv):
            o = []
            for head in range(heads):
                kv = head // (heads // kv_heads) * head_dim
                q = own[head * head_dim:(head + 1) * head_dim]
                seen = [row for j, row in enumerate(qkv) if sees(i, j)]
                logits = [sum(a * b for a, b in zip(q, row[dim + kv:dim + kv + head_dim])) / math.sqrt(head_dim)
                          for row in seen]
                top = max(logits)
                p = [math.exp(value - top) for value in logits]
                v0 = dim + kv_heads * head_dim + kv
                o += [sum(a * row[v0 + c] for a, row in zip(p, seen)) / sum(p) for c in range(head_dim)]
            attended.append(linear(o, out_weight, out_bias))
        rows = [[a + b for a, b in zip(x, y)] for x, y in zip(rows, attended)]
        up, up_bias, down, down_bias = (get(n) for n in ("ffn.up.weight", "ffn.up.bias", "ffn.down.weight",
                                                         "ffn.down.bias"))
        for i, x in enumerate(rows):
            hidden = [0.5 * a * (1 + math.erf(a / math.sqrt(2)))
                      for a in linear(norm(x, get("ffn_norm.weight"), get("ffn_norm.bias")), up, up_bias)]
            rows[i] = [a + b for a, b in zip(x, linear(hidden, down, down_bias))]
    return rows


class ExportTest(unittest.TestCase):
    def check(self, extra, place, sees, schemes):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "case.safetensors")
            done = subprocess.run([BINARY, "verify", *SHAPE, *extra, "--export", path], capture_output=True, text=True)
            self.assertIn(done.returncode, (0, 4), done.stderr)
            metadata, tensors = read_safetensors(path)
            self.assertEqual(os.listdir(folder), ["case.safetensors"])
        config = json.loads(metadata["kvcast.config"])
        history, candidates = matrix(tensors["history"]), matrix(tensors["candidates"])
        self.assertEqual(tensors["outputs.reference"][2], "F64")
        self.assertEqual(tensors["readout"][0], [16])
        self.assertEqual({n.split(".", 1)[1] for n in tensors if n.startswith("outputs.")}, schemes | {"reference"})
        for index in (0, len(candidates) - 1):
            rows = place(history, candidates[index])
            position = next(i for i, row in enumerate(rows) if row is candidates[index])
            truth = forward(tensors, rows, sees, config)[position]
            reference = matrix(tensors["outputs.reference"])[index]
            for a, b in zip(truth, reference):
                self.assertAlmostEqual(a, b, delta=1e-9)
            for scheme in schemes:
                for a, b in zip(truth, matrix(tensors[f"outputs.{scheme}"])[index]):
                    self.assertAlmostEqual(a, b, delta=1e-4)

    def test_causal(self):
        self.check([], lambda h, c: h + [c], lambda i, j: j <= i, {"naive", "shared", "shared-copy"})

    def test_history_blind_and_grouped_heads(self):
        self.check(["--mask", "history-blind", "--kv-heads", "2"], lambda h, c: [c] + h, lambda i, j: j >= i,
                   {"naive", "shared", "shared-copy"})

    def test_bidirectional_has_naive_only(self):
        self.check(["--mask", "bidirectional"], lambda h, c: h + [c], lambda i, j: True, {"naive"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
