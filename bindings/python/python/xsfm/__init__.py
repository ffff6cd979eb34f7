"""Scores, ranks, packs and inspects xsfm models: click models of kilobytes, in integers.

>>> import xsfm
>>> model = xsfm.Model.load(FIXTURES + "/raw-values/model.xsfm")
>>> row = {"user": "chloé", "genres": ["comedy", "western"], "price": 7.75, "when": "2026-03-05T21:00:00"}
>>> model.predict(row).shape
(1,)
>>> model.predict([row, {**row, "user": "ben"}], raw_score=True).dtype
dtype('float32')
>>> model.predict({"user": "chloé"})
Traceback (most recent call last):
...
xsfm.RowError: row 0: missing columns: "genres", "price", "when"
>>> numbers, scores = model.rank({"user": "chloé", "when": row["when"]}, [{"genres": "drama", "price": 1}], k=1)
>>> numbers
array([0])
>>> explained = model.explain(row)
>>> explained.bias + sum(explained.fields.values()) + sum(explained.pairs.values()) + explained.layers == explained.logit
True
"""

from ._builder import BatchNorm, Builder
from ._logits import write_logits
from ._packing import import_model, pack
from ._training import train
from ._xsfm import (
    Catalogue,
    Explanation,
    Field,
    Model,
    ModelError,
    RowError,
    XsfmError,
    __version__,
    generate,
    inspect,
    retarget,
    validate,
)

__all__ = [
    "BatchNorm",
    "Builder",
    "Catalogue",
    "Explanation",
    "Field",
    "Model",
    "ModelError",
    "RowError",
    "XsfmError",
    "__version__",
    "generate",
    "import_model",
    "inspect",
    "pack",
    "retarget",
    "train",
    "validate",
    "write_logits",
]
