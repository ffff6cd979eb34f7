"""Training, where the program `xsfm-train` is installed."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from os import PathLike, fspath
from typing import Any, Callable, Optional, Union

from ._xsfm import XsfmError

Path = Union[str, "PathLike[str]"]

# What `xsfm-train` writes to a checkpoint folder.
_FILES = {
    "config": "config.json",
    "weights": "weights.safetensors",
    "schema": "schema.json",
    "metrics": "metrics.json",
}
# Last lines that an error shows.
_SHOWN = 20


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def train(
    data: Path,
    out: Path,
    *,
    command: str = "train",
    program: Path = "xsfm-train",
    progress: Optional[Callable[[str], object]] = _tell,
    **settings: Any,
) -> dict[str, pathlib.Path]:
    """Run `xsfm-train train --data DATA --out OUT`, and give the paths of the checkpoint: folder, config, weights, …

    data: a folder of encoded rows, as `xsfm-train prepare` writes it. out: the checkpoint folder.
    command: `train`, or `distill` with its teacher.
    program: where `xsfm-train` is, unless it is on the path.
    progress: is called with each line that it says; by default they go to standard error.
    settings: its flags, embed_dim=8 for `--embed-dim=8`, hidden=[64, 64] for `--hidden=64,64`; None leaves one out.

    Raises FileNotFoundError where the program is not installed, XsfmError with its last lines where it fails.
    """
    words = [fspath(program), command, f"--data={fspath(data)}", f"--out={fspath(out)}"]
    words += [f"--{name.replace('_', '-')}={_written(value)}" for name, value in settings.items() if value is not None]
    said: list[str] = []
    try:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError as error:
        what = "not installed: `cargo xtask install` in a checkout of the project does that, or program= says where it is"
        raise FileNotFoundError(error.errno, what, fspath(program)) from None
    with process:
        try:
            for line in process.stdout or ():
                said.append(line.rstrip("\n"))
                if progress is not None:
                    progress(said[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise XsfmError(f"{words[0]} {command} ended with {process.returncode}:\n" + "\n".join(said[-_SHOWN:]))
    folder = pathlib.Path(out)
    found = {name: folder / file for name, file in _FILES.items() if (folder / file).exists()}
    return {"folder": folder, **found}


def _written(value: Any) -> str:
    """A setting as the program reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_written(part) for part in value)
    return fspath(value) if isinstance(value, PathLike) else str(value)
