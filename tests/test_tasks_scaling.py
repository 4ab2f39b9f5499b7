import dataclasses

import numpy as np
import pytest
import torch

from qnn.tasks import catalogue, load_task
from qnn.tasks.scaling import Scaling
from qnn.tasks.split import split_rows


@pytest.mark.parametrize("name", ["digits", "iris", "breast_cancer"])
def test_test_and_validation_rows_do_not_reach_the_scaling(name, monkeypatch):
    plain = load_task(name, n_train=50)
    raw = catalogue.TASKS[name]()
    split = split_rows(raw.y, seed=0)
    disturbed = raw.x.copy()
    for rows in (split.test, split.validation, split.train[50:]):
        disturbed[rows] = 1000.0 - 7.0 * disturbed[rows]
    monkeypatch.setitem(catalogue.TASKS, name, lambda: dataclasses.replace(raw, x=disturbed))
    after = load_task(name, n_train=50)
    assert torch.equal(plain.train.x, after.train.x)
    assert not torch.equal(plain.test.x, after.test.x)  # so the disturbance was real


def test_training_rows_do_reach_the_scaling(monkeypatch):
    plain = load_task("iris")
    raw = catalogue.TASKS["iris"]()
    disturbed = raw.x.copy()
    disturbed[split_rows(raw.y, seed=0).train[0]] += 100.0
    monkeypatch.setitem(catalogue.TASKS, "iris", lambda: dataclasses.replace(raw, x=disturbed))
    assert not torch.equal(plain.test.x, load_task("iris").test.x)


def test_columns_are_standardised_one_by_one():
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 10.0, 100.0] + [5.0, -5.0, 0.0]
    unseen = x[:2] + 1.0
    np.testing.assert_allclose(Scaling(x)(unseen), (unseen - x.mean(0)) / x.std(0), rtol=1e-12)


def test_constant_columns_become_zero_and_never_nan():
    x = np.array([[3.0, 1.0], [3.0, 2.0], [3.0, 4.0]])
    scaling = Scaling(x)
    np.testing.assert_array_equal(scaling(x)[:, 0], 0.0)
    np.testing.assert_array_equal(scaling(np.array([[5.0, 1.0]]))[:, 0], 2.0)  # shifted, not divided
    assert np.isfinite(Scaling(x[:1])(x)).all()


def test_channels_of_an_image_are_standardised_one_by_one():
    x = np.random.default_rng(1).normal(size=(20, 2, 3, 4)) * np.array([1.0, 9.0])[:, None, None] + 2.0
    flat = x.reshape(20, -1)
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(Scaling(flat, (2, 3, 4))(flat), expected.reshape(20, -1), rtol=1e-10, atol=1e-12)


def test_a_pixel_dark_in_training_is_not_blown_up():
    train = np.array([[0.0, 16.0, 4.0, 8.0], [0.0, 12.0, 6.0, 10.0]])
    lit = Scaling(train, (1, 2, 2))(np.array([[16.0, 0.0, 0.0, 0.0]]))
    assert np.abs(lit).max() < 3.0
