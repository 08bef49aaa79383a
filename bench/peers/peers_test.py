"""Every peer that is there, asked once at a tiny shape: it computes the model, and would be caught if it did not.

By hand: KVCAST_BIN=build/release/kvcast KVCAST_PEERS=build/release/bench/peers python3 bench/peers/peers_test.py
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PEERS = pathlib.Path(os.environ["KVCAST_PEERS"])
FOUND = [PEERS / name for name in ("openblas_peer", "onnx_peer") if os.access(PEERS / name, os.X_OK)]
# Not multiples of any block; one history below and one above the limits where peers change their way.
SHAPES = {"short": ["-L", "37", "-d", "32", "--heads", "4", "--layers", "3"],
          "long": ["-L", "517", "-d", "16", "--heads", "2", "--layers", "2"]}
# fp32 all the way: rounding stays far below, any other computation far above.
TOLERANCE = 1e-3


class Running:
    """A peer and its lines."""

    def __init__(self, peer, case, threads):
        self.process = subprocess.Popen([peer, "--case", case, "--threads", str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline() or "null")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def cpu_ms(self):
        """CPU time of all threads."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def spoil(source, target, name):
    """A copy of the case whose tensor `name` has its first value changed by about one."""
    data = bytearray(source.read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + size])[name]
    at = 8 + size + entry["data_offsets"][0]
    code = {"F32": "<f", "F64": "<d"}[entry["dtype"]]
    struct.pack_into(code, data, at, struct.unpack_from(code, data, at)[0] + 1)
    target.write_bytes(data)


class PeersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.cases = {}
        for name, flags in SHAPES.items():
            cls.cases[name] = pathlib.Path(cls.folder.name) / f"{name}.safetensors"
            subprocess.run([os.environ["KVCAST_BIN"], "verify", "smoke", "--no-trim", "--quiet", *flags, "--export",
                            cls.cases[name]], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_pass_computes_the_model(self):
        for peer in FOUND:
            for name, case in self.cases.items():
                for threads in (1, 2):
                    with self.subTest(peer=peer.name, case=name, threads=threads), Running(peer, case, threads) as p:
                        self.assertIs(p.ready["ready"], True)
                        self.assertTrue(p.ready["peer"] and p.ready["variant"])
                        # 200 is more than the file's candidates and than a block of query rows.
                        for line in ("naive 3", "shared 5", "candidates 1", "shared 200", "candidates 7"):
                            answer = p.ask(line)
                            self.assertGreater(answer["seconds"], 0)
                            self.assertGreater(answer["max_abs_error"], 0)
                            self.assertLess(answer["max_rel_error"], TOLERANCE, line)
                        self.assertIsNone(p.ask("user")["max_abs_error"])

    def test_another_model_is_caught(self):
        for peer in FOUND:
            for tensor, requests in (("layers.1.attn.qkv.weight", ("naive 2", "shared 2")),
                                     ("layers.0.ffn.up.bias", ("naive 2", "candidates 2")),
                                     ("outputs.reference", ("naive 1", "shared 1"))):
                case = pathlib.Path(self.folder.name) / f"{peer.name}.{tensor}.safetensors"
                spoil(self.cases["short"], case, tensor)
                with self.subTest(peer=peer.name, tensor=tensor), Running(peer, case, 1) as p:
                    for line in requests:
                        self.assertGreater(p.ask(line)["max_rel_error"], TOLERANCE, line)

    def test_nonsense_is_refused_and_survived(self):
        for peer in FOUND:
            with self.subTest(peer=peer.name), Running(peer, self.cases["short"], 1) as p:
                for line in ("", "naive", "naive 0", "naive x", "shared 3 4", "user 2", "hello"):
                    self.assertIn("error", p.ask(line), line)
                self.assertLess(p.ask("shared 2")["max_rel_error"], TOLERANCE)
                p.process.stdin.write("quit\n")
                p.process.stdin.flush()
                self.assertEqual(p.process.wait(10), 0)

    def test_a_case_of_another_kind_is_refused(self):
        case = pathlib.Path(self.folder.name) / "blind.safetensors"
        subprocess.run([os.environ["KVCAST_BIN"], "verify", "smoke", "--quiet", *SHAPES["short"], "--mask",
                        "history-blind", "--export", case], check=True, stdout=subprocess.DEVNULL)
        for peer in FOUND:
            with self.subTest(peer=peer.name):
                done = subprocess.run([peer, "--case", case, "--threads", "1"], capture_output=True, text=True, input="")
                self.assertEqual((done.returncode, done.stdout), (3, ""))
                self.assertIn("mask", done.stderr)

    def test_a_waiting_peer_is_idle(self):
        for peer in FOUND:
            with self.subTest(peer=peer.name), Running(peer, self.cases["long"], 2) as p:
                for line in ("shared 10", "naive 2"):
                    idle = []
                    for _ in range(3):
                        p.ask(line)
                        before = p.cpu_ms()
                        time.sleep(0.2)
                        idle.append(p.cpu_ms() - before)
                    # Seen: 0.1 ms, and 24 to 44 ms of either library with its own defaults.
                    self.assertLess(min(idle), 5, line)


if __name__ == "__main__":
    if not FOUND:
        print(f"skipped: no peer in {PEERS}; bench/peers/setup.sh installs what they need")
        sys.exit(77)
    for missing in {"openblas_peer", "onnx_peer"} - {path.name for path in FOUND}:
        print(f"without {missing}: bench/peers/setup.sh installs what it needs", file=sys.stderr)
    unittest.main(verbosity=2)
