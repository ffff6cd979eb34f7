"""A model from arrays."""

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple, Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

from . import _xsfm
from ._arrays import floats
from ._packing import asked
from ._xsfm import Model, XsfmError

Path = Union[str, "PathLike[str]"]
Numbers = npt.ArrayLike


class BatchNorm(NamedTuple):
    """A BatchNorm as it scores: `(x - mean) / sqrt(var + eps) * gamma + beta`, each of shape (numbers,)."""

    gamma: Numbers
    beta: Numbers
    mean: Numbers
    var: Numbers
    eps: float = 1e-5


class Builder:
    """A model as arrays, whoever trained it. Each part may be left out, but not all.

    `logit = bias + sum_f w_f[i_f] + sum_f <v_f, u_f> + sum_{f<g} r_fg <v_f, v_g> + layers(concat v_f)`, where v_f is
    row i_f of field f's table, and a bag's v_f and w_f are sums over its indices.

    >>> import numpy as np
    >>> builder = Builder(bias=-1.0)
    >>> _ = builder.field("user", np.eye(3, 2), weights=[0.0, 0.5, -0.5])
    >>> _ = builder.field("item", np.ones((4, 2)))
    >>> _ = builder.pairs("unit")
    >>> model = builder.build(mode="f32")
    >>> model.predict(np.array([1, 3]), raw_score=True)
    array([0.5], dtype=float32)

    Arrays may be lists or tensors of PyTorch; they are kept in float32. Methods give the builder itself.
    """

    def __init__(self, *, bias: float = 0.0) -> None:
        self._fields: list[dict[str, Any]] = []
        self._field_vectors: Optional[np.ndarray] = None
        self._pairs: Union[str, np.ndarray] = "none"
        self._layers: list[dict[str, Any]] = []
        self._input_norm: Optional[tuple[Any, ...]] = None
        self._input_order: Optional[list[str]] = None
        self._bias = float(bias)

    def field(
        self,
        name: str,
        table: Optional[Numbers] = None,
        *,
        weights: Optional[Numbers] = None,
        bag: bool = False,
    ) -> "Builder":
        """Add the next field of a row.

        table: the vector of each feature, of shape (features, embed_dim); a field without one has no part in pairs and
            layers.
        weights: a number for each feature, of shape (features,), which is added to the logit.
        bag: whether a row may have several indices of it, whose vectors and weights are summed.
        """
        found = None if table is None else floats(f"field `{name}`, table", table, 2)
        features = None if found is None else len(found)
        return self._add(name, {"table": found, "quotient_remainder": None}, weights, bag, features)

    def quotient_remainder(
        self,
        name: str,
        features: int,
        quotient: Numbers,
        remainder: Numbers,
        *,
        collisions: int,
        operation: str = "mult",
        weights: Optional[Numbers] = None,
        bag: bool = False,
    ) -> "Builder":
        """Add the next field of a row, whose vectors are those of two tables: row `i // collisions` of quotient with
        row `i % collisions` of remainder.

        quotient: of shape (ceil(features / collisions), embed_dim). remainder: of shape (collisions, embed_dim).
        operation: `mult`, `add` or `concat`, of whose tables each has half of the vector.
        weights, bag: as of `field`.
        """
        part = {
            "collisions": collisions,
            "operation": operation,
            "quotient": floats(f"field `{name}`, quotient", quotient, 2),
            "remainder": floats(f"field `{name}`, remainder", remainder, 2),
        }
        return self._add(name, {"table": None, "quotient_remainder": part}, weights, bag, features)

    def field_vectors(self, vectors: Union[Numbers, Sequence[Numbers]]) -> "Builder":
        """Set a vector u_f for each field, whose dot product with v_f is added to the logit.

        vectors: of shape (fields, embed_dim); a list of arrays, where those of fields have several lengths.
        """
        each = [floats(f"vector of field {f}", vector, 1) for f, vector in enumerate(vectors)]  # type: ignore[arg-type]
        self._field_vectors = np.concatenate(each) if each else np.zeros(0, dtype=np.float32)
        return self

    def pairs(self, weights: Union[str, Numbers]) -> "Builder":
        """Set what the dot product of two fields' vectors is multiplied by.

        weights: `unit` for a factorization machine; r_fg of each f < g, the upper triangle row by row, of shape
            (fields * (fields - 1) / 2,); or a matrix W of shape (fields, fields), r_fg = (W_fg + W_gf) / 2.
        """
        self._pairs = weights if isinstance(weights, str) else floats("pairs", weights, 1, 2)
        return self

    def inputs(
        self, *, norm: Optional[Union[BatchNorm, Sequence[Any]]] = None, order: Optional[Sequence[str]] = None
    ) -> "Builder":
        """Set what lies before the first layer.

        norm: a BatchNorm of what it reads. order: names of all fields in the order in which it reads their vectors,
            where it is not theirs.
        """
        self._input_norm = None if norm is None else _norm("BatchNorm of the inputs", norm)
        self._input_order = None if order is None else list(order)
        return self

    def layer(
        self,
        weight: Numbers,
        bias: Optional[Numbers] = None,
        *,
        norm: Optional[Union[BatchNorm, Sequence[Any]]] = None,
    ) -> "Builder":
        """Add the next layer. The last one gives the logit's share; those before it have a ReLU behind them.

        weight: of shape (outputs, inputs), as PyTorch's `Linear` has it. bias: of shape (outputs,); none by default.
        norm: a BatchNorm between the layer and its ReLU: `BatchNorm(gamma, beta, mean, var)`.
        """
        what = f"layer {len(self._layers)}"
        part = {
            "weight": floats(f"{what}, weight", weight, 2),
            "bias": None if bias is None else floats(f"{what}, bias", bias, 1),
            "norm": None if norm is None else _norm(f"{what}, BatchNorm", norm),
        }
        self._layers.append(part)
        return self

    def build(self, **packing: Any) -> Model:
        """Pack the model in memory, and load it.

        packing: keywords of `pack`, mode="f32" or rows=... among them.
        Raises XsfmError where parts do not fit together, with the field or the layer and the numbers that disagree.
        """
        model: Model = _xsfm.build(self._parts(), None, asked(**packing))
        return model

    def write(self, output: Path, **packing: Any) -> dict[str, Any]:
        """Pack the model to a file; gives the report of `pack`. Otherwise as `build`."""
        report: dict[str, Any] = _xsfm.build(self._parts(), output, asked(**packing))
        return report

    def _add(
        self, name: str, part: dict[str, Any], weights: Optional[Numbers], bag: bool, features: Optional[int]
    ) -> "Builder":
        found = None if weights is None else floats(f"field `{name}`, weights", weights, 1)
        if features is None:
            if found is None:
                raise XsfmError(f"field `{name}` has neither a table nor weights")
            features = len(found)
        self._fields.append({"name": name, "features": features, "bag": bag, "weights": found, **part})
        return self

    def _parts(self) -> dict[str, Any]:
        return {
            "fields": self._fields,
            "field_vectors": self._field_vectors,
            "pairs": self._pairs,
            "layers": self._layers,
            "input_norm": self._input_norm,
            "input_order": self._input_order,
            "bias": self._bias,
        }


def _norm(what: str, norm: Union[BatchNorm, Sequence[Any]]) -> tuple[Any, ...]:
    parts = norm if isinstance(norm, BatchNorm) else BatchNorm(*norm)
    arrays = (floats(f"{what}, {name}", getattr(parts, name), 1) for name in ("gamma", "beta", "mean", "var"))
    return (*arrays, float(parts.eps))
