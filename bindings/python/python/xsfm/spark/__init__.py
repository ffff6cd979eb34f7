"""Preparation and scoring on Apache Spark, with the same bytes as on one machine.

Needs pyspark and pyarrow, and this package on every machine of the cluster; `docs/scale.md` of the project says what
it costs. `xsfm-prepare-spark`, or `spark-submit …/xsfm/spark/__main__.py`, takes the words of `xsfm-train prepare`.
"""

from ._prepare import main, prepare
from ._score import score

__all__ = ["main", "prepare", "score"]
