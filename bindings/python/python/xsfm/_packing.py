"""Packing: the keywords of `xsfm pack` and `xsfm import`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _xsfm
from ._arrays import tensor
from ._xsfm import XsfmError

Path = Union[str, "PathLike[str]"]
# Rows to calibrate on: a file, or indices of shape (rows, fields).
Rows = Union[Path, npt.NDArray[np.integer[Any]]]


def asked(
    *,
    mode: str = "int8",
    rows: Optional[Rows] = None,
    table_bits: Optional[int] = None,
    rank: Optional[int] = None,
    target: str = "neutral",
    vocabulary: Optional[Path] = None,
    without_vocabulary: bool = False,
    fingerprint_bits: Optional[int] = None,
    renumber: bool = False,
    keep_tokens: bool = False,
) -> dict[str, Any]:
    """The keywords of packing, with what is meant where they are left out."""
    return dict(locals())


def pack(
    checkpoint: Path,
    output: Path,
    *,
    mode: str = "int8",
    rows: Optional[Rows] = None,
    table_bits: Optional[int] = None,
    rank: Optional[int] = None,
    target: str = "neutral",
    vocabulary: Optional[Path] = None,
    without_vocabulary: bool = False,
    fingerprint_bits: Optional[int] = None,
    renumber: bool = False,
    keep_tokens: bool = False,
) -> dict[str, Any]:
    """Pack a checkpoint folder (config.json, weights.safetensors, schema.json) to output.

    mode: `int8`, `dynamic` or `f32`.
    rows: to calibrate int8 or dynamic mode on, best validation rows: an Arrow file, a TSV of indices, or an array of
        them, of shape (rows, fields). int8 mode needs them unless the scales were trained.
    table_bits: bits of a number in the tables, 8 or 4; those of training by default.
    rank: so many factors in place of a weight for each pair of fields.
    target: the CPU that layers are laid out for: neutral, x86-64, aarch64, cortex-m, cortex-m4f, cortex-m55.
    vocabulary: the schema.json whose vocabulary is packed too; the checkpoint's own by default.
    without_vocabulary: leave it out; the packed model takes indices alone.
    fingerprint_bits: of each token, 0 to 24: one unseen token of 2^bits is taken for a known one; 10 by default.
    renumber: number the rows of full tables anew, which halves the vocabulary; the packed model takes raw values alone.
    keep_tokens: keep the tokens' text.

    Gives what `xsfm pack --json` prints: bytes, RAM, what calibration tried.
    Raises XsfmError where something does not go together, OSError where a file cannot be read or written.
    """
    keywords = {key: value for key, value in locals().items() if key not in ("checkpoint", "output")}
    report: dict[str, Any] = _xsfm.pack(checkpoint, output, asked(**keywords))
    return report


def import_model(
    model: Any,
    output: Optional[Path] = None,
    *,
    library: Optional[str] = None,
    config: Optional[Mapping[str, Any]] = None,
    mode: str = "int8",
    rows: Optional[Rows] = None,
    table_bits: Optional[int] = None,
    rank: Optional[int] = None,
    target: str = "neutral",
    vocabulary: Optional[Path] = None,
    without_vocabulary: bool = False,
    fingerprint_bits: Optional[int] = None,
    renumber: bool = False,
    keep_tokens: bool = False,
) -> Any:
    """Pack a model of another library: a folder, as `xsfm import` does, or one that lives in this process.

    model: a folder with config.json and weights.safetensors; a module of PyTorch; or its state dict, a dict of arrays
        or tensors by the library's own names.
    output: the packed file. Without it the model is packed in memory, and loaded.
    library: `fuxictr`, `deepctr-torch`, `pytorch-fm`, `recbole`, `deeplight` or `xsdeepfwfm`, where config does not
        say.
    config: the keys of config.json (docs/import.md), of a model that is no folder: field_names, field_dims, embed_dim,
        hidden, ... The key `class` is that of the module unless it is there.
    Other keywords: those of `pack`; vocabulary is left out unless a schema.json is named.

    Gives the report of `pack`, or the Model where there is no output.
    Raises XsfmError where a key or a tensor is missing, has no place or contradicts another, and where the class is not
    read; it says why.
    """
    given = locals()
    keywords = asked(**{key: given[key] for key in given if key not in ("model", "output", "library", "config")})
    if isinstance(model, (str, PathLike)):
        if config is not None:
            raise XsfmError(f"{model}: a folder has its own config.json; config= is for a module or a state dict")
        return _xsfm.import_folder(model, library, output, keywords)
    keys = dict(config or {})
    if hasattr(model, "state_dict"):
        keys.setdefault("class", type(model).__name__)
        model = model.state_dict()
    if not isinstance(model, Mapping):
        raise TypeError(f"{type(model).__name__}: a folder, a module of PyTorch or its state dict expected")
    tensors = [tensor(name, value) for name, value in model.items()]
    return _xsfm.import_tensors(tensors, json.dumps(keys), library, output, keywords)
