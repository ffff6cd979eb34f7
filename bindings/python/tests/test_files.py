"""Packing and the rest: the bytes and the figures of the program."""

from __future__ import annotations

import json
from pathlib import Path

import made
import numpy as np
import pytest

import xsfm

TARGETS = ["neutral", "x86-64", "aarch64", "cortex-m", "cortex-m4f", "cortex-m55", "cortex-m0plus", "cortex-m3", "riscv32"]
TARGETS += ["cortex-m4", "cortex-m7", "cortex-m33", "cortex-m85"]

PACKED = [
    ({"mode": "f32"}, "--mode f32"),
    ({"mode": "int8", "rows": "data/valid.arrow"}, "--mode int8 --rows data/valid.arrow"),
    ({"mode": "int8", "rows": "data/valid.arrow", "table_bits": 4, "rank": 3, "target": "x86-64"},
     "--mode int8 --rows data/valid.arrow --table-bits 4 --rank 3 --target x86-64"),
    ({"mode": "dynamic", "rows": "data/valid.arrow", "without_vocabulary": True},
     "--mode dynamic --rows data/valid.arrow --without-vocabulary"),
    ({"mode": "f32", "fingerprint_bits": 4, "renumber": True}, "--mode f32 --fingerprint-bits 4 --renumber"),
    ({"mode": "f32", "keep_tokens": True, "vocabulary": "data/schema.json"},
     "--mode f32 --keep-tokens --vocabulary data/schema.json"),
]


@pytest.mark.parametrize(("keywords", "flags"), PACKED)
def test_packed_files_are_the_program_s(
    everything: Path, xsfm_program: Path, tmp_path: Path, keywords: dict[str, object], flags: str
) -> None:
    words = [everything / word if "/" in word else word for word in flags.split()]
    report = json.loads(made.run(xsfm_program, "pack", everything / "run", *words, "-o", tmp_path / "a", "--json"))
    paths = {key: everything / value if "/" in str(value) else value for key, value in keywords.items()}
    found = xsfm.pack(everything / "run", tmp_path / "b", **paths)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert found == {**report, "output": str(tmp_path / "b")}


def test_models_of_others_are_imported(xsfm_program: Path, tmp_path: Path, fixtures: Path) -> None:
    golden = fixtures.parents[2] / "shared" / "golden" / "deepfwfm"
    if not golden.is_dir():
        pytest.skip(f"NOT TESTED: golden models: {golden} is absent")
    made.run(xsfm_program, "import", golden, "--mode", "f32", "-o", tmp_path / "a")
    report = xsfm.import_model(golden, tmp_path / "b", mode="f32")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert report["mode"] == "f32"
    with pytest.raises(xsfm.XsfmError, match="give rows, or choose mode=dynamic or mode=f32"):
        xsfm.import_model(golden, tmp_path / "c")


def test_what_does_not_go_together_is_refused(everything: Path, tmp_path: Path) -> None:
    run, output = everything / "run", tmp_path / "m.xsfm"
    for keywords, message in [
        ({}, "needs rows"),
        ({"mode": "int4"}, "mode \"int4\" is unknown; known are int8"),
        ({"mode": "f32", "table_bits": 4}, "table_bits=4 is for int8 and dynamic"),
        ({"mode": "f32", "table_bits": 3}, "8 or 4 expected"),
        ({"mode": "f32", "target": "z80"}, "\"z80\" is unknown; known are neutral"),
        ({"mode": "f32", "fingerprint_bits": 60}, "60 fingerprint bits"),
        ({"mode": "f32", "without_vocabulary": True, "vocabulary": run / "schema.json"}, "exclude each other"),
        ({"mode": "int8", "rows": everything / "none.tsv"}, "none.tsv"),
    ]:
        with pytest.raises((xsfm.XsfmError, OSError), match=message):
            xsfm.pack(run, output, **keywords)
        assert not output.exists()
    with pytest.raises(OSError):
        xsfm.pack(everything / "nowhere", output, mode="f32")
    with pytest.raises(TypeError):
        xsfm.pack(run, output, colour="red")


def test_models_are_compared(everything: Path, xsfm_program: Path) -> None:
    for keyword, flag, rows in [("rows", "--rows", "data/test.arrow"), ("raw", "--raw", "new.csv")]:
        words = ["validate", everything / "int8.xsfm", everything / "run", flag, everything / rows, "--json"]
        printed = json.loads(made.run(xsfm_program, *words))
        found = xsfm.validate(everything / "int8.xsfm", everything / "run", **{keyword: everything / rows})
        assert found == printed and found["rows"] > 100
    with pytest.raises(xsfm.XsfmError, match="either rows or raw"):
        xsfm.validate(everything / "int8.xsfm", everything / "run")


def test_models_are_inspected(fixtures: Path, xsfm_program: Path) -> None:
    path = fixtures / "movielens-student" / "model.xsfm"
    assert xsfm.inspect(path) == json.loads(made.run(xsfm_program, "inspect", path, "--json"))
    with pytest.raises(xsfm.ModelError, match="README.md"):
        xsfm.inspect(path.parent / "README.md")


@pytest.mark.parametrize("target", TARGETS)
def test_targets_have_the_program_s_names(fixtures: Path, xsfm_program: Path, tmp_path: Path, target: str) -> None:
    path = fixtures / "movielens-student" / "model.xsfm"
    made.run(xsfm_program, "retarget", path, "--target", target, "-o", tmp_path / "a")
    model = xsfm.retarget(path, target, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes() == model.to_bytes()
    row = np.zeros(len(model.fields), dtype=np.int32)
    assert np.array_equal(model.predict(row), xsfm.Model.load(path).predict(row))


def test_code_is_the_program_s(fixtures: Path, xsfm_program: Path, tmp_path: Path) -> None:
    path = fixtures / "raw-values" / "model.xsfm"
    for lang in ["rust", "c"]:
        words = ["--lang", lang, "--name", "ctr", "--context", "user,hour", "-o", tmp_path / "a" / lang]
        made.run(xsfm_program, "generate", path, *words)
        written = xsfm.generate(path, lang, tmp_path / "b" / lang, name="ctr", context=["user", "hour"])
        assert len(written) == 2
        for file in written:
            assert file.read_bytes() == (tmp_path / "a" / lang / file.name).read_bytes()
    with pytest.raises(xsfm.XsfmError, match="such as name=my_model"):
        xsfm.generate(path, "c", tmp_path, name="My-Model")
    with pytest.raises(xsfm.XsfmError, match="known are rust, c"):
        xsfm.generate(path, "cobol", tmp_path)
