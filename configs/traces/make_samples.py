#!/usr/bin/env python3
"""Makes the sample traces of this folder from the whole ones.

usage: make_samples.py FOLDER

FOLDER holds movietweetings_100k.csv and azure_llm_conv.csv, made from the sources that ATTRIBUTION.md names. The samples
are written beside this script; the same files give the same bytes.
"""
import csv
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Whole users, so that each comes back as often and as soon as in the whole log. The first rows of a log would hold few
# users that come back.
SHARE_OF_USERS = 50  # one in
MINUTES = 10


def sampled(user):
    return int.from_bytes(hashlib.sha256(user.encode()).digest()[:8], "big") % SHARE_OF_USERS == 0


def write(name, rows):
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{name}: {len(rows)} rows, {len({row['user_id'] for row in rows})} users")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    write("movietweetings.csv", [row for row in read(folder / "movietweetings_100k.csv") if sampled(row["user_id"])])
    conversations = read(folder / "azure_llm_conv.csv")
    end = int(conversations[0]["timestamp_ms"]) + MINUTES * 60_000
    write("azure_llm.csv", [row for row in conversations if int(row["timestamp_ms"]) < end])


if __name__ == "__main__":
    main()
