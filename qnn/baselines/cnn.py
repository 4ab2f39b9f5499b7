"""A small convolutional network for images."""

from __future__ import annotations

import torch

from qnn.errors import ArgumentError

CNN_CHANNELS = (16, 32)


def cnn(n_inputs: int, n_outputs: int, image_shape: tuple[int, int, int] | None) -> torch.nn.Module:
    """Convolution 3x3 to 16 channels, max-pool 2x2, convolution 3x3 to 32, linear layer to logits.

    Takes flattened images (N, channels * height * width), like every other baseline.

    Raises:
        ArgumentError: `image_shape` is missing, too small to pool, or has another number of pixels than `n_inputs`.
    """
    if image_shape is None:
        raise ArgumentError(
            '`image_shape` must be (channels, height, width) for the baseline "cnn"; got None, so the rows are '
            'not images. Use "mlp" or "logistic" for tables.'
        )
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < 2:
        raise ArgumentError(
            f"`image_shape` must be (channels, height, width) with at least 2 x 2 pixels; got {image_shape}. "
            "A grey 8 x 8 image is (1, 8, 8)."
        )
    channels, height, width = shape
    if channels * height * width != n_inputs:
        raise ArgumentError(
            f"`image_shape` must have as many pixels as `n_inputs`={n_inputs}; got {image_shape}, "
            f"which has {channels * height * width}. Pass the shape that the flattened rows come from."
        )
    first, second = CNN_CHANNELS
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, shape),
        torch.nn.Conv2d(channels, first, kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(first, second, kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(second * (height // 2) * (width // 2), n_outputs),
    )
