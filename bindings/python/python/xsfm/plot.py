"""Pictures for notebooks, by matplotlib, which must be installed.

Each function draws on `ax`, or on axes of its own, and gives them:
`plot.frontier("FIT/fit.json").figure.savefig("a.png")`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np

from . import _arrays, _xsfm
from ._xsfm import Model, XsfmError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Path = Union[str, "PathLike[str]"]
Report = Union[Path, Mapping[str, Any], Sequence[Mapping[str, Any]]]

# What a model costs: the keys of a report that say so, the best first, and what the axis is called.
_COSTS = {
    "bytes": (("deployed_bytes", "packed_bytes", "bytes"), "bytes of the packed file"),
    "time": (("ns_per_row", "us"), "time of one row"),
    "instructions": (("cortex_m4f_instructions", "instructions"), "instructions of one row on a Cortex-M4F"),
}
# Seconds of a unit.
_SECONDS = {"ns_per_row": 1e-9, "us": 1e-6}


class _Point(NamedTuple):
    group: str
    title: str
    cost: float
    auc: float
    deviation: float


def frontier(report: Report, *, cost: str = "bytes", ax: Optional["Axes"] = None) -> "Axes":
    """AUC against what a model costs, with a line of what is the best at each cost.

    report: what `xsfm-train fit` writes (fit.json) or `xsfm-train report` does (report.csv), as a path; or what either
        prints with `--json`, loaded. Of `fit` the AUC is that of the validation rows, which chose; of `report` that of
        the test rows. Bars are the deviation of the seeds.
    cost: `bytes`, `time` or `instructions`. Models whose cost is not known are left out.

    Raises XsfmError where the report is none of these or no model has that cost, OSError where it cannot be read.
    """
    if cost not in _COSTS:
        raise XsfmError(f"cost {cost!r} is unknown; known are {', '.join(_COSTS)}")
    name, read = _report(report)
    is_fit = isinstance(read, Mapping)
    points, key = _points(name, read, cost)
    groups = list(dict.fromkeys(point.group for point in points))
    # Beside the points of many tables there is no room for their names.
    is_below = ax is None and len(groups) > 3
    axes = _axes(ax, (6.4, 4.4 + 0.2 * len(groups) * is_below))
    best = _best(points)
    last = max(point.cost for point in points) * 1.3
    steps = [*best, best[-1]._replace(cost=max(last, best[-1].cost * 1.3))]
    axes.plot(
        [point.cost for point in steps], [point.auc for point in steps],
        drawstyle="steps-post", color="0.6", zorder=1, label="best at its cost",
    )  # fmt: skip
    for number, group in enumerate(groups):
        of_group = [point for point in points if point.group == group]
        axes.errorbar(
            [point.cost for point in of_group], [point.auc for point in of_group],
            yerr=[point.deviation for point in of_group],
            fmt="o", markersize=5, elinewidth=1, color=f"C{number % 10}", zorder=2, label=group,
        )  # fmt: skip
    for point in (point for point in (points if is_fit else best) if point.title):
        axes.annotate(
            point.title, (point.cost, point.auc),
            xytext=(5, -5), textcoords="offset points", va="top", fontsize=7, color="0.3",
        )  # fmt: skip
    _cost_axis(axes, cost, key)
    axes.set_ylabel("AUC on validation rows" if is_fit else "AUC")
    if is_below:
        axes.figure.legend(fontsize=8, loc="outside lower center")
    else:
        axes.legend(fontsize=8, loc="best")
    axes.grid(alpha=0.3)
    return axes


def field_matrix(model: Union[Model, Path], *, ax: Optional["Axes"] = None) -> "Axes":
    """What the dot products of each two fields' vectors are multiplied by, as colours.

    model: a Model, or the path of a packed file. Pairs that were pruned are grey.

    Raises XsfmError where the model has no pairs.
    """
    if not isinstance(model, Model):
        model = Model.load(model)
    weights = model.pair_weights
    if not weights:
        raise XsfmError("the model has no pairs of fields")
    names = [field.name for field in model.fields]
    place = {name: f for f, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    for (one, other), weight in weights.items():
        matrix[place[one], place[other]] = matrix[place[other], place[one]] = weight
    side = max(4.0, 0.28 * len(names) + 2)
    axes = _axes(ax, (side + 1, side))
    most = float(np.nanmax(np.abs(matrix))) or 1.0
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="RdBu_r", vmin=-most, vmax=most)
    axes.set_facecolor("0.88")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.figure.colorbar(image, ax=axes, label="weight of the pair", fraction=0.046, pad=0.04)
    return axes


def reliability(
    labels: Any, predictions: Union[Any, Mapping[str, Any]], *, ax: Optional["Axes"] = None
) -> "Axes":
    """Click rates against predictions: a model whose probabilities are those of clicks lies on the diagonal.

    labels: 0 or 1, of shape (rows,). predictions: P(click), of shape (rows,); or several by the models' names.

    Rows are in 15 bins of equal mass by their prediction, as `xsfm evaluate` has them; bars are two standard errors of
    a click rate. The legend has the expected calibration error, and the mean prediction over the click rate.
    Raises XsfmError where labels are others, predictions are no probabilities, or there are not as many.
    """
    clicks = _arrays.array(labels)
    if clicks.ndim != 1 or not np.isin(clicks, (0, 1)).all():
        raise XsfmError(f"labels of shape {clicks.shape} and type {clicks.dtype}; 0 and 1, of shape (rows,), expected")
    clicks = np.ascontiguousarray(clicks, dtype=np.uint8)
    of_models = predictions if isinstance(predictions, Mapping) else {"": predictions}
    found = {}
    for name, values in of_models.items():
        array = _arrays.array(values)
        if array.ndim != 1:
            raise XsfmError(f"predictions{_of(name)} of shape {array.shape}, (rows,) expected")
        try:
            found[name] = _xsfm.reliability(clicks, np.ascontiguousarray(array, dtype=np.float64))
        except XsfmError as error:
            raise XsfmError(f"predictions{_of(name)}: {error}") from None
    axes = _axes(ax, (4.8, 4.6))
    end = min(1.0, 1.1 * max(max(mean, rate) for bins, *_ in found.values() for _, mean, rate in bins)) or 1.0
    axes.plot([0, end], [0, end], color="0.6", linewidth=1, zorder=1)
    for number, (name, (bins, ece, calibration)) in enumerate(found.items()):
        rows, means, rates = map(np.array, zip(*bins))
        errors = 2 * np.sqrt(rates * (1 - rates) / rows)
        ratio = "" if calibration is None else f", calibration {calibration:.3f}"
        axes.errorbar(
            means, rates, yerr=[np.minimum(errors, rates), errors],
            fmt="o-", markersize=4, elinewidth=1, color=f"C{number % 10}", zorder=2,
            label=f"{name}{': ' if name else ''}ECE {ece:.4f}{ratio}",
        )  # fmt: skip
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="mean prediction", ylabel="click rate", aspect="equal")
    axes.legend(fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)
    return axes


def _of(name: str) -> str:
    return f" of {name!r}" if name else ""


def _axes(ax: Optional["Axes"], size: tuple[float, float]) -> "Axes":
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("xsfm.plot draws with matplotlib, which is not installed: pip install matplotlib") from None
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def _report(report: Report) -> tuple[str, Any]:
    """What it is called, and what it says."""
    if not isinstance(report, (str, PathLike)):
        return "report", report
    name = fspath(report)
    with open(name, encoding="utf-8", newline="") as file:
        if name.endswith(".csv"):
            return name, list(csv.DictReader(file))
        try:
            return name, json.load(file)
        except ValueError as error:
            raise XsfmError(f"{name}: {error}") from None


def _points(name: str, report: Any, cost: str) -> tuple[list[_Point], str]:
    """The models of a report, and the key that says what they cost."""
    if isinstance(report, Mapping):
        lists = [("frontier of all tried", report.get("frontier")), ("best of a budget", report.get("best"))]
        rows = [(group, row) for group, found in lists for row in found or ()]
        auc, deviation, title = "valid_auc", "valid_auc_deviation", "settings"
    else:
        rows = [(row.get("table") or "", row) for row in report]
        auc, deviation, title = "auc", "auc_deviation", "title"
    if not rows or not all(auc in row for _, row in rows):
        what = f"neither what `xsfm-train fit` writes nor what `xsfm-train report` does: no models with `{auc}`"
        raise XsfmError(f"{name}: {what}")
    # The first that all have which have any.
    keys = _COSTS[cost][0]
    costs = [(row, [key for key in keys if _number(row.get(key)) is not None]) for _, row in rows]
    priced = [found for _, found in costs if found]
    shared = [key for key in keys if priced and all(key in found for found in priced)]
    if not shared:
        raise XsfmError(f"{name}: no model has {' or '.join(f'`{key}`' for key in keys)}")
    key = shared[0]
    points = []
    for group, row in rows:
        price, reached = _number(row.get(key)), _number(row.get(auc))
        if price is not None and price > 0 and reached is not None:
            scaled = price * _SECONDS.get(key, 1.0)
            points.append(_Point(group, _title(row, title), scaled, reached, _number(row.get(deviation)) or 0.0))
    if not points:
        raise XsfmError(f"{name}: no model has both an AUC and `{key}` above 0")
    return points, key


def _title(row: Mapping[str, Any], key: str) -> str:
    budget = row.get("budget")
    return _bytes(float(budget)) if budget else "" if key == "settings" else str(row.get(key, ""))


def _number(value: Any) -> Optional[float]:
    """A figure of JSON or CSV; None where there is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def _best(points: list[_Point]) -> list[_Point]:
    """Those that nothing as cheap is as good as, from the cheapest."""
    best: list[_Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.auc)):
        if not best or point.auc > best[-1].auc:
            best.append(point)
    return best


def _cost_axis(axes: "Axes", cost: str, key: str) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

    axes.set_xscale("log", base=2 if cost == "bytes" else 10)
    without = ", without vocabulary" if key == "packed_bytes" else ""
    axes.set_xlabel(_COSTS[cost][1] + without)
    of_bytes, others = FuncFormatter(lambda value, _: _bytes(value)), EngFormatter("s" if cost == "time" else "")
    axes.xaxis.set_major_formatter(of_bytes if cost == "bytes" else others)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {unit}"
        value /= 1024
    return f"{value:g} GiB"
