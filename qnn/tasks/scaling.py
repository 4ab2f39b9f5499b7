"""Scaling of inputs, fitted on training rows alone."""

from __future__ import annotations

import numpy as np
from sklearn.preprocessing import StandardScaler


class Scaling:
    """Standardisation x -> (x - mean) / standard deviation, fitted on the rows given at construction.

    Tables are standardised column by column, images channel by channel (one mean and one deviation
    for all pixels of a channel): a pixel that is dark in every training row would otherwise be divided
    by zero, or blown up where it lights up later. A column that is constant in the fitted rows is only
    shifted to 0, never divided by its deviation of 0.

    Args:
        x: shape (N, D), the training rows.
        image_shape: (channels, height, width) of a row, or None for a table.
    """

    def __init__(self, x: np.ndarray, image_shape: tuple[int, int, int] | None = None) -> None:
        self._image_shape = image_shape
        self._scaler = StandardScaler().fit(self._columns(x))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scaled rows, shape (N, D) float64 like `x`."""
        scaled = self._scaler.transform(self._columns(x))
        if self._image_shape is None:
            return scaled
        channels = self._image_shape[0]
        return scaled.reshape(len(x), -1, channels).transpose(0, 2, 1).reshape(x.shape)

    def _columns(self, x: np.ndarray) -> np.ndarray:
        """What shares one mean and deviation as one column: (N, D), or (N * height * width, channels)."""
        if self._image_shape is None:
            return x
        channels = self._image_shape[0]
        return x.reshape(len(x), channels, -1).transpose(0, 2, 1).reshape(-1, channels)
