"""`xsfm.spark.prepare`: the stages of a preparation as jobs of Spark."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from .._xsfm import Preparation, XsfmError, prepare_answer, prepare_folders
from . import _machines
from ._machines import NONE, RESULTS, Tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_Path = Union[str, "PathLike[str]"]
# Data sets that are read without a description; the others by their files' names.
_SETS = {"criteo", "recsys2020", "avazu", "movielens", "libffm"}
_FORMATS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json"}
# Of tasks that count together one set of counts goes on: so few that they have much in common, so many that all cores
# are busy to the end.
_TASKS_OF_CORE = 2
# Where Spark does not tell its cores, as Spark Connect.
_CORES = 16


def prepare(
    spark: SparkSession,
    source: Union[_Path, Sequence[_Path], DataFrame],
    schema: _Path,
    out: _Path,
    *,
    format: Optional[str] = None,
    rows_per_piece: Optional[int] = None,
    hash: Optional[Mapping[str, int]] = None,
    strict: bool = False,
    **flags: Any,
) -> dict[str, Any]:
    """Prepare a data set on a cluster: the files that `xsfm-train prepare` writes, byte for byte; gives prepare.json.

    source: paths of files, folders or patterns, which all machines see; they are read by this project's own readers.
    Or a frame of Spark, whose rows are kept as Parquet in out while they are prepared, in the order of its partitions.
    schema: `criteo`, `recsys2020`, `avazu`, `movielens` or `libffm`, or the path of a description (`schema.toml`).
    out: the folder to write to, which all machines see.
    format: `csv`, `json` or `parquet`, where there is a description; by default as the files are named.
    rows_per_piece: rows of a task, at least.
    hash, strict and others: flags of `xsfm-train prepare`: min_count=10, split="random", shares="80:10:10", seed=2,
    split_file=…, extend=…, max_bad=0.02, label="like".

    Raises XsfmError for what is wrong with the data or the flags; out is then as it was.
    """
    if hasattr(source, "schema") and hasattr(source, "write"):
        # Spark promises no order of a frame's rows, nor the same ones when they are computed again. Files stay.
        rows = Path(_absolute(out)) / f".rows-{uuid.uuid4().hex}"
        source.write.parquet(rows.as_uri())
        try:
            settings = {"format": "parquet", "rows_per_piece": rows_per_piece, "hash": hash, "strict": strict, **flags}
            return prepare(spark, rows, schema, out, **settings)
        finally:
            shutil.rmtree(rows, ignore_errors=True)
    paths = [_absolute(path) for path in ([source] if isinstance(source, (str, PathLike)) else source)]
    words: list[str] = []
    if fspath(schema) in _SETS:
        words += [fspath(schema), "--source", *paths]
    else:
        kind = format or _FORMATS.get(Path(paths[0].removesuffix(".gz")).suffix, "csv")
        words += [kind, "--input", *paths, "--schema", _absolute(schema)]
    words += ["--out", _absolute(out)]
    flags |= {"hash": hash, "strict": strict, "rows_per_piece": rows_per_piece}
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            words += [word for field, number in value.items() for word in (flag, f"{field}={number}")]
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, _absolute(value) if name in ("extend", "split_file") else str(value)]
    reports = [_prepare(spark, words, number, show=False) for number in range(prepare_folders(words))]
    return reports[0] if len(reports) == 1 else {"folders": reports}


def main() -> None:
    """The program `xsfm-prepare-spark`: the words of `xsfm-train prepare`, in the session that the environment gives."""
    words = sys.argv[1:]
    answer = prepare_answer(words)
    if answer is not None:
        text, status = answer
        print(text, end="", file=sys.stderr if status else sys.stdout)
        raise SystemExit(status)
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("xsfm-prepare-spark").getOrCreate()
    try:
        for number in range(prepare_folders(words)):
            _prepare(spark, words, number, show=True)
    except (XsfmError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        spark.stop()


def _absolute(path: _Path) -> str:
    """The path for machines that have other working folders."""
    return str(Path(fspath(path)).absolute())


def _prepare(spark: SparkSession, words: list[str], number: int, *, show: bool) -> dict[str, Any]:
    preparation = Preparation(words, number)
    try:
        while (stage := preparation.stage()) is not None:
            name, tasks, has_counts = stage
            _run(spark, preparation, name, Tasks(str(preparation.folder), tasks), has_counts)
        if show:
            preparation.show()
        return preparation.report()
    finally:
        preparation.close()


def _run(spark: SparkSession, preparation: Preparation, name: str, tasks: Tasks, has_counts: bool) -> None:
    """Runs a stage: a partition for each task, or for some that count together."""
    partitions = min(tasks.count, _TASKS_OF_CORE * _cores(spark)) if has_counts else tasks.count
    _describe(spark, f"xsfm prepare: {name}")
    numbers = spark.range(0, tasks.count, 1, numPartitions=partitions)
    if has_counts:
        counted = numbers.mapInArrow(functools.partial(_machines.count, tasks), RESULTS)
        shared = counted.repartition(partitions, "share")
        found = shared.mapInArrow(functools.partial(_machines.add, tasks), RESULTS)
    else:
        found = numbers.mapInArrow(functools.partial(_machines.run, tasks), RESULTS)
    results: dict[int, bytes] = {}
    for batch in found.toArrow().to_batches():
        for number, value in zip(batch.column("number").to_pylist(), batch.column("bytes")):
            if number == NONE:
                preparation.take_counts(value.as_buffer().to_pybytes())
            else:
                results[number] = value.as_py()
    preparation.take([results[number] for number in sorted(results)])


def _describe(spark: SparkSession, what: str) -> None:
    with contextlib.suppress(Exception):  # Spark Connect, which has no context, raises one of several of its own.
        spark.sparkContext.setJobDescription(what)


def _cores(spark: SparkSession) -> int:
    with contextlib.suppress(Exception):
        return spark.sparkContext.defaultParallelism
    return _CORES
