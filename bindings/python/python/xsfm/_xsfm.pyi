"""The compiled part; what is here is imported from `xsfm`."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Protocol, Union, final

import numpy as np
import numpy.typing as npt

__version__: str

class XsfmError(ValueError):
    """What xsfm refuses. `row` and `field` say where, and are None where it is neither."""

    row: Optional[int]
    field: Optional[str]

class ModelError(XsfmError):
    """Bytes that are no packed model, or a damaged one."""

class RowError(XsfmError):
    """A row that does not fit its model: `row` counts from 0."""

_Path = Union[str, PathLike[str]]

class _Stream(Protocol):
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...

class _Batch(Protocol):
    def __arrow_c_array__(self, requested_schema: Any = None) -> Any: ...

Row = Mapping[str, Any]
"""Raw values by the names of their columns: text, a number, None; for a bag a list of these, or a dict of weights."""

Data = Union[npt.NDArray[np.integer[Any]], Row, Sequence[Row], _Stream, _Batch]
"""Indices of shape (rows, fields) or (fields,); or raw values: a dict, dicts, a frame of pandas, polars or pyarrow."""

@final
class Field:
    """A field of a model."""

    @property
    def name(self) -> str:
        """Its name in the training data."""
    @property
    def column(self) -> Optional[str]:
        """The column of raw rows that has its values; None where the model takes indices alone."""
    @property
    def kind(self) -> Optional[str]:
        """`token`, `number` or `bag`; None where the model takes indices alone."""
    @property
    def features(self) -> int:
        """Indices are below this number."""
    @property
    def bag(self) -> bool:
        """Whether a row may have several values in it."""
    @property
    def weighted(self) -> bool:
        """Whether each index has a weight."""
    @property
    def embedding(self) -> str:
        """How its vectors are stored."""
    @property
    def parameters(self) -> int:
        """Numbers in its tables."""
    @property
    def vocabulary_bytes(self) -> int:
        """Bytes by which the file makes indices of its values."""

@final
class Model:
    """A packed model. Immutable; threads may share it, and it pickles as the bytes of its file."""

    @staticmethod
    def load(path: _Path) -> Model:
        """Load a packed file, mapped into memory."""
    @staticmethod
    def from_bytes(data: bytes) -> Model:
        """Load a packed file's bytes, which are copied."""
    def to_bytes(self) -> bytes:
        """The file's bytes, as they were packed."""
    def predict(
        self,
        data: Data,
        *,
        raw_score: bool = False,
        n_jobs: int = 1,
        out: Optional[npt.NDArray[np.float32]] = None,
    ) -> npt.NDArray[np.float32]:
        """P(click) of rows, float32 of shape (rows,); log-odds with raw_score."""
    def rank(
        self,
        context: Union[Mapping[str, Any], _Stream, _Batch],
        candidates: Union[Data, Catalogue],
        k: int = 10,
        *,
        raw_score: bool = False,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The best k candidates for a context: their numbers and P(click), both of shape (k,) or fewer, best first."""
    def catalogue(self, candidates: Data, *, context_fields: Optional[set[str]] = None) -> Catalogue:
        """Candidates that are kept between calls of rank, with what each adds to a score whatever the context."""
    def explain(self, row: Data) -> Explanation:
        """What each field and each pair of fields adds to a row's logit."""
    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields, in the order of a row of indices."""
    @property
    def info(self) -> dict[str, Any]:
        """What `xsfm inspect --json` tells of it."""
    @property
    def pair_weights(self) -> dict[tuple[str, str], float]:
        """What the dot product of two fields' vectors is multiplied by, by the two names."""
    @property
    def memory(self) -> dict[str, int]:
        """Bytes that it takes: `file`, `prepared`, and `scratch` of each thread that scores."""
    def _repr_html_(self) -> str: ...

@final
class Catalogue:
    """Candidates of a model, which `Model.rank` takes again and again."""

    def __len__(self) -> int: ...
    @property
    def context_fields(self) -> list[str]:
        """Names of the fields that a context has."""

@final
class Explanation:
    """A row's logit, and what it is the sum of: `bias + sum(fields) + sum(pairs) + layers`."""

    @property
    def logit(self) -> float:
        """Log-odds of a click, as they are scored."""
    @property
    def probability(self) -> float:
        """P(click)."""
    @property
    def bias(self) -> float:
        """The model's own."""
    @property
    def fields(self) -> dict[str, float]:
        """What each field's first-order terms add, by its name."""
    @property
    def pairs(self) -> dict[tuple[str, str], float]:
        """What each pair of fields adds, by the two names."""
    @property
    def layers(self) -> float:
        """What is left: the layers, and roundings in f32 mode."""

_Tensor = tuple[str, str, list[int], bytes]

def pack(checkpoint: _Path, output: Optional[_Path], asked: dict[str, Any]) -> Any:
    """`xsfm.pack`, whose keywords are in `asked`."""

def import_folder(folder: _Path, library: Optional[str], output: Optional[_Path], asked: dict[str, Any]) -> Any:
    """`xsfm.import_model` of a folder, whose keywords are in `asked`."""

def import_tensors(
    tensors: Sequence[_Tensor], config: str, library: Optional[str], output: Optional[_Path], asked: dict[str, Any]
) -> Any:
    """`xsfm.import_model` of a state dict and a `config.json` in memory."""

def build(parts: dict[str, Any], output: Optional[_Path], asked: dict[str, Any]) -> Any:
    """`xsfm.Builder`'s model, whose arrays are in `parts`."""

def safetensors_bytes(tensors: Sequence[_Tensor]) -> bytes:
    """The bytes of a safetensors file. tensors: name, type (`F32`, …), shape, and numbers, little-endian."""

def parquet_bytes(rows: Optional[npt.NDArray[np.int64]], logits: npt.NDArray[np.float32]) -> bytes:
    """The bytes of a Parquet file with a column `logit`, float, and before it `row`, int64, where rows are numbered."""

def write_bytes(path: _Path, data: bytes) -> None:
    """Write a file whole or not at all; its folder is made where it is missing."""

def reliability(
    labels: npt.NDArray[np.uint8], predictions: npt.NDArray[np.float64]
) -> tuple[list[tuple[int, float, float]], float, Optional[float]]:
    """Rows in bins of equal mass by their prediction: of each its rows, its mean prediction and its click rate."""

def validate(
    model: _Path, checkpoint: _Path, *, rows: Optional[_Path] = None, raw: Optional[_Path] = None
) -> dict[str, Any]:
    """Compare a packed file with the folder that it was packed or imported from."""

def inspect(model: _Path) -> dict[str, Any]:
    """What a packed file holds and costs: what `xsfm inspect --json` prints."""

def retarget(model: _Path, target: str, output: _Path) -> Model:
    """Lay the layers of a packed file out for another CPU, into the file output, which is loaded."""

def generate(
    model: _Path,
    lang: str,
    output: _Path,
    *,
    name: Optional[str] = None,
    context: Sequence[str] = (),
    catalogue: Optional[_Path] = None,
) -> list[Path]:
    """Write a packed file as code to compile into a program, `rust` or `c`, to a folder; gives the paths of its files."""

@final
class Preparation:
    """A preparation by many machines, on the one that drives it; `xsfm.spark` gives its tasks to the others."""

    def __init__(self, words: Sequence[str], number: int) -> None: ...
    @property
    def folder(self) -> Path:
        """The working folder, which all machines see."""
    def stage(self) -> Optional[tuple[str, list[bytes], bool]]:
        """What comes next: a name, tasks, whether there are counts beside their results; None at the end."""
    def take_counts(self, counts: bytes) -> None:
        """Take counts that a `PrepareSums` gave."""
    def take(self, results: Sequence[bytes]) -> None:
        """End the stage with the results of its tasks, in their order."""
    def report(self) -> dict[str, Any]:
        """What was prepared, as `prepare.json` has it."""
    def show(self) -> None:
        """Show it as the program does."""
    def close(self) -> None:
        """Give it up, unless it has ended: the folder stays as it was."""

@final
class PrepareWorker:
    """A machine's part of a preparation; its threads may share it."""

    def __init__(self, folder: _Path) -> None: ...
    def run(self, task: bytes) -> bytes:
        """Do a task that has no counts; its result."""
    def counting(self) -> PrepareCounting:
        """Begin to count."""
    def sums(self, task: bytes) -> PrepareSums:
        """Begin to add up the counts of tasks of which `task` is one."""

@final
class PrepareCounting:
    """Counts of some tasks."""

    def run(self, task: bytes) -> bytes:
        """Do a task that has counts; its result, which these are beside."""
    @property
    def is_full(self) -> bool:
        """Whether it is time to send on what was counted."""
    def drain(self) -> list[tuple[int, bytes]]:
        """What was counted, by numbers of shares."""

@final
class PrepareSums:
    """Counts of some shares, added up."""

    def add(self, counts: bytes) -> None:
        """Add counts."""
    def drain(self) -> list[bytes]:
        """What the driver takes."""

def prepare_folders(words: Sequence[str]) -> int:
    """How many folders a command line of `prepare` makes, given without this word."""

def prepare_answer(words: Sequence[str]) -> Optional[tuple[str, int]]:
    """What the command line itself has to say, and its exit status: where it is none, or asks for help."""
