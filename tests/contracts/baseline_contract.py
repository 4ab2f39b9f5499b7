"""What every classical baseline must hold to; a new baseline's test is a subclass that builds it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from qnn.baselines import build_baseline, count_weights
from qnn.errors import ArgumentError, DtypeError
from qnn.tasks import load_task
from qnn.training import evaluate, fit


class BaselineContract:
    name: str
    n_trainable: int  # for 64 inputs, 10 outputs and the options below
    options: dict[str, Any] = {}
    learning_rate = 0.01
    epochs = 6

    @pytest.fixture(autouse=True)
    def _repeatable(self):
        torch.manual_seed(0)

    def build(self, **changes: Any) -> torch.nn.Module:
        return build_baseline(self.name, **({"n_inputs": 64, "n_outputs": 10} | self.options | changes))

    def test_rows_to_logits(self):
        model = self.build()
        for n in (1, 5):
            outputs = model(torch.randn(n, 64))
            assert outputs.shape == (n, 10) and outputs.dtype == torch.float32
        assert (model(torch.randn(200, 64)) < 0).any()  # logits, not probabilities

    def test_trainable_scalars(self):
        model = self.build()
        assert count_weights(model) == self.n_trainable
        assert all(parameter.requires_grad for parameter in model.parameters())

    def test_seed_fixes_the_initial_weights(self):
        first, again, other = (self.build(seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not any(torch.equal(first[name], other[name]) for name in first)

    def test_global_generator_has_no_say_and_is_left_alone(self):
        torch.manual_seed(1)
        first = self.build()
        expected = torch.rand(3)
        torch.manual_seed(1)
        assert torch.equal(torch.rand(3), expected)
        torch.manual_seed(2)
        assert torch.equal(next(first.parameters()), next(self.build().parameters()))

    def test_rows_do_not_see_each_other(self):
        model, x = self.build(), torch.randn(7, 64)
        one_by_one = torch.cat([model(row[None]) for row in x])
        assert torch.allclose(model(x), one_by_one, atol=1e-5)

    def test_every_weight_gets_a_gradient(self):
        model = self.build()
        torch.nn.functional.cross_entropy(model(torch.randn(64, 64)), torch.arange(64) % 10).backward()
        for parameter in model.parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0

    def test_copies_and_stored_weights_give_the_same_outputs(self):
        model, x = self.build(seed=1), torch.randn(3, 64)
        loaded = self.build(seed=2)
        loaded.load_state_dict(model.state_dict())
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
            assert torch.equal(other(x), model(x))

    def test_learns_digits_above_90_percent(self):
        task = load_task("digits")
        model = self.build()
        fit(model, task, epochs=self.epochs, learning_rate=self.learning_rate, progress=False)
        accuracy = evaluate(model, task.test).accuracy
        assert accuracy is not None and accuracy > 0.90

    @pytest.mark.parametrize("argument", ["n_inputs", "n_outputs", "seed"])
    def test_wrong_numbers_are_refused(self, argument):
        with pytest.raises(ArgumentError, match=rf"`{argument}` must be at least [01], below 2\^63; got -1"):
            self.build(**{argument: -1})
        with pytest.raises(DtypeError, match=rf"`{argument}` must be an integer; got 2\.0 \(float\)"):
            self.build(**{argument: 2.0})
