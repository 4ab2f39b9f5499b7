"""Real data sets that come with scikit-learn: nothing is downloaded."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from qnn.tasks.raw import RawData


def load_digits() -> RawData:
    """1797 handwritten digits, 8x8 pixels of 0 to 16, ten classes."""
    x, y = datasets.load_digits(return_X_y=True)
    return RawData(
        x=x,
        y=y.astype(np.int64),
        class_names=tuple("0123456789"),
        source="UCI optical recognition of handwritten digits (test set, 1797 images), bundled with scikit-learn",
        image_shape=(1, 8, 8),
    )


def load_iris() -> RawData:
    """150 flowers, four lengths in cm, three species; two of them overlap."""
    data = datasets.load_iris()
    return RawData(
        x=data.data,
        y=data.target.astype(np.int64),
        class_names=tuple(str(name) for name in data.target_names),
        source="Iris flowers (Fisher 1936, 150 rows), bundled with scikit-learn",
    )


def load_breast_cancer() -> RawData:
    """569 tumours, 30 measures of cell nuclei, malignant or benign (37 % to 63 %)."""
    data = datasets.load_breast_cancer()
    return RawData(
        x=data.data,
        y=data.target.astype(np.int64),
        class_names=tuple(str(name) for name in data.target_names),
        source="UCI breast cancer Wisconsin, diagnostic (569 rows), bundled with scikit-learn",
    )
