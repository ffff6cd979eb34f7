"""A packed model as an estimator of scikit-learn, which must be installed."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Optional, Union

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ._xsfm import Model


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A trained classifier of clicks: `fit` checks what it is given, and leaves the model as it is.

    model: a Model, or the path of a packed file, which is loaded at the first use.
    n_jobs: threads that score; -1 for all cores.
    threshold: the least P(click) of class 1.

    X is what `Model.predict` takes: raw frames by the names of their columns, or an array of indices.
    """

    def __init__(
        self,
        model: Optional[Union[Model, str, "PathLike[str]"]] = None,
        *,
        n_jobs: int = 1,
        threshold: float = 0.5,
    ) -> None:
        self.model = model
        self.n_jobs = n_jobs
        self.threshold = threshold

    def __sklearn_is_fitted__(self) -> bool:
        return self.model is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.classifier_tags.multi_class = False
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    @property
    def classes_(self) -> np.ndarray:
        """0 and 1, int64 of shape (2,)."""
        return np.array([0, 1])

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns of X, of shape (columns,); of indices the fields' names."""
        fields = self._loaded().fields
        names = dict.fromkeys(field.name if field.column is None else field.column for field in fields)
        return np.array(list(names), dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many columns X has."""
        return len(self.feature_names_in_)

    def fit(self, X: Any, y: Any = None) -> "Classifier":
        """Do nothing but check that X can be scored, and that y, where it is given, is of 0 and 1, one for each row.

        Raises RowError of X, ValueError of y.
        """
        rows = len(self.decision_function(X))
        if y is not None:
            labels = np.asarray(y)
            if labels.shape != (rows,):
                raise ValueError(f"y has shape {labels.shape}, ({rows},) expected")
            if not np.isin(labels, self.classes_).all():
                raise ValueError(f"y has the classes {np.unique(labels)}, 0 and 1 expected")
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-odds of a click, float32 of shape (rows,)."""
        return self._loaded().predict(X, raw_score=True, n_jobs=self.n_jobs)

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(no click) and P(click), float32 of shape (rows, 2)."""
        clicked = self._loaded().predict(X, n_jobs=self.n_jobs)
        return np.stack([1 - clicked, clicked], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Classes, int64 of shape (rows,)."""
        return (self._loaded().predict(X, n_jobs=self.n_jobs) >= self.threshold).astype(np.int64)

    def _loaded(self) -> Model:
        if self.model is None:
            raise ValueError("Classifier has no model: give a Model, or the path of a packed file")
        if isinstance(self.model, Model):
            return self.model
        path = fspath(self.model)
        kept: Optional[tuple[str, Model]] = getattr(self, "_kept", None)
        if kept is None or kept[0] != path:
            kept = self._kept = (path, Model.load(path))
        return kept[1]
