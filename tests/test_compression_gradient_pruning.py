"""Gradient pruning in training: what is saved, counted from executed circuits, and what is drawn."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn._meter import measure
from qnn.compression.circuits.gradient_pruning import GradientPruning, drawn
from qnn.errors import ArgumentError, DtypeError
from qnn.gradients import subset
from qnn.layers import QuantumLayer
from qnn.training import Checkpoint, fit
from qnn.training.callbacks.base import Callback

G = torch.Generator().manual_seed(1)
X, Y = torch.rand(8, 2, generator=G, dtype=torch.float64), torch.rand(8, 2, generator=G, dtype=torch.float64)
OPTIONS = {"epochs": 6, "batch_size": None, "loss": "mse", "restore_best": False, "progress": False, "optimizer": "sgd"}


class Watch(Callback):
    """Circuits and gradients of each step."""

    def __init__(self, layer):
        self.layer, self.circuits, self.gradients = layer, [], []

    def on_backward_end(self, state):
        self.gradients.append(self.layer.weights.grad.clone().reshape(-1))

    def on_step_end(self, state):
        self.circuits.append(state.spent.circuits)


def layer_of(n_layers=3, **options):
    return QuantumLayer(2, n_layers, seed=0, dtype=torch.float64, **{"gradient": "parameter-shift"} | options)


def trained(layer, *callbacks, model=None, **options):
    watch = Watch(layer)
    with measure() as usage:
        fit(model or layer, (X, Y), callbacks=[*callbacks, watch], **OPTIONS | options)
    circuits = np.diff([0, *watch.circuits]).tolist()
    assert sum(circuits) == usage.circuits
    return circuits, watch.gradients


def test_the_default_saves_one_third_of_the_shifted_circuits():
    full, _ = trained(layer_of())
    assert full == [8 * (1 + 2 * 6)] * 6
    pruned, gradients = trained(layer_of(), GradientPruning())
    assert pruned == [8 * (1 + 2 * n) for n in (6, 3, 3, 6, 3, 3)]
    shifted = [sum(circuits) - 6 * 8 for circuits in (pruned, full)]
    assert 3 * shifted[0] == 2 * shifted[1]
    assert [int((g != 0).sum()) for g in gradients] == [6, 3, 3, 6, 3, 3]


@pytest.mark.parametrize(
    ("options", "evaluated"),
    [
        ({"accumulation": 2, "pruning": 1}, [6, 6, 3, 6, 6, 3]),
        ({"pruning": 5}, [6, 3, 3, 3, 3, 3]),
        ({"ratio": 0.8}, [6, 1, 1, 6, 1, 1]),
        ({"ratio": 0.99}, [6, 1, 1, 6, 1, 1]),
    ],
)
def test_windows_and_ratio(options, evaluated):
    assert trained(layer_of(), GradientPruning(**options))[0] == [8 * (1 + 2 * n) for n in evaluated]


def test_gradients_of_drawn_weights_are_exact_and_the_drawing_follows_from_the_seed():
    plain, (_, first) = layer_of(), trained(layer_of(), GradientPruning(), epochs=2)[1]
    fit(plain, (X, Y), **OPTIONS | {"epochs": 1})
    plain.zero_grad()
    torch.nn.functional.mse_loss(plain(X), Y).backward()
    chosen = first != 0
    torch.testing.assert_close(first[chosen], plain.weights.grad.reshape(-1)[chosen])
    assert torch.equal(first, trained(layer_of(), GradientPruning(), epochs=2)[1][1])
    others = {tuple((trained(layer_of(), GradientPruning(seed=s), epochs=2)[1][1] != 0).tolist()) for s in range(1, 6)}
    assert others - {tuple(chosen.tolist())}


def test_without_chance_the_largest_are_taken():
    _, gradients = trained(layer_of(), GradientPruning(probabilistic=False))
    for step in (0, 3):
        largest = set(gradients[step].abs().topk(3).indices.tolist())
        assert all(set(gradients[step + i].nonzero().reshape(-1).tolist()) == largest for i in (1, 2))


def test_weights_are_drawn_in_proportion_to_their_sums():
    n = 2000
    pairs = np.array([drawn(np.array([3.0, 1.0, 0.0, 4.0]), 2, (0, step, 0, 0, 0)) for step in range(n)])
    assert (pairs[:, 0] < pairs[:, 1]).all() and not (pairs == 2).any()
    # both of the first two: 3/8 · 1/5 + 1/8 · 3/7
    expected = 3 / 40 + 3 / 56
    seen = (pairs == [0, 1]).all(axis=1).mean()
    assert abs(seen - expected) < 5 * np.sqrt(expected * (1 - expected) / n)
    assert drawn(np.array([0.0, 0.0, 1.0]), 2, (0, 0, 0, 0, 0)).tolist() in ([0, 2], [1, 2])
    assert drawn(np.array([0.5, 0.0, 1.0, 0.7]), 2, None).tolist() == [2, 3]


def test_a_hybrid_keeps_the_gradients_of_its_inputs():
    torch.manual_seed(0)
    layer = layer_of()
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), layer).double()
    circuits, _ = trained(layer, GradientPruning(), model=model)
    assert circuits == [8 * (1 + 2 * (n + 2)) for n in (6, 3, 3, 6, 3, 3)]
    assert all(p.grad.abs().sum() > 0 for p in model[0].parameters())


def test_inputs_that_weights_multiply_keep_their_whole_gradients():
    def function(inputs, weights):
        qml.RX(weights[0] * inputs[0], wires=0)
        qml.RY(weights[1] * inputs[1], wires=1)
        qml.CNOT(wires=[0, 1])
        qml.RX(weights[2], wires=0)
        qml.RY(weights[3], wires=1)

    def hybrid():
        torch.manual_seed(0)
        layer = QuantumLayer.from_pennylane(
            function, n_inputs=2, weight_shapes={"weights": 4}, observables=[qml.Z(0), qml.Z(1)], dtype=torch.float64,
            gradient="parameter-shift", seed=1,
        )  # fmt: skip
        return torch.nn.Sequential(torch.nn.Linear(2, 2).double(), layer)

    class BesideUnpruned(Callback):
        n_whole = []

        def on_backward_end(self, state):
            twin.load_state_dict(model.state_dict())
            twin.zero_grad()
            torch.nn.functional.mse_loss(twin(X), Y).backward()
            for pruned, whole in zip(model[0].parameters(), twin[0].parameters(), strict=True):
                torch.testing.assert_close(pruned.grad, whole.grad, rtol=1e-12, atol=1e-14)
            found, whole = model[1].weights.grad, twin[1].weights.grad
            drawn = found != 0
            torch.testing.assert_close(found[drawn], whole[drawn], rtol=1e-12, atol=1e-14)
            assert bool((whole != 0).all())
            self.n_whole.append(int(drawn.sum()))

    model, twin = hybrid(), hybrid()
    fit(model, (X, Y), callbacks=[GradientPruning(), BesideUnpruned()], **OPTIONS)
    assert BesideUnpruned.n_whole == [4, 2, 2, 4, 2, 2]


def test_all_angles_of_a_drawn_weight_are_shifted_and_a_sum_reaches_drawn_weights_only():
    def function(inputs, weights):
        qml.RY(inputs[0] + inputs[1], wires=0)
        qml.RX(weights[0], wires=0)
        qml.RY(weights[0], wires=1)
        qml.RY(weights[1] + weights[2], wires=0)
        qml.RX(weights[3], wires=1)

    layer = QuantumLayer.from_pennylane(
        function, n_inputs=2, weight_shapes={"weights": 4}, observables=[qml.Z(0), qml.Z(1)], dtype=torch.float64,
        gradient="parameter-shift", seed=0,
    )  # fmt: skip
    circuits, gradients = trained(layer, GradientPruning())
    slots = {0: (0,), 1: (2,), 2: (2,), 3: (3,)}
    for step in (1, 2, 4, 5):
        left = gradients[step].nonzero().reshape(-1).tolist()
        assert len(left) == 2
        n_slots = len({s for w in left for s in slots[w]}) + (0 in left)
        assert circuits[step] == 8 * (1 + 2 * n_slots)


def test_a_run_that_goes_on_draws_what_it_would_have_drawn(tmp_path):
    whole, broken = layer_of(shots=20), layer_of(shots=20)
    circuits, _ = trained(whole, GradientPruning())
    assert sum(trained(broken, GradientPruning(), epochs=2, checkpoint=Checkpoint(tmp_path))[0]) == sum(circuits[:2])
    again = layer_of(shots=20)
    trained(again, GradientPruning(), checkpoint=Checkpoint(tmp_path))
    assert torch.equal(again.weights, whole.weights)


def test_afterwards_the_layer_is_as_before_even_after_an_error():
    class Failing(Callback):
        def on_backward_end(self, state):
            raise RuntimeError("stop")

    layer = layer_of()
    with pytest.raises(RuntimeError, match="stop"):
        fit(layer, (X, Y), callbacks=[GradientPruning(), Failing()], **OPTIONS)
    assert not layer._forward_hooks and not layer._forward_pre_hooks
    with measure() as usage:
        layer(X).sum().backward()
    assert usage.circuits == 8 * 13 and bool((layer.weights.grad != 0).any())
    with subset.only({0, 3}), measure() as usage:
        layer(X)
    assert usage.circuits == 8 * 5
    assert subset.within([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"accumulation": 0}, ArgumentError, "`accumulation` must be a number of steps from 1 up; got 0"),
        ({"pruning": 1.5}, ArgumentError, "`pruning` must be"),
        ({"ratio": 1.0}, ArgumentError, "`ratio` must be between 0 and 1; got 1.0"),
        ({"ratio": True}, ArgumentError, "`ratio` must be"),
        ({"probabilistic": 1}, DtypeError, "`probabilistic` must be True or False"),
        ({"seed": -1}, ArgumentError, "`seed` must be"),
    ],
)
def test_options_out_of_range_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        GradientPruning(**options)


def test_models_without_shifted_weights_are_refused():
    with pytest.raises(ArgumentError, match='needs gradient="parameter-shift"; got "adjoint" in the layer "0"'):
        trained(layer_of(), GradientPruning(), model=torch.nn.Sequential(layer_of(gradient="auto")))
    with pytest.raises(ArgumentError, match="with trainable weights for GradientPruning; got none"):
        fit(torch.nn.Linear(2, 2).double(), (X, Y), callbacks=[GradientPruning()], **OPTIONS)
    layer = layer_of()
    layer.weights.requires_grad_(False)
    with pytest.raises(ArgumentError, match="with trainable weights for GradientPruning; got none"):
        fit(
            torch.nn.Sequential(torch.nn.Linear(2, 2).double(), layer), (X, Y), callbacks=[GradientPruning()], **OPTIONS
        )
