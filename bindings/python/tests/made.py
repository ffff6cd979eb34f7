"""Data sets and models that tests make: raw rows in every format, checkpoints of random numbers."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

SCHEMA = """
delimiter = ";"
min_count = 2
weight = "cost"

[label]
column = "stars"
at_least = 4

[[fields]]
name = "user"
kind = "categorical"

[[fields]]
name = "hour"
column = "when"
kind = "categorical"
bytes = [11, 13]

[[fields]]
name = "day"
column = "when"
kind = "numeric"
bytes = [8, 10]

[[fields]]
name = "tags"
kind = "bag"
separator = "/"
max_bag = 2
keep = "last"

[[fields]]
name = "price"
kind = "numeric"

[[fields]]
name = "price by bounds"
column = "price"
kind = "numeric"
bounds = [-1, 0, 0.5, 12.25, 1e6]

[[fields]]
name = "price by quantiles"
column = "price"
kind = "numeric"
quantiles = 12

[[fields]]
name = "price as a token"
column = "price"
kind = "categorical"

[[fields]]
name = "user by hash"
column = "user"
kind = "categorical"
buckets = 30

[[fields]]
name = "tags by hash"
column = "tags"
kind = "bag"
separator = "/"
buckets = 20
seed = 7

[[fields]]
name = "hour of time"
column = "when"
kind = "categorical"
time = "hour"

[[fields]]
name = "weekday"
column = "when"
kind = "categorical"
time = "weekday"
"""


def rows(count: int, seed: int) -> list[dict[str, object]]:
    """Raw rows as dicts: `price` is None, an integer or a fraction."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        user = int(rng.integers(40)) * int(rng.integers(3))
        hour = int(rng.integers(24))
        price = [None, int(rng.integers(-3, 4)), round(float(rng.random()) * 90, 2), int(rng.integers(2000))]
        made.append(
            {
                "user": f"u;{user}",
                "when": f"2026-03-{1 + user % 28:02}T{hour:02}:00:00",
                "tags": [f"täg {int(rng.integers(12))}" for _ in range(int(rng.integers(4)))],
                "price": price[int(rng.integers(4))],
                "stars": (user * 7 + hour) % 6,
                "cost": 1.5,
            }
        )
    return made


def csv(made: list[dict[str, object]]) -> str:
    lines = ["stars;cost;user;when;tags;price"]
    for row in made:
        price = "" if row["price"] is None else row["price"]
        lines.append(f'{row["stars"]};1.5;"{row["user"]}";{row["when"]};{"/".join(row["tags"])};{price}')
    return "\n".join(lines) + "\n"


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """A safetensors file of f32."""
    head, data = {}, b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def checkpoint(
    folder: Path,
    fields: list[tuple[str, int, bool]],
    seed: int,
    dim: int = 4,
    hidden: int = 8,
    weighted: Collection[str] = (),
) -> None:
    """A checkpoint folder of every part, with random numbers. fields: name, features, whether a bag."""
    rng = np.random.default_rng(seed)
    real = lambda *shape: rng.uniform(-0.6, 0.6, shape)  # noqa: E731
    count = len(fields)
    config = {
        "version": 1,
        "fields": [
            {
                "name": name,
                "features": features,
                "bag": bag,
                "weighted": name in weighted,
                "embedding": {"kind": "full"},
            }
            for name, features, bag in fields
        ],
        "embed_dim": dim,
        "feature_weight": True,
        "field_vector": True,
        "interaction": "field_weighted",
        "mlp": {"hidden": [hidden], "batch_norm": False} if hidden else None,
    }
    tensors = {"bias": real(1), "field_vector": real(count, dim), "field_matrix": real(count, count)}
    for f, (_, features, _) in enumerate(fields):
        tensors[f"embedding.{f}.full"] = real(features, dim)
        tensors[f"feature_weight.{f}"] = real(features)
    if hidden:
        tensors["mlp.0.weight"], tensors["mlp.0.bias"] = real(hidden, count * dim), real(hidden)
        tensors["mlp.1.weight"], tensors["mlp.1.bias"] = real(1, hidden), real(1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_tensors(folder / "weights.safetensors", tensors)


def run(*words: object) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout.decode()


def program(variable: str) -> Path:
    """A program that an environment variable names; `cargo xtask test python` sets it."""
    name = os.environ.get(variable)
    if name is None:
        pytest.skip(f"NOT TESTED: {variable} does not name a program (cargo xtask test python sets it)")
    return Path(name)


def features(field: dict) -> int:
    """How many features a field of a schema.json has."""
    encoding = field.get("encoding", {})
    if "hash" in encoding:
        return encoding["hash"]["buckets"] + 1
    if "value" in encoding:
        return 2
    return len(encoding.get("interpolated", field["vocabulary"])) + 1


def has_weights(field: dict) -> bool:
    """Whether the indices of a field of a schema.json have weights."""
    encoding = field.get("encoding", {})
    return "weights" in field or "value" in encoding or "interpolated" in encoding


def packed(folder: Path, xsfm: Path, description: str, rows: str, modes: list[str]) -> None:
    """Prepares the rows of a CSV in folder/data, and packs a checkpoint of random numbers as folder/MODE.xsfm."""
    (folder / "rows.toml").write_text(description)
    (folder / "rows.csv").write_text(rows, encoding="utf-8")
    data, train = folder / "data", program("XSFM_TRAIN")
    run(train, "prepare", "csv", "--input", folder / "rows.csv", "--schema", folder / "rows.toml", "--out", data)
    schema = json.loads((data / "schema.json").read_text())
    weighted = [field["name"] for field in schema["fields"] if has_weights(field)]
    fields = [
        (field["name"], features(field), field["kind"] == "bag" or field["name"] in weighted)
        for field in schema["fields"]
    ]
    checkpoint(folder / "run", fields, seed=3, weighted=weighted)
    shutil.copy(data / "schema.json", folder / "run" / "schema.json")
    for mode in modes:
        calibrated = ["--rows", data / "valid.arrow"] if mode == "int8" else []
        kept = ["--fingerprint-bits", "24", "-o", folder / f"{mode}.xsfm"]
        run(xsfm, "pack", folder / "run", "--mode", mode, *calibrated, *kept)


def scores(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities that `xsfm score` printed, float32: their digits restore the bits."""
    pairs = [line.split("\t") for line in text.splitlines()]
    logits, probabilities = zip(*pairs)
    return np.array(logits, dtype=np.float32), np.array(probabilities, dtype=np.float32)


KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BOOL": "?"}


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    head, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    head.pop("__metadata__", None)
    return {
        name: np.frombuffer(data[slice(*told["data_offsets"])], dtype=KINDS[told["dtype"]]).reshape(told["shape"])
        for name, told in head.items()
    }
