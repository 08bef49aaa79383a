#!/usr/bin/env bash
# Measures a grid in parts with GNU parallel and merges them: parallel.sh CONFIG SHARDS OUT
#
# OUT/part-i is a finished part, OUT/unfinished-i one that is not. Run again after any interruption: finished parts
# are left alone, unfinished ones go on from their journal. The merged report is in OUT/merged.
#
# One part at a time, because parts on one machine disturb each other's timings. Several machines that share OUT and
# have the same kvcast and the same CPUs: SSHLOGIN=node1,node2 ./parallel.sh grid.json 8 "$PWD/out", one part per node.
set -euo pipefail

if [ $# -ne 3 ] && [ $# -ne 4 ]; then
  echo "usage: $0 CONFIG SHARDS OUT" >&2
  exit 2
fi
config=$1 shards=$2 out=$3
kvcast=${KVCAST:-kvcast}

if [ $# -eq 4 ]; then  # called by parallel for one part
  part=$out/part-$4 unfinished=$out/unfinished-$4
  if [ -e "$part" ]; then exit 0; fi
  if [ -e "$unfinished/journal.jsonl" ]; then
    "$kvcast" run --resume "$unfinished" --quiet >/dev/null
  else
    "$kvcast" run "$config" --shard "$4/$shards" -o "$unfinished" --quiet >/dev/null
  fi
  mv "$unfinished" "$part"  # only after exit 0: every check passed
  exit 0
fi

mkdir -p "$out"
where=()
if [ -n "${SSHLOGIN:-}" ]; then where=(--sshlogin "$SSHLOGIN" --workdir "$PWD" --env KVCAST); fi
script=$(realpath "$0")
seq 1 "$shards" | parallel --quote --jobs 1 "${where[@]}" bash "$script" "$config" "$shards" "$out" {}

parts=()
for ((i = 1; i <= shards; ++i)); do parts+=("$out/part-$i"); done
"$kvcast" merge "${parts[@]}" -o "$out/merged" --force
