"""The same bytes and bits on Sail, which speaks Spark Connect, and has neither Java nor workers to kill.

    XSFM=… XSFM_TRAIN=… python tests/cluster/sail.py [--rows 20000]

`cargo xtask test spark` runs it in an environment of its own: Sail knows other versions of pyspark than the cluster has.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from check import Bench, check_others, check_scores, criteo, tell
from machines import LOOPBACK
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

import xsfm.spark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    server = SparkConnectServer(LOOPBACK, 0)
    server.start(background=True)
    try:
        _, port = server.listening_address
        spark = SparkSession.builder.remote(f"sc://{LOOPBACK}:{port}").getOrCreate()
        tell(f"Sail, as Spark {spark.version}")
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(Path(scratch))
            parts = criteo(bench, asked.rows)
            alone, _ = bench.prepare_alone("criteo", "--source", parts)
            prepare = lambda out: xsfm.spark.prepare(spark, parts, "criteo", out, rows_per_piece=1000)  # noqa: E731
            bench.compare(alone, prepare, f"{asked.rows} rows of Criteo's columns on Sail")
            check_others(bench, spark, None, None)
            check_scores(bench, spark, alone)
        spark.stop()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
