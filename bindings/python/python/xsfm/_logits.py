"""A teacher's logits as a file that `xsfm-train distill --teacher-logits` reads."""

from __future__ import annotations

import io
import os
import warnings
from os import PathLike, fspath
from typing import Any, Callable, Optional, Union

import numpy as np

from . import _arrays, _xsfm
from ._xsfm import XsfmError

Path = Union[str, "PathLike[str]"]

# Numbers of rows, where they are given, and logits: the bytes of a file.
_Writer = Callable[[Optional[np.ndarray], np.ndarray], bytes]


def write_logits(path: Path, logits: Any, *, ids: Optional[Any] = None) -> None:
    """Write the logits of a teacher, one for each training row: what `xsfm-train distill --teacher-logits PATH` reads.

    path: ends in .npz, .npy, .safetensors, .parquet, .csv or .tsv. The file appears whole or not at all.
    logits: log-odds, not probabilities; an array, list or tensor of shape (rows,) or (rows, 1), kept in 32 bits.
    ids: the numbers of their training rows, from 0, where they are in another order than `train.arrow`: integers of
        shape (rows,), each row once. A .npy has no place for them.

    Warns where all are between 0 and 1, as probabilities are.
    Raises XsfmError of anything else, with the row and the two numbers that disagree, OSError of a file that cannot be
    written.
    """
    name = fspath(path)
    ending = os.path.splitext(name)[1].lower()
    writer = _WRITERS.get(ending)
    if writer is None:
        raise XsfmError(f"{name}: ends in {ending!r}, one of {', '.join(_WRITERS)} expected")
    if ids is not None and ending == ".npy":
        raise XsfmError(f"{name}: one array has no place for ids; choose .npz")
    numbers = _logits(name, logits)
    rows = None if ids is None else _rows(name, ids, len(numbers))
    if len(numbers) > 1 and numbers.min() >= 0 and numbers.max() <= 1:
        warnings.warn(f"{name}: all logits are between 0 and 1: are they probabilities?", stacklevel=2)
    _xsfm.write_bytes(name, writer(rows, numbers))


def _logits(name: str, logits: Any) -> np.ndarray:
    given = _arrays.array(logits)
    if given.dtype.kind not in "fiu":
        raise XsfmError(f"{name}: logits of type {given.dtype}, real numbers expected")
    if given.ndim not in (1, 2) or given.shape[1:] not in ((), (1,)):
        raise XsfmError(f"{name}: logits of shape {given.shape}, (rows,) or (rows, 1) expected")
    if not given.size:
        raise XsfmError(f"{name}: no logits")
    given = given.reshape(-1)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(given, dtype=np.float32)
    unfit = ~np.isfinite(numbers)
    if unfit.any():
        row = int(unfit.argmax())
        raise XsfmError(f"{name}: row {row}: the logit is {given[row]}, not a finite number of 32 bits")
    return numbers


def _rows(name: str, ids: Any, count: int) -> np.ndarray:
    """Each of 0 to count once."""
    given = _arrays.array(ids)
    if given.dtype.kind not in "iu":
        raise XsfmError(f"{name}: ids of type {given.dtype}, integers expected")
    if given.shape != (count,):
        raise XsfmError(f"{name}: ids of shape {given.shape}, but {count} logits")
    outside = (given < 0) | (given >= count)
    if outside.any():
        entry = int(outside.argmax())
        what = f"entry {entry} is of row {given[entry]}, but {count} logits are of rows 0 to {count - 1}"
        raise XsfmError(f"{name}: {what}")
    rows = np.ascontiguousarray(given, dtype=np.int64)
    first = np.full(count, -1, dtype=np.int64)
    # Of equal ones the last is kept: whoever is not kept is there again.
    first[rows] = np.arange(count)
    again = first[rows] != np.arange(count)
    if again.any():
        entry = int(again.argmax())
        raise XsfmError(f"{name}: row {rows[entry]} has two logits, in entries {entry} and {first[rows[entry]]}")
    return rows


def _npy(rows: Optional[np.ndarray], logits: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, logits)
    return file.getvalue()


def _npz(rows: Optional[np.ndarray], logits: np.ndarray) -> bytes:
    file = io.BytesIO()
    if rows is None:
        np.savez(file, logits=logits)
    else:
        np.savez(file, row=rows, logits=logits)
    return file.getvalue()


def _safetensors(rows: Optional[np.ndarray], logits: np.ndarray) -> bytes:
    named = {"logits": logits} if rows is None else {"row": rows, "logits": logits}
    return _xsfm.safetensors_bytes([_arrays.tensor(name, values) for name, values in named.items()])


def _text(delimiter: str) -> _Writer:
    def written(rows: Optional[np.ndarray], logits: np.ndarray) -> bytes:
        # The digits that tell a float32 from its neighbours.
        cells = [map(str, logits)] if rows is None else [map(str, rows), map(str, logits)]
        names = ["logit"] if rows is None else ["row", "logit"]
        lines = [delimiter.join(names), *map(delimiter.join, zip(*cells))]
        return ("\n".join(lines) + "\n").encode()

    return written


_WRITERS: dict[str, _Writer] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".parquet": _xsfm.parquet_bytes,
    ".csv": _text(","),
    ".tsv": _text("\t"),
}
