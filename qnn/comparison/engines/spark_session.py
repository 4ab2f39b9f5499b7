"""The Spark session of a study: the one that is active, or one of our own that ends with the study."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qnn.comparison.engines.crew import already_connected, unreachable
from qnn.comparison.engines.engine import Engine

_PYTHON = "PYSPARK_PYTHON"  # the interpreter of Spark's workers


def register() -> None:
    """Make "spark" known to joblib."""
    from joblibspark import register_spark

    register_spark()


@contextmanager
def session(engine: Engine) -> Iterator[None]:
    """See to it that there is an active session, for joblibspark to take."""
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is not None:
        if engine.address is not None:
            raise already_connected(engine)
        yield
        return
    builder = SparkSession.builder.appName("qnn compare").config("spark.ui.showConsoleProgress", "false")
    if engine.address is not None:
        builder = builder.master(engine.address)
    chosen = os.environ.get(_PYTHON)
    try:
        if chosen is None and engine.address is None:  # on this machine: the interpreter that has qnn
            os.environ[_PYTHON] = sys.executable
        made = builder.getOrCreate()
        made.sparkContext.setLogLevel("ERROR")
    except Exception as error:
        raise unreachable(engine, error) from error
    finally:
        if chosen is None:
            os.environ.pop(_PYTHON, None)
    try:
        yield
    finally:
        made.stop()
