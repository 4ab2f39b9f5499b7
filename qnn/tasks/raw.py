"""What a loader returns: all rows of a data set as they come, neither split nor scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RawData:
    """All rows of a data set.

    Attributes:
        x: shape (N, D) float64; images are flattened from (channels, height, width).
        y: shape (N,) int64, labels 0 to C-1, each class present.
        class_names: C names.
        source: where the data come from, in one line.
        image_shape: (channels, height, width) or None.
    """

    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...]
    source: str
    image_shape: tuple[int, int, int] | None = None
