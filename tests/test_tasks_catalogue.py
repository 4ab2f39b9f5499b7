from typing import Any

import numpy as np
import pytest
import torch
from contracts.task_contract import TaskContract

from qnn.errors import ArgumentError, DtypeError, UnknownNameError
from qnn.tasks import catalogue, list_tasks, load_task
from qnn.tasks.raw import RawData


class TestDigits(TaskContract):
    name, n_rows, n_inputs, n_classes, image_shape = "digits", 1797, 64, 10, (1, 8, 8)


class TestIris(TaskContract):
    name, n_rows, n_inputs, n_classes = "iris", 150, 4, 3


class TestBreastCancer(TaskContract):
    name, n_rows, n_inputs, n_classes = "breast_cancer", 569, 30, 2


class TestMoons(TaskContract):
    name, n_rows, n_inputs, n_classes = "moons", 1000, 2, 2


class TestCircles(TaskContract):
    name, n_rows, n_inputs, n_classes = "circles", 1000, 2, 2


class TestParity(TaskContract):
    name, n_rows, n_inputs, n_classes = "parity", 1024, 4, 2


def test_every_task_has_its_contract_test():
    tested = {subclass.name for subclass in TaskContract.__subclasses__()}
    assert tested == set(list_tasks())


def test_digits_hold_out_360_rows():
    assert len(load_task("digits").test) == 360


def test_a_digit_image_survives_scaling():
    # One mean and one deviation for all pixels: the image is only shifted and stretched.
    from sklearn.datasets import load_digits

    x, _ = load_digits(return_X_y=True)
    row = load_task("digits").test.x[0].double()
    stretched = (row - row.min()) / (row.max() - row.min())
    candidates = (x - x.min(1, keepdims=True)) / np.ptp(x, axis=1)[:, None]
    assert np.abs(candidates - stretched.numpy()).max(axis=1).min() < 1e-6


def test_unknown_task_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match=r'No task named "digit"\. Did you mean "digits"\? Known: breast_cancer'):
        load_task("digit")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": -1}, ArgumentError, r"`seed` must lie between 0 and 4294967295; got -1\. Use seed=0\."),
        ({"seed": 1.5}, DtypeError, r"`seed` must be an integer; got 1\.5 \(float\)"),
        ({"seed": True}, DtypeError, r"`seed` must be an integer; got True"),
        ({"n_train": 100.0}, DtypeError, r"`n_train` must be an integer; got 100\.0"),
        ({"n_test": "all"}, DtypeError, r"`n_test` must be an integer; got 'all'"),
        ({"shuffle_labels": 1}, DtypeError, r"`shuffle_labels` must be True or False; got 1"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        load_task("iris", **options)


def test_numpy_integers_are_integers():
    options: dict[str, Any] = {"n_train": np.int64(9), "seed": np.int32(2)}
    assert len(load_task("iris", **options).train) == 9


def test_a_new_task_is_one_row_and_one_loader(monkeypatch):
    def load_lines() -> RawData:
        y = np.arange(100) % 2
        return RawData(np.stack([y, y + 0.5], axis=1).astype(float), y, ("a", "b"), "made up here")

    monkeypatch.setitem(catalogue.TASKS, "lines", load_lines)
    task = load_task("lines")
    assert "lines" in list_tasks() and task.n_inputs == 2
    assert torch.equal(task.test.x[:, 0] > 0, task.test.y == 1)
