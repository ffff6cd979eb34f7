"""Calls from Python: one row beside ONNX Runtime and LiteRT, and many rows on one thread and on two.

    cargo xtask bench-peers --quick --no-record         # leaves the models in target/peers
    pip install bindings/python onnxruntime ai-edge-litert
    python bindings/python/benches/peers.py target/peers/64

Every engine has the same weights (benches/README.md) and gets a row as an array of numpy that it takes as it is: int64, for
LiteRT int32. In the clock is the call, from the array to the logit as a number of Python. Engines take turns in one process, each on
one thread; a figure is the median over the rounds of a round's mean. Answers are compared before anything is timed: of f32 with
each other, of int8 by their correlation with those. Quote ratios of one run on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Callable

import numpy as np

import xsfm

# How far f32 logits may be from each other, and int8 logits from them.
F32_ERROR = 1e-3
INT8_CORRELATION = 0.98
# What a call of one row shall be, and of two threads.
LEAST_RATIO = 3.0
LEAST_SPEEDUP = 1.8

Call = Callable[[np.ndarray], float]


def ours(path: Path) -> tuple[type, Call]:
    model = xsfm.Model.load(path)
    return np.int64, lambda row: float(model.predict(row, raw_score=True)[0])


def onnxruntime(path: Path) -> tuple[type, Call]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.int64, lambda row: float(session.run(None, {name: row[None]})[0].ravel()[0])


def litert(path: Path) -> tuple[type, Call]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    given, found = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(given["index"], [1, given["shape"][-1]])
    interpreter.allocate_tensors()

    def call(row: np.ndarray) -> float:
        interpreter.set_tensor(given["index"], row[None])
        interpreter.invoke()
        return float(interpreter.get_tensor(found["index"]).ravel()[0])

    return np.int32, call


ENGINES = {
    "ours-f32": (ours, "f32.xsfm"),
    "ours-int8": (ours, "int8.xsfm"),
    "onnxruntime-f32": (onnxruntime, "model.onnx"),
    "onnxruntime-dynamic": (onnxruntime, "dynamic.onnx"),
    "onnxruntime-static": (onnxruntime, "static.onnx"),
    "litert-f32": (litert, "f32.tflite"),
    "litert-dynamic": (litert, "dynamic.tflite"),
    "litert-int8": (litert, "int8.tflite"),
}


def loaded(folder: Path) -> dict[str, tuple[type, Call]]:
    """The engines that are installed and have a file."""
    engines = {}
    for name, (load, file) in ENGINES.items():
        if not (folder / file).exists():
            print(f"NOTE: {name} is left out: {folder / file} is not there", file=sys.stderr)
            continue
        try:
            engines[name] = load(folder / file)
        except ImportError as error:
            print(f"NOTE: {name} is left out: {error}", file=sys.stderr)
    if not any(name.startswith("ours") for name in engines):
        sys.exit(f"{folder}: not a folder of `cargo xtask bench-peers`: no f32.xsfm and no int8.xsfm")
    return engines


def check(logits: dict[str, np.ndarray]) -> None:
    """Ends where an engine's answers are others."""
    wanted = logits["ours-f32"]
    for name, found in logits.items():
        error, correlation = np.abs(found - wanted).max(), np.corrcoef(found, wanted)[0, 1]
        if error > F32_ERROR if name.endswith("-f32") else correlation < INT8_CORRELATION:
            sys.exit(f"{name}: its logits are up to {error:.4g} from ours in f32, correlation {correlation:.4f}")


def one_row(engines: dict[str, tuple[type, Call]], rows: np.ndarray, rounds: int) -> dict[str, float]:
    """Microseconds of a call of one row."""
    given = {name: list(np.ascontiguousarray(rows, dtype=kind)) for name, (kind, _) in engines.items()}
    check({name: np.array([call(row) for row in given[name]]) for name, (_, call) in engines.items()})
    names, took = list(engines), {name: [] for name in engines}
    for turn in range(rounds):
        # Each round begins with another engine.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call, mine = engines[name][1], given[name]
            start = time.perf_counter()
            for row in mine:
                call(row)
            took[name].append((time.perf_counter() - start) / len(mine) * 1e6)
    return {name: statistics.median(times) for name, times in took.items()}


def two_threads(folder: Path, rows: np.ndarray, rounds: int) -> float:
    """How many times as fast two threads score as one."""
    model = xsfm.Model.load(folder / "int8.xsfm")
    many = np.tile(rows, (-(-200_000 // len(rows)), 1))
    out = {jobs: np.empty(len(many), dtype=np.float32) for jobs in (1, 2)}
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs, times in took.items():
            start = time.perf_counter()
            model.predict(many, n_jobs=jobs, out=out[jobs])
            times.append(time.perf_counter() - start)
    assert np.array_equal(out[1], out[2])
    return statistics.median(took[1]) / statistics.median(took[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a model's folder in target/peers")
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds {args.rounds}: at least 1")
    engines = loaded(args.folder)
    fields = len(xsfm.Model.load(args.folder / "int8.xsfm").fields)
    rows = np.fromfile(args.folder / "calibration.i64", dtype="<i8").reshape(-1, fields)
    us = one_row(engines, rows, args.rounds)
    speedup = two_threads(args.folder, rows, max(5, args.rounds // 5))
    others = {library: min((us[name] for name in us if name.startswith(library)), default=None) for library in ("onnxruntime", "litert")}
    ratios = {library: best / us["ours-int8"] for library, best in others.items() if best is not None}
    if args.json:
        print(json.dumps({"us_per_call": us, "fastest_over_ours": ratios, "two_threads": speedup, "cores": os.cpu_count()}))
        return
    print(f"{'engine':<22}{'us a call':>10}{'over ours-int8':>16}")
    for name, time_of_call in us.items():
        print(f"{name:<22}{time_of_call:>10.2f}{time_of_call / us['ours-int8']:>16.2f}")
    for library, ratio in ratios.items():
        print(f"the fastest of {library} takes {ratio:.2f} times as long; at least {LEAST_RATIO:g} is wanted")
    print(f"two threads are {speedup:.2f} times as fast as one; at least {LEAST_SPEEDUP:g} is wanted, of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
