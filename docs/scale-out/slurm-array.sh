#!/usr/bin/env bash
# Measures a grid in parts as a Slurm job array, one part per node:
#
#   id=$(sbatch --parsable --array=1-8 slurm-array.sh grid.json 8 out)
#   sbatch --dependency=afterok:"$id" --wrap 'kvcast merge out/part-* -o out/merged'
#
# Set --cpus-per-task to the CPUs of a node, and run.threads in the config to the same. --constraint keeps the array on
# one kind of node. OUT is on a file system that all nodes see. OUT/part-i is a finished part, OUT/unfinished-i one that
# is not. Submit again after a time limit or a failure: finished parts are left alone, unfinished ones go on from their
# journal.
#SBATCH --job-name=kvcast
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --time=00:30:00
#SBATCH --requeue
#SBATCH --output=kvcast-%A_%a.log
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: sbatch --array=1-SHARDS $0 CONFIG SHARDS OUT" >&2
  exit 2
fi
config=$1 shards=$2 out=$3
index=${SLURM_ARRAY_TASK_ID:?not an array job: sbatch --array=1-$shards}
kvcast=${KVCAST:-kvcast}

part=$out/part-$index unfinished=$out/unfinished-$index
if [ -e "$part" ]; then exit 0; fi
mkdir -p "$out"
# srun: the process, not this shell, gets SIGTERM at the time limit, and saves what it has.
if [ -e "$unfinished/journal.jsonl" ]; then
  srun --cpus-per-task="$SLURM_CPUS_PER_TASK" "$kvcast" run --resume "$unfinished" --quiet
else
  srun --cpus-per-task="$SLURM_CPUS_PER_TASK" "$kvcast" run "$config" --shard "$index/$shards" -o "$unfinished" --quiet
fi
mv "$unfinished" "$part"  # only after exit 0: every check passed
