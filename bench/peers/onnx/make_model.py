#!/usr/bin/python3
"""ONNX graphs of one exported case, for ONNX Runtime.

  make_model.py CASE.safetensors OUT_DIR [PASS:VARIANT ...]

writes OUT_DIR/{naive,user,candidates}.<variant>.onnx and OUT_DIR/case.json. Everything is computed in full: no layer is
trimmed, and each graph returns a row of the last layer so that the runtime cannot drop it either.

  naive       x [L+1, d]                    -> y [1, d], the last row
  user        x [L, d]                      -> y [1, d] and the cache: k.<i>, v.<i> [H, L, d_h]
  candidates  x [N, d] and k.<i>, v.<i>     -> y [N, d]; each row sees the cached keys and itself

A variant is ATTENTION[+OPTION...]. Attention of naive and user, all causal:
  plain      FusedMatMul, Add of a mask, Softmax, MatMul over all L x L scores
  rowsB      the same in blocks of B rows that stop at the diagonal (B = 128, 256, ...)
  mha        com.microsoft.MultiHeadAttention, unidirectional
  gqa        com.microsoft.GroupQueryAttention
  gqaB       GroupQueryAttention in blocks of B rows, each handing its cache to the next (prefill in chunks)
  att        com.microsoft.Attention with the fused QKV weight
  std        ai.onnx Attention of opset 23, is_causal
Attention of candidates:
  concat     scores of the cache, the candidate's own beside them, Softmax, the two parts apart again
  aug        one more column in the keys carries the candidate's own score, one more row in the values is zero
  copy       GroupQueryAttention over a batch of N, with the cache repeated N times
Options: gemm (Gemm instead of MatMul and Add), skip (SkipLayerNormalization), bgelu (BiasGelu), split (three products
for Q, K and V instead of one).
"""
import json
import pathlib
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
MS = "com.microsoft"


def read_case(path):
    """Tensors by name, and the effective configuration, of a file by `kvcast verify --export`."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    config = json.loads(header.pop("__metadata__")["kvcast.config"])
    tensors = {}
    for name, entry in header.items():
        dtype = {"F32": "<f4", "F64": "<f8"}.get(entry["dtype"])
        if dtype is None:
            sys.exit(f"{path}: {name} is {entry['dtype']}; the peers compute fp32 only")
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:last], dtype).reshape(entry["shape"])
    return config, tensors


class Graph:
    """Nodes and weights of one model; every method appends and returns the name of what it made."""

    def __init__(self, case, variant):
        self.config, self.tensors = case
        self.attention, *self.options = variant.split("+")
        self.dim = self.config["model"]["dim"]
        self.heads = self.config["model"]["heads"]
        self.layers = self.config["model"]["layers"]
        self.head_dim = self.dim // self.heads
        self.scale = self.head_dim ** -0.5
        self.nodes, self.weights, self.inputs, self.outputs = [], {}, [], []
        self.opset = 23 if self.attention == "std" else 17

    def op(self, kind, inputs, count=1, domain="", **attributes):
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if count == 1 else names

    def constant(self, name, values):
        self.weights.setdefault(name, np.ascontiguousarray(values))
        return name

    def ints(self, *values):
        return self.constant("i" + "_".join(map(str, values)), np.array(values, np.int64))

    def zeros(self, *shape):
        return self.constant("zeros" + "_".join(map(str, shape)), np.zeros(shape, np.float32))

    def layer(self, i, name):
        return self.tensors[f"layers.{i}.{name}"]

    def linear(self, x, i, name, rows=slice(None)):
        tag = "" if rows == slice(None) else f".{rows.start}"
        weight = self.constant(f"{i}.{name}.weight{tag}", self.layer(i, f"{name}.weight")[rows].T)
        bias = self.constant(f"{i}.{name}.bias{tag}", self.layer(i, f"{name}.bias")[rows])
        if "gemm" in self.options:
            return self.op("Gemm", [x, weight, bias])
        return self.op("Add", [self.op("MatMul", [x, weight]), bias])

    def norm(self, x, i, name):
        weight = self.constant(f"{i}.{name}.weight", self.layer(i, f"{name}.weight"))
        bias = self.constant(f"{i}.{name}.bias", self.layer(i, f"{name}.bias"))
        return self.op("LayerNormalization", [x, weight, bias], axis=-1, epsilon=1e-5)

    def norm_of_sum(self, x, residual, i, name):
        """The norm of x + residual, and that sum."""
        if "skip" in self.options:
            weight = self.constant(f"{i}.{name}.weight", self.layer(i, f"{name}.weight"))
            bias = self.constant(f"{i}.{name}.bias", self.layer(i, f"{name}.bias"))
            # The operator knows rows in batches only.
            three = [self.op("Unsqueeze", [t, self.ints(0)]) for t in (x, residual)]
            out = [f"skip_{len(self.nodes)}_{k}" for k in range(2)]
            self.nodes.append(helper.make_node("SkipLayerNormalization", [*three, weight, bias],
                                               [out[0], "", "", out[1]], domain=MS, epsilon=1e-5))
            return [self.op("Squeeze", [t, self.ints(0)]) for t in out]
        total = self.op("Add", [x, residual])
        return self.norm(total, i, name), total

    def up(self, x, i):
        if "bgelu" in self.options:
            weight = self.constant(f"{i}.up.weight", self.layer(i, "ffn.up.weight").T)
            bias = self.constant(f"{i}.up.bias", self.layer(i, "ffn.up.bias"))
            return self.op("BiasGelu", [self.op("MatMul", [x, weight]), bias], domain=MS)
        return self.op("Gelu", [self.linear(x, i, "ffn.up")], domain=MS)

    def qkv(self, x, i):
        """Q, K and V apart, each [rows, d]."""
        if "split" in self.options:
            return [self.linear(x, i, "attn.qkv", slice(k * self.dim, (k + 1) * self.dim)) for k in range(3)]
        return self.op("Split", [self.linear(x, i, "attn.qkv"), self.ints(self.dim, self.dim, self.dim)], 3, axis=1)

    def by_head(self, x, rows):
        """[rows, d] -> [H, rows, d_h]."""
        return self.op("Transpose", [self.op("Reshape", [x, self.ints(rows, self.heads, self.head_dim)])],
                       perm=[1, 0, 2])

    def by_row(self, x):
        """[H, rows, d_h] -> [rows, d]."""
        return self.op("Reshape", [self.op("Transpose", [x], perm=[1, 0, 2]), self.ints(-1, self.dim)])

    def scores(self, q, k):
        return self.op("FusedMatMul", [q, k], domain=MS, transB=1, alpha=self.scale)

    def rows_of(self, x, first, last, axis):
        return self.op("Slice", [x, self.ints(first), self.ints(last), self.ints(axis)])

    def causal_mask(self, first, last):
        """[last - first, last]: row i of the block sees keys up to first + i."""
        hidden = np.arange(last)[None, :] > np.arange(first, last)[:, None]
        return self.constant(f"mask{first}_{last}", np.where(hidden, np.float32(-1e30), np.float32(0)))

    def causal(self, x, i, rows, cache):
        """The causal attention of layer i over normed rows x: [rows, d], and K, V [H, rows, d_h] when asked for."""
        shape4 = self.ints(1, rows, self.heads, self.head_dim)

        def three(t, width=self.dim):
            return self.op("Reshape", [t, self.ints(1, rows, width)])

        def two(t):
            return self.op("Reshape", [t, self.ints(rows, self.dim)])

        def unbatched(t):
            return self.op("Reshape", [t, self.ints(self.heads, rows, self.head_dim)])

        if self.attention == "plain" or self.attention.startswith("rows"):
            q, k, v = (self.by_head(t, rows) for t in self.qkv(x, i))
            block = rows if self.attention == "plain" else int(self.attention[4:])
            parts = []
            for first in range(0, rows, block):
                last = min(first + block, rows)
                whole = first == 0 and last == rows
                queries = q if whole else self.rows_of(q, first, last, 1)
                keys, values = (t if last == rows else self.rows_of(t, 0, last, 1) for t in (k, v))
                seen = self.op("Add", [self.scores(queries, keys), self.causal_mask(first, last)])
                parts.append(self.op("MatMul", [self.op("Softmax", [seen], axis=-1), values]))
            return self.by_row(parts[0] if len(parts) == 1 else self.op("Concat", parts, axis=1)), k, v
        if self.attention == "mha":
            q, k, v = self.qkv(x, i)
            out = self.op("MultiHeadAttention", [three(q), three(k), three(v)], domain=MS, num_heads=self.heads,
                          unidirectional=1, scale=self.scale)
            return two(out), *((self.by_head(t, rows) for t in (k, v)) if cache else (None, None))
        if self.attention.startswith("gqa"):
            block = int(self.attention[3:] or rows)
            empty = self.zeros(1, self.heads, 0, self.head_dim)
            k = v = empty
            parts = []
            if "split" in self.options:
                sources = [three(t) for t in self.qkv(x, i)]
            else:
                sources = [three(self.linear(x, i, "attn.qkv"), 3 * self.dim)]
            for first in range(0, rows, block):
                last = min(first + block, rows)
                lengths = self.constant(f"last{last}", np.array([last - 1], np.int32))
                total = self.constant(f"total{last}", np.array(last, np.int32))
                here = [t if block >= rows else self.rows_of(t, first, last, 1) for t in sources]
                here += [""] * (3 - len(here))
                past = [k, v] if first else ["", ""]
                part, k, v = self.op("GroupQueryAttention", [*here, *past, lengths, total], 3, domain=MS,
                                     num_heads=self.heads, kv_num_heads=self.heads, scale=self.scale)
                parts.append(part)
            out = parts[0] if len(parts) == 1 else self.op("Concat", parts, axis=1)
            return two(out), *((unbatched(t) for t in (k, v)) if cache else (None, None))
        if self.attention == "att":
            weight = self.constant(f"{i}.qkv.weight", self.layer(i, "attn.qkv.weight").T)
            bias = self.constant(f"{i}.qkv.bias", self.layer(i, "attn.qkv.bias"))
            out, present = self.op("Attention", [three(x), weight, bias], 2, domain=MS, num_heads=self.heads,
                                   unidirectional=1, scale=self.scale)
            if not cache:
                self.nodes[-1].output.pop()
                return two(out), None, None
            k, v = self.op("Split", [self.op("Reshape", [present, self.ints(2 * self.heads, rows, self.head_dim)]),
                                     self.ints(self.heads, self.heads)], 2, axis=0)
            return two(out), k, v
        if self.attention == "std":
            q, k, v = (self.op("Transpose", [self.op("Reshape", [t, shape4])], perm=[0, 2, 1, 3])
                       for t in self.qkv(x, i))
            out = self.op("Attention", [q, k, v], is_causal=1, scale=self.scale)
            return self.by_row(unbatched(out)), *((unbatched(t) for t in (k, v)) if cache else (None, None))
        sys.exit(f"unknown attention '{self.attention}'")

    def beside_cache(self, x, i):
        """Attention of candidates x over the cache of layer i and themselves."""
        flat = self.qkv(x, i)
        k_cache, v_cache = f"k.{i}", f"v.{i}"
        if self.attention == "copy":
            q, k, v = (self.op("Unsqueeze", [t, self.ints(1)]) for t in flat)
            length = self.tensors["history"].shape[0]
            shape = self.op("Concat", [self.op("Shape", [x], start=0, end=1), self.ints(self.heads, length,
                                                                                       self.head_dim)], axis=0)
            past = [self.op("Expand", [t, shape]) for t in (k_cache, v_cache)]
            lengths = self.op("Cast", [self.op("Expand", [self.ints(length), self.op("Shape", [x], start=0, end=1)])],
                              to=TensorProto.INT32)
            total = self.constant("total", np.array(length + 1, np.int32))
            out = self.op("GroupQueryAttention", [q, k, v, *past, lengths, total], 3, domain=MS, num_heads=self.heads,
                          kv_num_heads=self.heads, scale=self.scale)[0]
            return self.op("Squeeze", [out, self.ints(1)])
        q, k, v = (self.by_head(t, -1) for t in flat)
        own = self.op("ReduceSum", [self.op("Mul", [q, k]), self.ints(2)], keepdims=1)
        length = self.tensors["history"].shape[0]
        if self.attention == "concat":
            own = self.op("Mul", [own, self.constant("scale", np.float32(self.scale))])
            p = self.op("Softmax", [self.op("Concat", [self.scores(q, k_cache), own], axis=2)], axis=-1)
            p, p_own = self.op("Split", [p, self.ints(length, 1)], 2, axis=2)
        elif self.attention == "aug":
            p = self.op("Softmax", [self.scores(self.op("Concat", [q, own], axis=2), k_cache)], axis=-1)
            p_own = self.rows_of(p, length, length + 1, 2)
        else:
            sys.exit(f"unknown attention '{self.attention}'")
        return self.by_row(self.op("Add", [self.op("MatMul", [p, v_cache]), self.op("Mul", [p_own, v])]))

    def forward(self, x, attend):
        normed = self.norm(x, 0, "attn_norm")
        for i in range(self.layers):
            normed, x = self.norm_of_sum(self.linear(attend(normed, i), i, "attn.out"), x, i, "ffn_norm")
            down = self.linear(self.up(normed, i), i, "ffn.down")
            if i + 1 < self.layers:
                normed, x = self.norm_of_sum(down, x, i + 1, "attn_norm")
            else:
                x = self.op("Add", [down, x])
        return x

    def output(self, name, source, shape):
        self.nodes.append(helper.make_node("Identity", [source], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def save(self, path):
        used = {name for node in self.nodes for name in node.input}
        initializers = [numpy_helper.from_array(values, name) for name, values in self.weights.items() if name in used]
        graph = helper.make_graph(self.nodes, "case", self.inputs, self.outputs, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid(MS, 1)])
        onnx.save(model, str(path))


def augmented(graph, k, v, length):
    """Keys with a column, and both with a row, that let a candidate's own score ride in the same product."""
    corner = np.zeros((graph.heads, 1, graph.head_dim + 1), np.float32)
    corner[:, :, -1] = 1
    k = graph.op("Concat", [k, graph.zeros(graph.heads, length, 1)], axis=2)
    return (graph.op("Concat", [k, graph.constant("corner", corner)], axis=1),
            graph.op("Concat", [v, graph.zeros(graph.heads, 1, graph.head_dim)], axis=1))


def build(case, which, variant, path):
    graph = Graph(case, variant.removesuffix("+cacheaug"))
    length = graph.tensors["history"].shape[0]
    # The cache has the form that the scoring pass wants.
    aug = int(variant.endswith("+cacheaug") or graph.attention == "aug")
    cache_k = [graph.heads, length + aug, graph.head_dim + aug]
    cache_v = [graph.heads, length + aug, graph.head_dim]
    if which == "candidates":
        graph.inputs.append(helper.make_tensor_value_info("x", FLOAT, ["N", graph.dim]))
        for i in range(graph.layers):
            graph.inputs.append(helper.make_tensor_value_info(f"k.{i}", FLOAT, cache_k))
            graph.inputs.append(helper.make_tensor_value_info(f"v.{i}", FLOAT, cache_v))
        graph.output("y", graph.forward("x", graph.beside_cache), ["N", graph.dim])
    else:
        rows = length + (which == "naive")
        graph.inputs.append(helper.make_tensor_value_info("x", FLOAT, [rows, graph.dim]))

        def attend(x, i):
            out, k, v = graph.causal(x, i, rows, which == "user")
            if which == "user":
                if aug:
                    k, v = augmented(graph, k, v, length)
                graph.output(f"k.{i}", k, cache_k)
                graph.output(f"v.{i}", v, cache_v)
            return out
        last = graph.forward("x", attend)
        graph.output("y", graph.rows_of(last, rows - 1, rows, 0), [1, graph.dim])
    graph.save(path)


def check(config):
    """Only what these graphs compute; a case of another kind must not be timed against them."""
    model = config["model"]
    wanted = {"mask": "causal", "kv_heads": model["heads"], "query_tokens": "auto", "candidate_from_layer": 0,
              "token_merge": 1}
    for key, value in wanted.items():
        if model.get(key, value) not in (value, "auto" if key == "kv_heads" else value):
            sys.exit(f"the ONNX peer needs model.{key} = {value}, not {model[key]}")


def main(arguments):
    if len(arguments) < 3:
        sys.exit(__doc__)
    config, tensors = case = read_case(arguments[0])
    check(config)
    folder = pathlib.Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for wanted in arguments[2:]:
        which, variant = wanted.split(":")
        path = folder / f"{which}.{variant}.onnx"
        temporary = path.with_suffix(".tmp")
        build(case, which, variant, temporary)
        temporary.rename(path)


if __name__ == "__main__":
    main(sys.argv[1:])
