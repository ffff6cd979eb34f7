"""Models of other libraries that live in this process: the bytes of those that lie in folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

import xsfm

SHARED = Path(__file__).resolve().parents[4] / "shared" / "golden2"
LIBRARIES = ["deepctr", "deeplight", "fuxictr", "recbole", "torchfm"]
FOLDERS = sorted(folder.name for folder in SHARED.glob("*") if folder.name.split("_")[0] in LIBRARIES)


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_golden_models_are_there() -> None:
    if not FOLDERS:
        pytest.skip(f"NOT TESTED: golden models: {SHARED} is absent")
    assert {name.split("_")[0] for name in FOLDERS} == set(LIBRARIES)


@pytest.mark.parametrize("name", FOLDERS)
def test_state_dicts_are_their_folders(name: str, tmp_path: Path) -> None:
    folder = SHARED / name
    config, state = config_of(folder), made.read_tensors(folder / "weights.safetensors")
    try:
        wanted = xsfm.import_model(folder, mode="f32")
    except xsfm.XsfmError as refused:
        # For the same reason, of another name.
        reason = str(refused).split(": ", 1)[1]
        with pytest.raises(xsfm.XsfmError) as again:
            xsfm.import_model(state, config=config, mode="f32")
        assert str(again.value).split(": ", 1)[1] == reason
        return
    library = config.pop("library").split()[0]
    model = xsfm.import_model(state, library=library, config=config, mode="f32")
    assert model.to_bytes() == wanted.to_bytes()
    cases = made.read_tensors(folder / "cases.safetensors")
    if any(kind == "bag" for kind in config.get("field_types", [])):
        return
    found = model.predict(cases["indices"], raw_score=True)
    scale = np.maximum(1, np.abs(cases["logits"]))
    assert (np.abs(found - cases["logits"]) / scale).max() < 1e-5
    # In int8, calibrated on an array.
    report = xsfm.import_model(state, tmp_path / "m.xsfm", library=library, config=config, rows=cases["indices"])
    assert report["mode"] == "int8" and report["calibration"]["rows"] == len(found)
    packed = xsfm.Model.load(tmp_path / "m.xsfm").predict(cases["indices"], raw_score=True)
    assert np.corrcoef(packed, found)[0, 1] > 0.99


DIMS = [5, 7, 3]
CONFIG = {"field_names": ["a", "b", "c"], "field_dims": DIMS, "embed_dim": 4}


def machine() -> Any:
    """A module of PyTorch with the names of pytorch-fm, and what it says of rows."""
    torch = pytest.importorskip("torch")

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Embedding(sum(DIMS), 1)
            self.bias = torch.nn.Parameter(torch.full((1,), 0.25))

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(sum(DIMS), 4)

    class FactorizationMachineModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.embedding = Linear(), Vectors()

        def forward(self, rows: Any) -> Any:
            at = rows + torch.tensor([0, DIMS[0], DIMS[0] + DIMS[1]])
            v = self.embedding.embedding(at)
            pairs = (v.sum(1) ** 2 - (v**2).sum(1)).sum(1) / 2
            return self.linear.fc(at).sum((1, 2)) + self.linear.bias + pairs

    torch.manual_seed(1)
    return FactorizationMachineModel()


def test_modules_are_read_as_they_live() -> None:
    module = machine()
    import torch

    rows = np.stack([np.arange(60) % size for size in DIMS], axis=1)
    model = xsfm.import_model(module, library="pytorch-fm", config=CONFIG, mode="f32")
    wanted = module(torch.tensor(rows)).detach().numpy()
    assert np.allclose(model.predict(rows, raw_score=True), wanted, atol=1e-5)
    assert isinstance(model, xsfm.Model) and [field.name for field in model.fields] == ["a", "b", "c"]
    # The state dict does not know its class.
    with pytest.raises(xsfm.XsfmError, match="config: key `class`: is missing"):
        xsfm.import_model(module.state_dict(), library="pytorch-fm", config=CONFIG, mode="f32")
    for kind in [torch.bfloat16, torch.float16, torch.float64]:
        config = {**CONFIG, "library": "torchfm", "class": "FactorizationMachineModel"}
        state = module.to(kind).state_dict()
        found = xsfm.import_model(state, config=config, mode="f32").predict(rows, raw_score=True)
        assert np.allclose(found, wanted, atol=0.2) and not np.array_equal(found, wanted)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    state = {
        "linear.fc.weight": rng.normal(size=(15, 1)),
        "linear.bias": np.zeros(1),
        "embedding.embedding.weight": rng.normal(size=(15, 4)),
    }
    config = {**CONFIG, "class": "FactorizationMachineModel", "library": "pytorch-fm"}
    rows = np.stack([np.arange(60) % size for size in DIMS], axis=1)
    assert xsfm.import_model(state, config=config, rows=rows).info["mode"] == "int8"
    for change, keywords, message in [
        ({"embedding.embedding.weight": np.zeros((15, 3))}, {}, r"state dict: tensor `embedding.embedding.weight`.*15, 3.*15, 4"),
        ({"linear.bias": np.array([np.nan])}, {}, "state dict: tensor `linear.bias`.*NaN"),
        ({"more": np.zeros(2)}, {}, r"state dict: tensor `more` of shape \[2\] has no place.*that config describes"),
        ({"more": np.zeros(2, dtype=complex)}, {}, "tensor `more`: numbers of type complex128"),
        ({"more": np.array(["a"])}, {}, "tensor `more`: numbers of type <U1"),
        ({}, {"library": "fuxictr"}, "config: key `library`: is `pytorch-fm`, but FuxiCTR was asked for"),
        ({}, {"config": {**config, "class": "DeepCrossNetworkModel"}}, "cross layers, which no packed file holds"),
        ({}, {"config": {**config, "field_dims": [5, 7]}}, "key `field_names`: has 3 entries, but `field_dims` has 2"),
        ({}, {"config": {**config, "library": "lightfm"}}, "models of `lightfm` are not read"),
        ({}, {"config": {"class": "x"}, "library": "lightfm"}, "library: models of `lightfm` are not read"),
        ({}, {"mode": "int8"}, "needs rows to calibrate on: give rows"),
        ({}, {"mode": "int8", "rows": rows[:, :2]}, r"indices of shape \[60, 2\]"),
        ({}, {"mode": "int8", "rows": rows + 3}, 'rows: row 0, field "c": index 3, but the field has 3 features'),
        ({}, {"mode": "int8", "rows": rows * 1.0}, "rows: numpy.ndarray; a path, or an array of indices"),
        ({}, {"mode": "int8", "rows": rows[:0]}, "rows: no rows"),
        ({}, {"mode": "int8", "rows": rows[:1]}, "rows: "),
    ]:
        with pytest.raises(xsfm.XsfmError, match=message):
            xsfm.import_model({**state, **change}, tmp_path / "m.xsfm", **{"config": config, "mode": "f32", **keywords})
    missing = {name: values for name, values in state.items() if name != "linear.bias"}
    with pytest.raises(xsfm.XsfmError, match=r"state dict: tensor `linear.bias` is missing.*\[1\]"):
        xsfm.import_model(missing, config=config, mode="f32")
    with pytest.raises(TypeError, match="a folder, a module of PyTorch or its state dict"):
        xsfm.import_model(3, mode="f32")
    with pytest.raises(xsfm.XsfmError, match="a folder has its own config.json; config= is for"):
        xsfm.import_model(tmp_path, config=config)
    assert not any(tmp_path.iterdir())
