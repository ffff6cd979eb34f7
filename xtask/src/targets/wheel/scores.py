"""The logits of a CSV's rows, by the package that is installed: one a line."""

import csv
import sys

import xsfm

with open(sys.argv[2], encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
for row in rows:
    row["genres"] = row["genres"].split("|") if row["genres"] else []
print(*xsfm.Model.load(sys.argv[1]).predict(rows, raw_score=True), sep="\n")
