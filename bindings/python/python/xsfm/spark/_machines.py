"""What runs on a cluster's machines: batches of Arrow in and out, and Rust between. Nothing here knows Spark."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Optional

import pyarrow as pa

from .._xsfm import PrepareSums, PrepareWorker

# A task's number and its result; or of counts the number of their share, and no task's.
RESULTS = "share int, number long, bytes binary"
_SCHEMA = pa.schema([("share", pa.int32()), ("number", pa.int64()), ("bytes", pa.binary())])
# In the place of a share's number, and of a task's.
NONE = -1

# The last preparation of this process: its vocabularies serve all tasks that come here.
_worker: Optional[tuple[str, PrepareWorker]] = None


class Tasks:
    """The tasks of a stage, as each machine gets them: small beside the data, but many."""

    def __init__(self, folder: str, tasks: list[bytes]) -> None:
        self.folder = folder
        self.count = len(tasks)
        # JSON has no such bytes.
        self._packed = zlib.compress(b"\n".join(tasks), 1)

    def read(self) -> list[bytes]:
        return zlib.decompress(self._packed).split(b"\n")

    def worker(self) -> PrepareWorker:
        global _worker
        if _worker is None or _worker[0] != self.folder:
            _worker = (self.folder, PrepareWorker(self.folder))
        return _worker[1]


def run(tasks: Tasks, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The results of the tasks whose numbers come in."""
    known, worker = tasks.read(), tasks.worker()
    for number in _numbers(batches):
        yield _batch([(NONE, number, worker.run(known[number]))])


def count(tasks: Tasks, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same of tasks that count, and what they have counted together, by shares."""
    known, counting = tasks.read(), tasks.worker().counting()
    for number in _numbers(batches):
        yield _batch([(NONE, number, counting.run(known[number]))])
        if counting.is_full:
            yield from _counts(counting.drain())
    yield from _counts(counting.drain())


def add(tasks: Tasks, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Adds up the counts of whole shares; results of tasks are handed on."""
    sums: PrepareSums = tasks.worker().sums(tasks.read()[0])
    for batch in batches:
        for row in zip(*(batch.column(name).to_pylist() for name in _SCHEMA.names)):
            if row[0] == NONE:
                yield _batch([row])
            else:
                sums.add(row[2])
    for counts in sums.drain():
        yield _batch([(0, NONE, counts)])


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _counts(shares: list[tuple[int, bytes]]) -> Iterator[pa.RecordBatch]:
    for share, counts in shares:
        yield _batch([(share, NONE, counts)])


def _batch(rows: list[tuple[int, int, bytes]]) -> pa.RecordBatch:
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows), _SCHEMA.types)]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)
