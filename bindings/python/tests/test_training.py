"""Training by the program: its flags, its words, its errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import made
import pytest

import xsfm

PROGRAM = """#!{python}
import pathlib, sys
for word in sys.argv[1:]:
    print(word, flush=True)
print("some words", file=sys.stderr)
out = pathlib.Path([word[6:] for word in sys.argv if word.startswith("--out=")][0])
if "--fail=true" in sys.argv:
    sys.exit(3)
out.mkdir(exist_ok=True)
(out / "config.json").write_text("")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that says how it was called."""
    path = tmp_path / "trains"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    return path


def test_settings_are_flags_and_words_are_heard(tmp_path: Path, program: Path) -> None:
    heard: list[str] = []
    settings = {"embed_dim": 8, "hidden": [64, 32], "quantize": True, "resume": None, "learning_rate": 0.02}
    paths = xsfm.train("DATA", tmp_path / "run", program=program, progress=heard.append, **settings)
    flags = ["--embed-dim=8", "--hidden=64,32", "--quantize=true", "--learning-rate=0.02"]
    assert heard == ["train", "--data=DATA", f"--out={tmp_path / 'run'}", *flags, "some words"]
    assert paths == {"folder": tmp_path / "run", "config": tmp_path / "run" / "config.json"}


def test_failures_are_told(tmp_path: Path, program: Path) -> None:
    with pytest.raises(xsfm.XsfmError, match="(?s)distill ended with 3:.*some words"):
        xsfm.train("DATA", tmp_path / "run", command="distill", program=program, progress=None, fail=True)
    with pytest.raises(FileNotFoundError, match="cargo xtask install"):
        xsfm.train("DATA", tmp_path / "run", program=tmp_path / "nowhere")

    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        xsfm.train("DATA", tmp_path / "run", program=program, progress=stop)


def test_what_was_trained_is_packed(everything: Path, tmp_path: Path) -> None:
    train = made.program("XSFM_TRAIN")
    if "Architecture" not in os.popen(f"{train} train --help 2>&1").read():
        pytest.skip(f"NOT TESTED: {train} was built without libtorch")
    settings = {"embed_dim": 4, "hidden": [8], "epochs": 1, "batch_size": 256, "threads": 1, "quantize": True}
    heard: list[str] = []
    paths = xsfm.train(everything / "data", tmp_path / "run", program=train, progress=heard.append, **settings)
    assert heard and set(paths) == {"folder", "config", "weights", "schema", "metrics"}
    xsfm.pack(paths["folder"], tmp_path / "m.xsfm")
    assert xsfm.Model.load(tmp_path / "m.xsfm").predict(made.rows(1, 1)[:0]).shape == (0,)
