"""Bad input is refused by name, before any weight changes."""

from typing import Any

import numpy as np
import pytest
import torch

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError
from qnn.training import evaluate, fit

X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])


def with_value(value, row, column):
    x = X.clone()
    x[row, column] = value
    return x


CASES = [
    ("nan", (with_value(float("nan"), 3, 2), Y), NotFiniteError,
     r"`x` of the training part must be finite; got nan in row 3, column 2 \(1 such"),
    ("inf", (with_value(float("inf"), 0, 3), Y), NotFiniteError, r"got inf in row 0, column 3"),
    ("nan in validation", (X, Y, with_value(float("nan"), 5, 0), Y), NotFiniteError,
     r"`x` of the validation part .* row 5, column 0"),
    ("length", (X, Y[:5]), ArgumentError,
     r"`x` and `y` of the training part must have equally many rows; got 6 and 5"),
    ("scalar y", (X, torch.tensor(1)), ArgumentError, r"equally many rows; got 6 and a scalar"),
    ("empty", (X[:0], Y[:0]), ArgumentError, r"The training part must have at least one row; got none"),
    ("empty validation", (X, Y, X[:0], Y[:0]), ArgumentError, r"The validation part must have at least one row"),
    ("flat x", (X[:, 0], Y), ShapeError,
     r"`x` of the training part must have shape \(N, number of features\); got \(6,\)"),
    ("complex x", (X + 1j, Y), DtypeError, r"`x` of the training part must be real; got torch\.complex64"),
    ("text", (np.array([["a"] * 4] * 6), Y), DtypeError,
     r"`x` of the training part must be numbers in a tensor or an array"),
    ("float labels", (X, Y.float()), DtypeError,
     r'`y` of the training part must hold integer class labels for loss="cross_entropy"; got torch\.float32'),
    ("one-hot labels", (X, torch.eye(3).long()[Y]), ShapeError,
     r"`y` of the training part must have shape \(N,\).*; got \(6, 3\)"),
    ("negative label", (X, Y - 1), ArgumentError, r"must hold class labels from 0 up; got -1 in row 0"),
    ("label too large", (X, torch.tensor([0, 1, 2, 3, 1, 2])), ArgumentError,
     r"must hold labels 0 to 2, since the model has 3 outputs; got 3 in row 3\. Give the model 4"),
    ("label too large later", (X, Y, X, Y + 1), ArgumentError,
     r"`y` of the validation part must hold labels 0 to 2.*; got 3 in row 2"),
    ("other width", (X, Y, X[:, :2], Y), ShapeError,
     r"`x` of the validation part must have rows of shape \(4,\).*; got \(2,\)"),
    ("triple", (X, Y, X), ArgumentError, r"`data` must be a task, or a tuple .*; got tuple of length 3"),
    ("tensor", X, ArgumentError, r"`data` must be a task, or a tuple .*; got Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "error", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_data_is_refused_before_training(data, error, message):
    model = torch.nn.Linear(4, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=message):
        fit(model, data, batch_size=2, progress=False)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_parts_that_are_no_pairs_are_refused():
    class Parts:
        train: Any = X
        validation = None

    with pytest.raises(ArgumentError, match=r"The training part must be a pair \(x, y\); got a single tensor"):
        fit(torch.nn.Linear(4, 3), Parts())
    Parts.train = 7
    with pytest.raises(ArgumentError, match=r"The training part must unpack to a pair \(x, y\); got int"):
        fit(torch.nn.Linear(4, 3), Parts())


def test_place_of_a_nan_in_an_image():
    images = torch.zeros(6, 1, 2, 2)
    images[4, 0, 1, 0] = float("nan")
    with pytest.raises(NotFiniteError, match=r"row 4, position \(0, 1, 0\)"):
        fit(torch.nn.Linear(4, 3), (images, Y))


@pytest.mark.parametrize("n_outputs", [1, None])
def test_outputs_that_are_no_logits_are_refused(n_outputs):
    model = torch.nn.Linear(4, 1) if n_outputs else torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Flatten(0))
    with pytest.raises(ShapeError, match=r"`model` must return logits of shape \(6, number of classes\)"):
        fit(model, (X, Y), progress=False)


@pytest.mark.parametrize(
    ("y", "n_outputs", "message"),
    [
        (X[:, 0], 2, r"`model` must return shape \(6, 1\) to match `y` of the training part.*; got \(6, 2\)"),
        (X[:, :3], 1, r"`model` must return shape \(6, 3\) .*; got \(6, 1\)"),
        (Y, 3, r"`model` must return shape \(6, 1\) .*; got \(6, 3\).*cross_entropy"),
    ],
)
def test_mse_never_broadcasts(y, n_outputs, message):
    with pytest.raises(ShapeError, match=message):
        fit(torch.nn.Linear(4, n_outputs), (X, y), loss="mse", progress=False)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (with_value(float("nan"), 2, 0)[:, 0], NotFiniteError, r"`y` of the training part must be finite; .* row 2"),
        (X[:, :1] + 1j, DtypeError, r"`y` of the training part must be real"),
        (X[:, :, None], ShapeError, r"`y` .* must have shape \(N,\) or \(N, number of outputs\); got \(6, 4, 1\)"),
    ],
)
def test_mse_refuses_targets_that_are_no_numbers(y, error, message):
    with pytest.raises(error, match=message):
        fit(torch.nn.Linear(4, 1), (X, y), loss="mse", progress=False)


def test_boolean_and_small_integer_labels_are_labels():
    model = torch.nn.Linear(4, 2)
    expected = evaluate(model, (X, Y % 2))
    for y in (Y % 2 == 1, (Y % 2).to(torch.uint8)):
        assert evaluate(model, (X, y)).loss == expected.loss
