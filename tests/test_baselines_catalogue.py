from typing import Any

import pytest
import torch
from contracts.baseline_contract import BaselineContract
from hypothesis import given, settings
from hypothesis import strategies as st

from qnn.baselines import build_baseline, count_weights, list_baselines
from qnn.baselines.mlp import matched_width
from qnn.errors import ArgumentError, DtypeError, UnknownNameError


class TestLogistic(BaselineContract):
    name, n_trainable = "logistic", 64 * 10 + 10


class TestMlp(BaselineContract):
    name, n_trainable = "mlp", (64 * 64 + 64) + (64 * 32 + 32) + (32 * 10 + 10)


class TestMatchedMlp(BaselineContract):
    name, n_trainable = "mlp-matched", 12 * (64 + 10 + 1) + 10
    options = {"n_weights": 900}
    learning_rate = 0.03


class TestCnn(BaselineContract):
    name, n_trainable = "cnn", (9 * 16 + 16) + (9 * 16 * 32 + 32) + (32 * 4 * 4 * 10 + 10)
    options = {"image_shape": (1, 8, 8)}


def test_every_baseline_has_its_contract_test():
    assert {subclass.name for subclass in BaselineContract.__subclasses__()} == set(list_baselines())


def test_unknown_baseline_gets_a_suggestion():
    with pytest.raises(
        UnknownNameError, match=r'No baseline named "mlp-match"\. Did you mean "mlp-matched"\? Known: cnn'
    ):
        build_baseline("mlp-match", n_inputs=4, n_outputs=2)


def test_logistic_is_one_linear_layer():
    model = build_baseline("logistic", n_inputs=3, n_outputs=2)
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    zero = model(torch.zeros(1, 3))
    assert torch.allclose(model(2 * x) - zero, 2 * (model(x) - zero), atol=1e-5)


def test_a_matched_mlp_with_four_units_still_learns_digits():
    # What matches a 4-qubit hybrid; with ReLU, some of so few units die and it stays near 0.7.
    from qnn.tasks import load_task
    from qnn.training import evaluate, fit

    task = load_task("digits")
    for seed in range(3):
        model = build_baseline("mlp-matched", n_inputs=64, n_outputs=10, n_weights=322, seed=seed)
        fit(model, task, epochs=15, seed=seed, progress=False)
        accuracy = evaluate(model, task.test).accuracy
        assert accuracy is not None and accuracy > 0.80


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 5000))
def test_no_other_width_matches_better(n_inputs, n_outputs, n_weights):
    def miss(width):
        return abs(width * (n_inputs + n_outputs + 1) + n_outputs - n_weights)

    width = matched_width(n_inputs, n_outputs, n_weights)
    assert width >= 1
    assert all(miss(width) <= miss(other) for other in range(1, width + 50))
    model = build_baseline("mlp-matched", n_inputs=n_inputs, n_outputs=n_outputs, n_weights=n_weights)
    assert abs(count_weights(model) - n_weights) == miss(width)


def test_matching_needs_to_know_what():
    with pytest.raises(
        ArgumentError, match=r'`n_weights` must be the number of trainable scalars .* "mlp-matched"; got None'
    ):
        build_baseline("mlp-matched", n_inputs=4, n_outputs=2)
    with pytest.raises(ArgumentError, match=r"`n_weights` must be at least 1, below 2\^63; got 0"):
        build_baseline("mlp-matched", n_inputs=4, n_outputs=2, n_weights=0)
    wrong: Any = "322"
    with pytest.raises(DtypeError, match=r"`n_weights` must be an integer; got '322' \(str\)"):
        build_baseline("mlp-matched", n_inputs=4, n_outputs=2, n_weights=wrong)


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        (None, r'`image_shape` must be .* for the baseline "cnn"; got None, .* Use "mlp" or "logistic" for tables'),
        ((1, 4, 4), r"`image_shape` must have as many pixels as `n_inputs`=64; got \(1, 4, 4\), which has 16"),
        ((1, 1, 64), r"`image_shape` must be \(channels, height, width\) with at least 2 x 2 pixels; got \(1, 1, 64\)"),
        ((8, 8), r"`image_shape` must be \(channels, height, width\) .*; got \(8, 8\)\. A grey"),
    ],
)
def test_cnn_refuses_what_is_no_image(image_shape, message):
    with pytest.raises(ArgumentError, match=message):
        build_baseline("cnn", n_inputs=64, n_outputs=10, image_shape=image_shape)


def test_cnn_takes_other_images():
    model = build_baseline("cnn", n_inputs=3 * 7 * 10, n_outputs=4, image_shape=(3, 7, 10))
    assert model(torch.randn(2, 210)).shape == (2, 4)


def test_cnn_sees_where_pixels_are():
    # A 3 x 3 window has the same response wherever a spot is, but for the edges: shifted image, shifted maps.
    model = build_baseline("cnn", n_inputs=64, n_outputs=10, image_shape=(1, 8, 8))
    spot, shifted = torch.zeros(2, 1, 8, 8)
    spot[0, 2, 2] = shifted[0, 4, 4] = 1.0
    assert isinstance(model, torch.nn.Sequential)
    features = model[:6](torch.stack([spot.flatten(), shifted.flatten()]))  # before the linear layer, 4 x 4 pixels
    assert torch.allclose(features[0, :, 1, 1], features[1, :, 2, 2], atol=1e-6)
    assert not torch.allclose(features[0, :, 1, 1], features[1, :, 1, 1], atol=1e-3)


def test_frozen_and_shared_weights_are_counted_right():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    assert count_weights(model) == 40
    model[0].weight.requires_grad_(False)
    assert count_weights(model) == 24
    model[1].bias = model[0].bias
    assert count_weights(model) == 20
