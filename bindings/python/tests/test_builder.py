"""Models of arrays: their equation, and what does not fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import xsfm
from xsfm import BatchNorm, Builder

SIZES = [5, 4, 6]
DIM = 3


def arrays(seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    real = lambda *shape: rng.uniform(-0.7, 0.7, shape)  # noqa: E731
    norm = lambda size: BatchNorm(real(size), real(size), real(size), rng.uniform(0.1, 2, size), 1e-3)  # noqa: E731
    return {
        "tables": [real(size, DIM) for size in SIZES],
        "weights": [real(size) for size in SIZES],
        "vectors": real(3, DIM),
        "matrix": real(3, 3),
        "layers": [(real(4, 3 * DIM), real(4), norm(4)), (real(2, 4), real(2), None), (real(1, 2), real(1), None)],
        "norm": norm(3 * DIM),
    }


def normed(x: np.ndarray, norm: Any) -> np.ndarray:
    if norm is None:
        return x
    gamma, beta, mean, var, eps = norm
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


def logit(a: dict[str, Any], row: list[list[int]], bias: float, order: list[int]) -> float:
    """The equation, in plain loops. row: the indices of each field."""
    v = [sum(table[i] for i in indices) for table, indices in zip(a["tables"], row)]
    found = bias + sum(w[i] for w, indices in zip(a["weights"], row) for i in indices)
    found += sum(u @ e for u, e in zip(a["vectors"], v))
    for i in range(3):
        for j in range(i + 1, 3):
            found += (a["matrix"][i, j] + a["matrix"][j, i]) / 2 * (v[i] @ v[j])
    x = normed(np.concatenate([v[f] for f in order]), a["norm"])
    for number, (weight, shift, norm) in enumerate(a["layers"]):
        x = normed(weight @ x + shift, norm)
        x = np.maximum(x, 0) if number < 2 else x
    return float(found + x[0])


def everything(a: dict[str, Any]) -> Builder:
    builder = Builder(bias=0.375)
    for name, table, weights in zip("xyz", a["tables"], a["weights"]):
        builder.field(name, table, weights=weights, bag=name == "z")
    builder.field_vectors(a["vectors"]).pairs(a["matrix"]).inputs(norm=a["norm"], order=["z", "x", "y"])
    for weight, bias, norm in a["layers"]:
        builder.layer(weight, bias, norm=norm)
    return builder


def test_a_model_of_all_parts_is_its_equation(tmp_path: Path) -> None:
    a = arrays()
    builder = everything(a)
    model = builder.build(mode="f32")
    rows = np.stack([np.arange(40) % size for size in SIZES], axis=1)
    wanted = [logit(a, [[i] for i in row], 0.375, [2, 0, 1]) for row in rows]
    assert np.allclose(model.predict(rows, raw_score=True), wanted, atol=1e-5)
    assert [(field.name, field.features, field.bag) for field in model.fields] == [("x", 5, False), ("y", 4, False), ("z", 6, True)]
    report = builder.write(tmp_path / "m.xsfm", mode="int8", rows=rows, target="cortex-m4f")
    packed = xsfm.Model.load(tmp_path / "m.xsfm")
    assert report["mode"] == "int8" and report["file_bytes"] == (tmp_path / "m.xsfm").stat().st_size
    assert np.corrcoef(packed.predict(rows, raw_score=True), wanted)[0, 1] > 0.999
    # A file of rows is the array's.
    np.savetxt(tmp_path / "rows.tsv", rows, fmt="%d", delimiter="\t")
    of_file = builder.build(mode="int8", rows=tmp_path / "rows.tsv", target="cortex-m4f")
    assert of_file.to_bytes() == packed.to_bytes()


def test_parts_may_be_left_out() -> None:
    a, rows = arrays(), np.array([[1, 2], [4, 0]])
    tables, weights = a["tables"], a["weights"]

    def two() -> Builder:
        return Builder().field("x", tables[0].tolist()).field("y", tables[1], weights=weights[1])

    dots = np.array([tables[0][i] @ tables[1][j] for i, j in rows])
    linear = np.array([weights[1][j] for _, j in rows])
    for builder, wanted in [
        (two(), linear),
        (two().pairs("unit"), linear + dots),
        (two().pairs([-2.0]), linear - 2 * dots),
        (two().pairs("none").layer(np.ones((1, 6))), linear + [tables[0][i].sum() + tables[1][j].sum() for i, j in rows]),
        (Builder(bias=1).field("x", weights=weights[0]).field("y", weights=weights[1]),
         1 + linear + [weights[0][i] for i, _ in rows]),
        # Vectors of several lengths.
        (Builder().field("x", tables[0][:, :1]).field("y", tables[1]).field_vectors([[2.0], [0, 0, 1]]),
         [2 * tables[0][i, 0] + tables[1][j, 2] for i, j in rows]),
    ]:
        assert np.allclose(builder.build(mode="f32").predict(rows, raw_score=True), wanted, atol=1e-6)


@pytest.mark.parametrize("operation", ["mult", "add", "concat"])
def test_quotients_and_remainders(operation: str) -> None:
    rng = np.random.default_rng(2)
    width = 2 if operation == "concat" else 4
    quotient, remainder = rng.normal(size=(4, width)), rng.normal(size=(3, width))
    builder = Builder().quotient_remainder("x", 10, quotient, remainder, collisions=3, operation=operation)
    model = builder.field_vectors(np.ones((1, 4))).build(mode="f32")
    compose: dict[str, Callable[..., Any]] = {"mult": np.multiply, "add": np.add, "concat": lambda q, r: np.concatenate([q, r])}
    wanted = [compose[operation](quotient[i // 3], remainder[i % 3]).sum() for i in range(10)]
    assert np.allclose(model.predict(np.arange(10).reshape(-1, 1), raw_score=True), wanted, atol=1e-5)


def test_tensors_of_torch_are_arrays() -> None:
    torch = pytest.importorskip("torch")
    table = torch.nn.Parameter(torch.eye(3).bfloat16())
    model = Builder().field("x", table).field_vectors(torch.tensor([[1.0, 2, 3]])).build(mode="f32")
    assert model.predict(np.array([[0], [2]]), raw_score=True).tolist() == [1, 3]


REFUSED: list[tuple[Callable[[], Builder], str]] = [
    (lambda: Builder().field("x", np.zeros(3)), r"field `x`, table: shape \(3,\), 2 axes expected"),
    (lambda: Builder().field("x", [["a"]]), "field `x`, table: numbers of type"),
    (lambda: Builder().field("x"), "field `x` has neither a table nor weights"),
    (lambda: Builder().field("x", np.zeros((3, 2)), weights=np.zeros(2)), "field `x`, weights: 2 numbers, 3 expected"),
    (lambda: Builder().field("x", np.full((3, 2), np.inf)).pairs("unit"), "field `x`, table: number 0 is inf"),
    (lambda: Builder().field("x", np.eye(2)).field("x", np.eye(2)).pairs("unit"), "two fields are named `x`"),
    (lambda: Builder().field("x", np.eye(2)).field("y", np.eye(3)).pairs("unit"), "`x` has 2 numbers and field `y` has 3"),
    (lambda: Builder().field("x", np.eye(2)).field("y", np.eye(2)).pairs([1, 2]), "weights of pairs: 2 numbers, 1 expected"),
    (lambda: Builder().field("x", np.eye(2)).pairs(np.eye(2)), "field matrix: 4 numbers, 1 expected"),
    (lambda: Builder().field("x", np.eye(2)).pairs("all"), "pairs \"all\"; `unit`, `none`"),
    (lambda: Builder().field("x", np.eye(2)).field_vectors(np.zeros((1, 3))), "vectors of fields: 3 numbers, 2 expected"),
    (lambda: Builder().field("x", np.eye(2)).layer(np.zeros((1, 3))), "layer 0 reads 3 numbers, but 2 are there"),
    (lambda: Builder().field("x", np.eye(2)).layer(np.zeros((3, 2))), "the output layer gives 3 numbers, 1 expected"),
    (lambda: Builder().field("x", np.eye(2)).layer(np.zeros((1, 2)), [0, 0]), "layer 0, biases: 2 numbers, 1 expected"),
    (lambda: Builder().field("x", np.eye(2)).layer(np.zeros((1, 2)), norm=([1], [0], [0], [-1])), "variance 0 of its BatchNorm is negative"),
    (lambda: Builder().field("x", np.eye(2)).layer(np.zeros((1, 2)), norm=([1], [0, 0], [0], [1])), "layer 0, BatchNorm, beta: 2 numbers"),
    (lambda: Builder().field("x", np.eye(2)).inputs(order=["y"]).layer(np.zeros((1, 2))), "\"y\", which is no field"),
    (lambda: Builder().field("x", np.eye(2)).inputs(order=["x", "x"]).layer(np.zeros((1, 2))), "has to read each of them once"),
    (lambda: Builder().field("x", np.eye(2)).inputs(order=["x"]), "layers need vectors to read, and an output layer"),
    (lambda: Builder().quotient_remainder("x", 5, np.eye(2), np.eye(2), collisions=2).pairs("unit"), "field `x`, quotients: 2 rows of 2 numbers, 3 of 2"),
    (lambda: Builder().quotient_remainder("x", 4, np.eye(2), np.eye(2), collisions=2, operation="max"), "operation \"max\" is unknown"),
    (lambda: Builder(bias=np.nan).field("x", weights=[1]), "the bias is NaN"),
    (lambda: Builder(), "number of fields"),
    (lambda: Builder().field("x", np.eye(2)), "the model has no part"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_does_not_fit_together_is_named(make: Callable[[], Builder], message: str) -> None:
    with pytest.raises(xsfm.XsfmError, match=message):
        make().build(mode="f32")


def test_keywords_are_those_of_packing() -> None:
    builder = Builder().field("x", weights=[1, 2])
    with pytest.raises(TypeError, match="colour"):
        builder.build(colour="red")
    with pytest.raises(xsfm.XsfmError, match="give rows, or choose mode=dynamic or mode=f32"):
        builder.build()
