"""Scores of held-out rows and their intervals."""

import numpy as np
import pytest

from qnn.models.tables.scores import score_classes, score_numbers


def test_accuracy_has_wilsons_interval():
    scores = score_classes(np.zeros(30, int), np.array([0] * 27 + [1] * 3), majority=1)
    accuracy = scores.by_name["accuracy"]  # Wilson (1927): 27 of 30
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx((0.9, 0.7438, 0.9654), abs=1e-4)
    assert scores.by_name["majority"].value == 0
    assert str(scores).startswith("accuracy 0.900 [0.744, 0.965], majority 0.000")
    assert scores.as_dict()["n"] == 30


def test_r2_and_rmse():
    y, predicted = np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 2, 5])
    scores = score_numbers(y, predicted)
    assert scores.by_name["r2"].value == pytest.approx(1 - 4 / 5)
    assert scores.by_name["rmse"].value == pytest.approx(1)
    assert score_numbers(y[:1], y[:1]).by_name["rmse"].low is None


def test_the_interval_of_rmse_is_that_of_theory():
    """Normal errors: rmse has the standard deviation sigma / sqrt(2 n); the width is within 15 %."""
    errors = np.random.default_rng(0).normal(size=2000)
    rmse = score_numbers(np.linspace(0, 9, 2000), np.linspace(0, 9, 2000) + errors).by_name["rmse"]
    assert rmse.high - rmse.low == pytest.approx(2 * 1.96 / np.sqrt(2 * 2000), rel=0.15)
