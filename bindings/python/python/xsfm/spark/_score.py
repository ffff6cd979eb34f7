"""`xsfm.spark.score`: scores of a frame's rows, or the best rows of each context."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Optional, Union

from .._xsfm import Model, XsfmError
from . import _scoring
from ._scoring import Shared

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def score(
    df: DataFrame,
    model: Union[Model, str, PathLike[str]],
    context: Optional[Sequence[str]] = None,
    k: Optional[int] = None,
    *,
    raw_score: bool = False,
    indices: Optional[str] = None,
    column: str = "score",
) -> DataFrame:
    """The rows with their scores, float, as a column behind the others.

    model: a packed model, or its path on the driver; its bytes go to each machine once.
    df: raw values by the names of their columns, as `Model.predict` takes them, among any others; or in the column
    `indices` an array of each row's indices, one of each field.
    context and k: of all rows with equal values in the columns `context`, the best k alone, best first, with their
    places from 0 in a column `rank`; a model's fields whose columns are in context add to the scores once for all of
    them. Rows with equal scores are in the order of their other columns.
    raw_score: log-odds in place of probabilities. In int8 mode both have the same bits on every machine, whatever its
    CPU.

    Raises XsfmError for columns that are missing; a row that does not fit the model ends the job when it runs.
    """
    loaded = model if isinstance(model, Model) else Model.load(model)
    columns = [field.column for field in loaded.fields]
    taken = {column} if k is None else {column, "rank"}
    if found := taken & set(df.columns):
        raise XsfmError(f"the rows have a column {sorted(found)[0]!r} already")
    if (context is None) != (k is None):
        raise XsfmError("context and k go together: the best k rows of each context")
    if indices is None and None in columns:
        raise XsfmError("packed without its vocabulary, so it takes indices alone; pack it anew, with its schema.json")
    wanted = list(dict.fromkeys(columns)) if indices is None else [indices]
    if missing := [name for name in [*wanted, *(context or ())] if name not in df.columns]:
        raise XsfmError(f"missing columns: {', '.join(map(repr, missing))}")
    schema = _ddl(df, f"{_quoted(column)} float")
    if k is None:
        given = _scoring.Given(_shared(df, loaded), wanted, indices is not None, raw_score, column)
        return df.mapInArrow(functools.partial(_scoring.each, given), schema)
    if indices is not None:
        raise XsfmError("context and k are for raw values, whose columns have names")
    if k < 1:
        raise XsfmError(f"k {k}, at least 1 expected")
    own = [name for name in wanted if name not in context]
    if not own:
        raise XsfmError("all of the model's columns are in the context: no row is better than another")
    given = _scoring.Given(_shared(df, loaded), own, False, raw_score, column)
    fields = [name for name in wanted if name in context]
    # A map has no order.
    sorted_by = [name for name, kind in df.dtypes if name not in context and not kind.startswith("map")]
    together = df.repartition(*map(_quoted, context)).sortWithinPartitions(*map(_quoted, [*context, *sorted_by]))
    best = functools.partial(_scoring.best, given, list(context), fields, k)
    return together.mapInArrow(best, _ddl(df, f"{_quoted(column)} float, rank int"))


def _ddl(df: DataFrame, more: str) -> str:
    """The columns of the result, all of which may be missing."""
    return ", ".join([*(f"{_quoted(name)} {kind}" for name, kind in df.dtypes), more])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _shared(df: DataFrame, model: Model) -> Shared:
    data = model.to_bytes()
    try:
        return Shared(df.sparkSession.sparkContext.broadcast(data), None)
    except Exception:  # Spark Connect, which has no broadcasts, raises one of several of its own.
        return Shared(None, data)
