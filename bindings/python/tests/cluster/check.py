"""Preparation and scoring on a real cluster against one machine: the same bytes, though workers are killed.

    XSFM=… XSFM_TRAIN=… python tests/cluster/check.py [--rows 2000000] [--measure]

`cargo xtask test spark` runs it. With --measure it tells rates and memory; the programs are to be those of a release.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from pyspark.sql import SparkSession

sys.path.insert(0, str(Path(__file__).parents[1]))

import made  # noqa: E402
import xsfm  # noqa: E402
import xsfm.spark  # noqa: E402
from machines import Cluster, Memory, processor_seconds  # noqa: E402
from xsfm.spark import _prepare  # noqa: E402

PARTS = 16
FIXTURES = Path(__file__).parents[4] / "tests" / "fixtures"
REVIEWS = """
min_count = 3

[label]
column = "Recommended IND"

[[fields]]
name = "Clothing ID"
kind = "categorical"

[[fields]]
name = "Age"
kind = "numeric"
quantiles = 9

[[fields]]
name = "Class Name"
kind = "categorical"

[[fields]]
name = "Review Text"
kind = "bag"
separator = " "
max_bag = 40
"""


class Bench:
    """One machine and another engine beside each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train, self.xsfm = made.program("XSFM_TRAIN"), made.program("XSFM")
        self.number = 0

    def prepare_alone(self, *words: object) -> tuple[Path, float]:
        self.number += 1
        out = self.folder / f"alone-{self.number}"
        start = time.monotonic()
        made.run(self.train, "prepare", *words, "--out", out, "--threads", "2")
        return out, time.monotonic() - start

    def compare(self, alone: Path, prepare: Callable[[Path], Any], what: str) -> float:
        """Prepares on the cluster, and compares all files; gives the seconds that it took."""
        out = self.folder / "together"
        start = time.monotonic()
        prepare(out)
        took = time.monotonic() - start
        names = sorted(path.name for path in out.iterdir())
        wanted = sorted(path.name for path in alone.iterdir())
        assert names == wanted, f"{what}: {names}, {wanted} expected"
        for name in wanted:
            assert subprocess.run(["cmp", alone / name, out / name]).returncode == 0, f"{what}: {name}"
        size = sum((out / name).stat().st_size for name in names)
        tell(f"{what}: {len(names)} files of {size} bytes in all, equal; {took:.1f} s")
        made.run("rm", "-r", out)
        return took


def tell(text: str) -> None:
    print(text, flush=True)


def criteo(bench: Bench, rows: int) -> Path:
    """Planted rows of Criteo's columns in parts, one of them gzip and one with malformed rows."""
    made.run(bench.train, "generate", "--rows", rows, "--out", bench.folder / "planted")
    parts = bench.folder / "parts"
    parts.mkdir(exist_ok=True)
    planted = bench.folder / "planted" / "rows.tsv"
    with planted.open("rb") as lines:
        for part in range(PARTS):
            path = parts / f"day_{part}.gz" if part == 3 else parts / f"day_{part}"
            with gzip.open(path, "wb", compresslevel=1) if part == 3 else path.open("wb") as file:
                for number in range(part * rows // PARTS, (part + 1) * rows // PARTS):
                    line = lines.readline()
                    if part == 9 and number % 500 == 0:
                        line = line.replace(b"\t", b"\tx", 1)
                    file.write(line)
    planted.unlink()
    return parts


def killing(cluster: Cluster, stage: str, seconds: float) -> Callable[[], list[int]]:
    """Kills a worker so many seconds after a stage has begun; gives a function that puts things right again, and tells
    which processes were killed amid of the stage."""
    run, killed = _prepare._run, []

    def watched(spark: SparkSession, preparation: Any, name: str, *rest: Any) -> None:
        if name != stage or killed:
            return run(spark, preparation, name, *rest)
        # Once the machines have begun with it, whatever that takes.
        ended = threading.Event()

        def kill() -> None:
            tracker = spark.sparkContext.statusTracker()
            while not ended.wait(0.02):
                stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
                if any(found is not None and found.numActiveTasks > 0 for found in stages):
                    break
            if not ended.wait(seconds):
                killed.append(cluster.kill_worker())

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            run(spark, preparation, name, *rest)
        finally:
            ended.set()
            killer.join()

    _prepare._run = watched

    def restore() -> list[int]:
        _prepare._run = run
        if killed:
            cluster.add_worker()
        return killed

    return restore


def check_criteo(bench: Bench, cluster: Cluster, spark: SparkSession, rows: int) -> tuple[Path, Path]:
    parts = criteo(bench, rows)
    words = ["criteo", "--source", parts]
    alone, _ = bench.prepare_alone(*words)
    together = lambda out, **flags: xsfm.spark.prepare(spark, parts, "criteo", out, **flags)  # noqa: E731
    bench.compare(alone, together, f"{rows} rows of Criteo's columns")
    of_pieces = lambda out: together(out, rows_per_piece=max(1000, rows // 100))  # noqa: E731
    bench.compare(alone, of_pieces, "the same in smaller pieces")
    random, _ = bench.prepare_alone(*words, "--split", "random", "--min-count", "2", "--hash", "C3=1000")
    flags = {"split": "random", "min_count": 2, "hash": {"C3": 1000}}
    bench.compare(random, lambda out: together(out, **flags), "at random, a field hashed")
    for stage in ["count", "encode"]:
        restore = killing(cluster, stage, 0.2)
        try:
            bench.compare(alone, together, f"a worker killed in the stage {stage}")
        finally:
            killed = restore()
        assert killed, f"the stage {stage} ended before a worker was killed"
        tell(f"killed: process {killed[0]}")
    return parts, alone


def check_others(bench: Bench, spark: SparkSession, movielens: Optional[Path], reviews: Optional[Path]) -> None:
    raw = FIXTURES / "raw-values"
    alone, _ = bench.prepare_alone("csv", "--input", raw / "clicks.csv", "--schema", raw / "clicks.toml")
    prepare = lambda out: xsfm.spark.prepare(spark, raw / "clicks.csv", raw / "clicks.toml", out)  # noqa: E731
    bench.compare(alone, prepare, "a CSV")
    if movielens is not None:
        for split in ["random", "chronological"]:
            alone, _ = bench.prepare_alone("movielens", "--source", movielens, "--split", split)
            prepare = lambda out: xsfm.spark.prepare(spark, movielens, "movielens", out, split=split)  # noqa: E731
            bench.compare(alone, prepare, f"MovieLens-100K, {split}")
    if reviews is not None:
        schema = bench.folder / "reviews.toml"
        schema.write_text(REVIEWS)
        alone, _ = bench.prepare_alone("parquet", "--input", reviews, "--schema", schema)
        bench.compare(alone, lambda out: xsfm.spark.prepare(spark, reviews, schema, out), "reviews, as Parquet")
        # A frame, whose rows Spark writes as Parquet: in one partition in their order.
        frame = spark.read.parquet(str(reviews)).coalesce(1)
        out = bench.folder / "of-frame"
        report = xsfm.spark.prepare(spark, frame, schema, out)
        for name in ["schema.json", "train.arrow", "valid.arrow", "test.arrow"]:
            assert subprocess.run(["cmp", alone / name, out / name]).returncode == 0, f"a frame: {name}"
        tell(f"the same as a frame of Spark: {report['train']['rows']} training rows, equal")
    try:
        xsfm.spark.prepare(spark, raw / "clicks.csv", raw / "clicks.toml", bench.folder / "refused", shares="1:2:3")
        raise AssertionError("shares of 6 % in all are refused")
    except xsfm.XsfmError as error:
        assert "add up to" in str(error), error
    assert not (bench.folder / "refused").exists()


def student(bench: Bench, data: Path) -> Path:
    """A packed model of random numbers for prepared rows."""
    schema = json.loads((data / "schema.json").read_text())
    weighted = [field["name"] for field in schema["fields"] if made.has_weights(field)]
    fields = [
        (field["name"], made.features(field), field["kind"] == "bag" or field["name"] in weighted)
        for field in schema["fields"]
    ]
    run = bench.folder / "run"
    made.checkpoint(run, fields, seed=3, dim=8, hidden=64, weighted=weighted)
    (run / "schema.json").write_bytes((data / "schema.json").read_bytes())
    packed = bench.folder / "model.xsfm"
    made.run(bench.xsfm, "pack", run, "--mode", "int8", "--rows", data / "valid.arrow", "-o", packed)
    return packed


def bits(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32).view(np.uint32)


def frame(spark: SparkSession, parts: list[str]) -> Any:
    """Criteo's lines as Spark reads them: the label, 13 numbers, 26 texts."""
    names = ["label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
    columns = ", ".join(f"{name} string" for name in names)
    return spark.read.csv(parts, sep="\t", schema=columns, nullValue="\x01", emptyValue="", quote="")


def check_scores(bench: Bench, spark: SparkSession, data: Path) -> None:
    """Of rows in a known order, and the best of each context."""
    model = xsfm.Model.load(student(bench, data))
    part = bench.folder / "parts" / "day_1"
    made.run("sh", "-c", f"head -n 20000 {part} > {bench.folder / 'rows.tsv'}")
    alone, _ = made.scores(made.run(bench.xsfm, "score", bench.folder / "model.xsfm", "--raw", bench.folder / "rows.tsv"))
    rows = frame(spark, [str(bench.folder / "rows.tsv")]).coalesce(1).selectExpr("*", "monotonically_increasing_id() as row")
    scored = xsfm.spark.score(rows.repartition(7), model, raw_score=True).select("row", "score").toArrow().sort_by("row")
    assert np.array_equal(bits(scored["score"]), bits(alone)), "scores"
    tell(f"{len(alone)} scores: the bits of `xsfm score`")

    context = ["I1", "C6", "C9"]
    best = xsfm.spark.score(rows, model, context, 3, raw_score=True)
    found = best.select(*context, "row", "score", "rank").toArrow().to_pylist()
    groups: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    table = rows.select("row", *context).toArrow().to_pylist()
    for row in table:
        key = tuple(row[name] for name in context)
        groups.setdefault(key, []).append((-float(alone[row["row"]]), row["row"]))
    of_cluster: dict[tuple[Any, ...], list[float]] = {}
    for row in sorted(found, key=lambda row: row["rank"]):
        assert bits(row["score"]) == bits(alone[row["row"]]), row
        of_cluster.setdefault(tuple(row[name] for name in context), []).append(row["score"])
    plain = {key: [-score for score, _ in sorted(rows)[:3]] for key, rows in groups.items()}
    assert of_cluster == plain, "the best of each context"
    tell(f"the best 3 rows of each of {len(plain)} contexts: the bits of their own scores")


def measure(bench: Bench, spark: SparkSession, rows: int, parts: Path, data: Path) -> None:
    """Rows by the processors' time: what other programs of this machine take of its cores changes little of it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    alone, took_alone = bench.prepare_alone("criteo", "--source", parts)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_alone = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    begun = processor_seconds()
    with Memory() as memory:
        took = bench.compare(alone, lambda out: xsfm.spark.prepare(spark, parts, "criteo", out), "measured")
    of_cluster = {role: seconds - begun.get(role, 0.0) for role, seconds in processor_seconds().items()}
    in_all = sum(of_cluster.values())
    tell(f"prepare of {rows} rows: {of_alone:.1f} s of processors alone ({took_alone:.1f} s with 2 threads); on the cluster "
         f"{json.dumps({role: round(seconds, 1) for role, seconds in of_cluster.items()})} ({took:.1f} s with 2 workers)")
    tell(f"rows a second of processors: {rows / of_alone:.0f} alone, {rows / in_all:.0f} on the cluster ({of_alone / in_all:.0%})")
    tell("memory, MB: " + ", ".join(f"{role} {most:.0f}" for role, most in sorted(memory.most.items())))

    packed = student(bench, data)
    told = json.loads(made.run(bench.xsfm, "bench", packed, "--raw", parts / "day_1", "--json"))
    tell(f"xsfm bench --raw: {json.dumps(told)}")
    whole = [str(parts / f"day_{part}") for part in range(PARTS) if part not in (3, 9)]
    scored = xsfm.spark.score(frame(spark, whole).drop("label"), packed, raw_score=True)
    scored.selectExpr("sum(score)").collect()
    begun, start = processor_seconds(), time.monotonic()
    count = scored.selectExpr("count(score)", "sum(score)").collect()[0][0]
    took, ended = time.monotonic() - start, processor_seconds()
    seconds = {role: round(ended[role] - begun.get(role, 0.0), 2) for role in ended}
    tell(f"score of {count} rows, read by Spark from text: {took:.1f} s; of processors {json.dumps(seconds)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--movielens", type=Path)
    parser.add_argument("--reviews", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cluster = Cluster(folder, 2)
        try:
            bench = Bench(folder)
            with cluster.session() as spark:
                parts, data = check_criteo(bench, cluster, spark, asked.rows)
                check_others(bench, spark, asked.movielens, asked.reviews)
                check_scores(bench, spark, data)
                if asked.measure:
                    measure(bench, spark, asked.rows, parts, data)
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
