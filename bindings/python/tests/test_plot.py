"""Pictures: what is drawn, on the artists; and that it can be rendered."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import xsfm

from conftest import FIXTURES, ROOT

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib import pyplot  # noqa: E402

from xsfm import plot  # noqa: E402

FIT = ROOT / "experiments" / "movielens" / "fit" / "fit.json"
REPORT = ROOT / "experiments" / "movielens" / "report" / "report.csv"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def rendered(axes: Any, path: Path) -> None:
    """Renders, and looks for colours: an empty picture has none."""
    axes.figure.savefig(path, dpi=80)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 200 and len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50


def bars(axes: Any) -> dict[str, np.ndarray]:
    """The points of each series with bars, by its label."""
    return {container.get_label(): container.lines[0].get_xydata() for container in axes.containers}


def steps(axes: Any) -> np.ndarray:
    (line,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    return line.get_xydata()


def test_frontiers_have_what_fit_wrote(tmp_path: Path) -> None:
    found = json.loads(FIT.read_text())
    axes = plot.frontier(FIT)
    points = bars(axes)
    best = np.array([(row["bytes"], row["valid_auc"]) for row in found["best"]])
    assert np.array_equal(points["best of a budget"], best)
    assert len(points["frontier of all tried"]) == len(found["frontier"])
    line = steps(axes)
    assert (np.diff(line[:, 0]) > 0).all() and (np.diff(line[:-1, 1]) > 0).all()
    every = np.concatenate(list(points.values()))
    assert all(auc <= line[line[:, 0] <= cost][-1, 1] for cost, auc in every), "nothing is above the line"
    assert {text.get_text() for text in axes.texts} >= {"4 KiB", "32 KiB"}
    assert axes.get_ylabel() == "AUC on validation rows" and axes.get_xscale() == "log"
    rendered(axes, tmp_path / "a.png")
    # Loaded, as `--json` prints it; on axes that are there.
    own = pyplot.subplots()[1]
    assert plot.frontier(found, ax=own) is own
    assert np.array_equal(bars(own)["best of a budget"], best)
    instructions = bars(plot.frontier(FIT, cost="instructions"))["best of a budget"]
    assert instructions[0, 0] == found["best"][0]["instructions"]


def test_frontiers_have_what_report_wrote(tmp_path: Path) -> None:
    axes = plot.frontier(REPORT)
    points = bars(axes)
    assert len(points) > 3 and "Models" in points
    assert axes.get_xlabel().endswith("without vocabulary")
    rendered(axes, tmp_path / "a.png")
    times = plot.frontier(REPORT, cost="time")
    assert 1e-8 < bars(times)["Models"][0, 0] < 1e-3
    rows = [
        {"table": "t", "title": "small", "auc": 0.7, "auc_deviation": 0.01, "deployed_bytes": 1000, "packed_bytes": 900},
        {"table": "t", "title": "worse", "auc": 0.6, "auc_deviation": None, "deployed_bytes": 3000, "packed_bytes": 2000},
        {"table": "t", "title": "float", "auc": 0.8, "deployed_bytes": None, "packed_bytes": None},
    ]
    axes = plot.frontier(rows)
    assert bars(axes)["t"].tolist() == [[1000, 0.7], [3000, 0.6]]
    assert [text.get_text() for text in axes.texts] == ["small"]
    assert steps(axes)[0].tolist() == [1000, 0.7] and axes.get_xlabel() == "bytes of the packed file"


@pytest.mark.parametrize("mode", ["int8", "f32"])
def test_field_matrices_have_the_model_s_weights(everything: Path, mode: str, tmp_path: Path) -> None:
    path = everything / f"{mode}.xsfm"
    model = xsfm.Model.load(path)
    names = [field.name for field in model.fields]
    axes = plot.field_matrix(path)
    drawn = axes.images[0].get_array()
    assert drawn.shape == (len(names), len(names)) and np.ma.is_masked(drawn[0, 0])
    for (one, other), weight in model.pair_weights.items():
        assert drawn[names.index(one), names.index(other)] == drawn[names.index(other), names.index(one)] == weight
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    low, high = axes.images[0].get_clim()
    assert low == -high == -np.abs(list(model.pair_weights.values())).max()
    rendered(axes, tmp_path / "a.png")


def test_pair_weights_are_those_that_were_trained(everything: Path) -> None:
    import made

    matrix = made.read_tensors(everything / "run" / "weights.safetensors")["field_matrix"]
    wanted = ((matrix + matrix.T) / 2)[np.triu_indices(len(matrix), 1)]
    for mode, error in [("f32", 1e-7), ("int8", 0.02)]:
        found = np.array(list(xsfm.Model.load(everything / f"{mode}.xsfm").pair_weights.values()))
        assert np.abs(found - wanted).max() < error, mode
    xsfm.pack(everything / "run", everything / "rank.xsfm", mode="f32", rank=len(matrix) - 1)
    low_rank = np.array(list(xsfm.Model.load(everything / "rank.xsfm").pair_weights.values()))
    assert np.abs(low_rank - wanted).max() < 0.2 and low_rank.std() > 0.1
    rows = everything / "data" / "valid.arrow"
    xsfm.pack(everything / "run", everything / "rank8.xsfm", rows=rows, rank=len(matrix) - 1)
    of_integers = np.array(list(xsfm.Model.load(everything / "rank8.xsfm").pair_weights.values()))
    assert np.abs(of_integers - low_rank).max() < 0.05


def test_reliability_is_that_of_the_program(tmp_path: Path, xsfm_program: Path) -> None:
    import made

    pd = pytest.importorskip("pandas")
    clicks = FIXTURES / "raw-values" / "clicks.csv"
    model = xsfm.Model.load(FIXTURES / "raw-values" / "model.xsfm")
    frame = pd.read_csv(clicks, dtype={"price": str})
    predicted = model.predict(frame)
    labels = frame["click"]
    axes = plot.reliability(labels, {"student": predicted, "half": np.full(len(labels), 0.5)})
    points = bars(axes)
    (of_student,) = [points[label] for label in points if label.startswith("student")]
    (of_half,) = [points[label] for label in points if label.startswith("half")]
    assert of_half.tolist() == [[0.5, labels.mean()]]
    # Bins of equal mass: the means of sixteen rows each.
    order = np.argsort(predicted, kind="stable")
    assert len(of_student) == 15 and np.allclose(of_student[0], [predicted[order[:16]].mean(), labels.iloc[order[:16]].mean()])
    words = ["evaluate", FIXTURES / "raw-values" / "model.xsfm", "--raw", clicks, "--json"]
    ece = json.loads(made.run(xsfm_program, *words))["ece"]
    assert f"ECE {ece:.4f}" in next(label for label in points if label.startswith("student"))
    rendered(axes, tmp_path / "a.png")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"best": []}')
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    (tmp_path / "d.json").write_text('[{"title": "x", "auc": 0.7}]')
    for report, keywords, message in [
        (tmp_path / "a.json", {}, r"a\.json: "),
        (tmp_path / "b.json", {}, "b.json: neither what `xsfm-train fit`"),
        (tmp_path / "c.csv", {}, "no models with `auc`"),
        (tmp_path / "d.json", {}, "no model has `deployed_bytes` or"),
        (FIT, {"cost": "price"}, "known are bytes, time, instructions"),
        (FIT, {"cost": "time"}, "no model has `ns_per_row` or `us`"),
    ]:
        with pytest.raises(xsfm.XsfmError, match=message):
            plot.frontier(report, **keywords)
    with pytest.raises(FileNotFoundError):
        plot.frontier(tmp_path / "nowhere.json")
    for labels, predictions, message in [
        ([0, 2], [0.1, 0.2], "0 and 1"),
        ([[0, 1]], [0.1, 0.2], r"labels of shape \(1, 2\)"),
        ([0, 1], [0.1, 1.2], "1.2.*a probability"),
        ([0, 1], {"a": [0.1]}, "predictions of 'a': .*2.*1"),
        ([], [], "predictions: "),
    ]:
        with pytest.raises(xsfm.XsfmError, match=message):
            plot.reliability(labels, predictions)
    without = xsfm.Builder().field("x", weights=[1.0, 2.0]).build(mode="f32")
    with pytest.raises(xsfm.XsfmError, match="no pairs"):
        plot.field_matrix(without)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.frontier(FIT)
