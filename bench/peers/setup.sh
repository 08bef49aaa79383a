#!/usr/bin/env bash
# What the peers of the benchmark need: OpenBLAS and, for ONNX Runtime, Debian's python3-onnx and the npm package
# onnxruntime-node. That one goes into the build folder.
#   bench/peers/setup.sh [BUILD_FOLDER]     default build/release
# May be run again. Says what is missing and exits 0: the benchmark then goes without that peer.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-$here/../../build/release}
peers=$build/bench/peers

without() {
  echo "peers: no ONNX Runtime: $*" >&2
  rm -f "$peers/onnx_peer"
  exit 0
}

missing=()
for package in libopenblas-dev python3-onnx python3-numpy; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
command -v node >/dev/null 2>&1 || missing+=(nodejs)
command -v npm >/dev/null 2>&1 || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null 2>&1; then
    echo "peers: installing ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
      echo "peers: could not install ${missing[*]}" >&2
  else
    echo "peers: no apt-get here; missing (Debian's names): ${missing[*]}" >&2
  fi
fi

command -v node >/dev/null 2>&1 || without "Node.js is missing"
command -v npm >/dev/null 2>&1 || without "npm is missing"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 18 ] || without "Node.js $major is too old, 18 is needed"
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -c 'import numpy, onnx' 2>/dev/null || without "$python has no onnx or numpy"

mkdir -p "$peers" || without "$peers cannot be made"
if ! cmp -s "$here/onnx/package-lock.json" "$peers/installed-lock.json"; then
  rm -f "$peers/installed-lock.json"
  cp "$here/onnx/package.json" "$here/onnx/package-lock.json" "$peers/" || without "cannot write to $peers"
  # Without scripts: the CPU library is in the package itself.
  (cd "$peers" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
    without "npm could not install onnxruntime-node; is the registry reachable?"
  cp "$here/onnx/package-lock.json" "$peers/installed-lock.json"
fi
(cd "$peers" && node -e 'require("onnxruntime-node")') || without "onnxruntime-node does not load"
cat >"$peers/onnx_peer" <<LAUNCHER
#!/bin/sh
exec node '$here/onnx/peer.mjs' --modules '$(cd "$peers" && pwd)' "\$@"
LAUNCHER
chmod +x "$peers/onnx_peer"
echo "peers: $peers/onnx_peer with onnxruntime-node $(cd "$peers" && node -p 'require("onnxruntime-node").env.versions.node')" >&2
