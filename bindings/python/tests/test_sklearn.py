"""The estimator: scikit-learn's own checks of what is no training, and its tools."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import xsfm

pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")

from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.metrics import get_scorer  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

from xsfm.sklearn import Classifier  # noqa: E402

# Those that do not train on data of their own.
CHECKS = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.fixture
def path(fixtures: Path) -> Path:
    return fixtures / "raw-values" / "model.xsfm"


@pytest.fixture
def frame(fixtures: Path) -> pd.DataFrame:
    return pd.read_csv(fixtures / "raw-values" / "clicks.csv", dtype={"price": str})


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_sklearn(name: str, clicks: xsfm.Model) -> None:
    for estimator in [Classifier(), Classifier(clicks, n_jobs=2)]:
        getattr(estimator_checks, name)("Classifier", estimator)


def test_probabilities_are_the_model_s(path: Path, clicks: xsfm.Model, frame: pd.DataFrame) -> None:
    X, wanted = frame.drop(columns="click"), clicks.predict(frame)
    for estimator in [Classifier(clicks), Classifier(path), Classifier(str(path), n_jobs=2)]:
        probabilities = estimator.predict_proba(X)
        assert probabilities.shape == (240, 2)
        assert np.array_equal(probabilities[:, 1], wanted)
        assert np.allclose(probabilities.sum(axis=1), 1)
        assert np.array_equal(estimator.predict(X), (wanted >= 0.5).astype(int))
        assert np.array_equal(estimator.decision_function(X), clicks.predict(frame, raw_score=True))
        assert estimator.feature_names_in_.tolist() == ["user", "genres", "price", "when"]
        assert estimator.n_features_in_ == 4 and estimator.classes_.tolist() == [0, 1]
    assert Classifier(clicks, threshold=2).predict(X).max() == 0


def test_tools_of_sklearn_take_it(clicks: xsfm.Model, frame: pd.DataFrame) -> None:
    X, y = frame.drop(columns="click"), frame["click"]
    estimator = Classifier(clicks)
    assert is_classifier(estimator)
    check_is_fitted(estimator)
    check_is_fitted(clone(estimator))
    auc = get_scorer("roc_auc")(estimator, X, y)
    assert auc > 0.7
    assert cross_val_score(estimator, X, y, scoring="roc_auc", cv=3).mean() == pytest.approx(auc, abs=0.1)
    pipeline = make_pipeline(FrozenEstimator(estimator))
    assert np.array_equal(pipeline.fit(X, y).predict_proba(X), estimator.predict_proba(X))
    copied = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(copied.predict(X), estimator.predict(X))
    joblib = pytest.importorskip("joblib")
    parts = joblib.Parallel(n_jobs=2)(joblib.delayed(estimator.predict)(part) for part in (X[:100], X[100:]))
    assert np.array_equal(np.concatenate(parts), estimator.predict(X))


def test_what_does_not_fit_is_refused(clicks: xsfm.Model, frame: pd.DataFrame) -> None:
    estimator = Classifier(clicks)
    X, y = frame.drop(columns="click"), frame["click"]
    assert estimator.fit(X, y) is estimator and estimator.fit(X) is estimator
    with pytest.raises(xsfm.RowError, match='missing columns: "price"'):
        estimator.fit(X.drop(columns="price"), y)
    with pytest.raises(ValueError, match="y has shape"):
        estimator.fit(X, y[:-1])
    with pytest.raises(ValueError, match="0 and 1 expected"):
        estimator.fit(X, y + 1)
    with pytest.raises(ValueError, match="has no model"):
        Classifier().predict(X)
