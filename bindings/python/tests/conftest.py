"""What tests share: the fixtures of the repository, its programs, and a data set that has everything."""

from __future__ import annotations

from pathlib import Path

import pytest

import made
import xsfm

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture
def fixtures() -> Path:
    return FIXTURES


@pytest.fixture
def clicks() -> xsfm.Model:
    """A student of four columns of raw values, one of them a bag."""
    return xsfm.Model.load(FIXTURES / "raw-values" / "model.xsfm")


@pytest.fixture(scope="session")
def xsfm_program() -> Path:
    return made.program("XSFM")


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, xsfm_program: Path) -> Path:
    """A folder with a prepared data set of every kind of field, a checkpoint of random numbers, and packed files."""
    folder = tmp_path_factory.mktemp("everything")
    made.packed(folder, xsfm_program, made.SCHEMA, made.csv(made.rows(2000, 1)), ["int8", "f32"])
    (folder / "new.csv").write_text(made.csv(made.rows(700, 2)), encoding="utf-8")
    return folder
