"""What the drivers have in common: flags, the rows as our program encoded them, and the logits that it measures.

Every driver trains one model with one strength of L2 and one seed, keeps the epoch with the best AUC on the validation rows, and writes
valid.logits and test.logits. None of them measures what is reported.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

PARTS = ["train", "valid", "test"]


def arguments(models):
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, type=Path, help="folder that `xsfm-train prepare` wrote")
    parser.add_argument("--out", required=True, type=Path, help="folder for the logits")
    parser.add_argument("--model", required=True, choices=models)
    parser.add_argument("--l2", required=True, type=float)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--epochs", required=True, type=int)
    parser.add_argument("--threads", required=True, type=int)
    return parser.parse_args()


@dataclass
class Field:
    name: str
    tokens: list
    is_bag: bool
    size: int
    # By part: [rows], or [rows, longest bag] with 0 where a bag has ended. Index 0 of a bag's table is therefore free.
    columns: dict


@dataclass
class Rows:
    fields: list
    labels: dict


def read(folder):
    tables = {part: pa.ipc.open_file(folder / f"{part}.arrow").read_all() for part in PARTS}
    labels = {part: table["label"].to_numpy() for part, table in tables.items()}
    fields = []
    for field in json.loads((folder / "schema.json").read_text())["fields"]:
        name, is_bag = field["name"], field["kind"] == "bag"
        columns = {part: column(table[name].combine_chunks(), is_bag) for part, table in tables.items()}
        size = 1 + max(int(values.max(initial=0)) for values in columns.values())
        fields.append(Field(name, field.get("vocabulary") or [], is_bag, size, columns))
    return Rows(fields, labels)


def column(values, is_bag):
    if not is_bag:
        return values.to_numpy(zero_copy_only=False).astype("i8")
    ends = values.offsets.to_numpy().astype("i8")
    lengths = np.diff(ends)
    padded = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), "i8")
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = values.flatten().to_numpy().astype("i8") + 1
    return padded


def write(folder, logits):
    """valid.logits and test.logits, the last one last: whoever finds it has both."""
    for part in ["valid", "test"]:
        path = folder / f"{part}.logits"
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(f"{value:.9g}\n" for value in logits[part]))
        temporary.replace(path)


def logits_of(probabilities):
    """Sigmoids in f32 round to 0 and 1: as far from them as f32 goes."""
    p = np.clip(np.asarray(probabilities, "f8"), 1e-7, 1 - 1e-7)
    return np.log(p) - np.log1p(-p)
