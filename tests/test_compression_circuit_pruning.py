"""`qnn.prune` on circuits: what leaves, by which method, in how many rounds, and what is refused."""

import copy
import math

import pytest
import torch

import qnn
from qnn.compression.circuits.pruning import prune_circuits
from qnn.compression.pruning import prune
from qnn.compression.surrogates.series import surrogate
from qnn.errors import ArgumentError, DtypeError, UnknownNameError
from qnn.layers import QuantumLayer
from qnn.models import QuantumNeuralNetwork

G = torch.Generator().manual_seed(0)
X = torch.rand(24, 4, generator=G)
Y = (X[:, 0] > X[:, 1]).long()


@pytest.fixture
def hybrid():
    return QuantumNeuralNetwork(4, None, 2, n_qubits=3, n_layers=3, seed=0)


def weights(model):
    return [tuple(layer.weights.shape) for layer in model.quantum_layers]


def test_small_angles_leave_from_all_layers_ranked_together(hybrid):
    model = QuantumNeuralNetwork(4, None, 2, n_qubits=3, n_layers=2, n_quantum=2, seed=0)
    small = {(0, 1, 2): 0.01, (0, 0, 0): 2 * math.pi - 0.02, (1, 1, 1): -0.03}
    with torch.no_grad():
        for layer in model.quantum_layers:
            layer.weights.fill_(1.5)
        for (number, *place), value in small.items():
            model.quantum_layers[number].weights[tuple(place)] = value
    before = copy.deepcopy(model.state_dict())
    smaller, report = prune(model, (X, Y), amount=3, device=None)
    assert weights(smaller) == [(4,), (5,)] and weights(model) == [(2, 3), (2, 3)]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (report.before.gates, report.after.gates) == (42, 39)
    assert report.details["trainable rotations as written"] == "12 -> 9"
    classical = {name for name in before if "weights" not in name}
    assert all(torch.equal(before[name], smaller.state_dict()[name]) for name in classical)
    same, _ = prune(model, amount=0.25, device=None)
    assert torch.equal(same(X), smaller(X))
    threshold, _ = prune(model, (X, Y), threshold=0.025, device=None)
    assert weights(threshold) == [(4,), (2, 3)]


def test_zero_angles_leave_without_a_change_of_outputs():
    layer = QuantumLayer(4, 3, reupload=True, dtype=torch.float64, seed=1)
    with torch.no_grad():
        layer.weights[0, 1] = layer.weights[2, :2] = 0.0
    smaller, report = prune(layer, threshold=1e-12)
    x = torch.rand(7, 4, dtype=torch.float64)
    torch.testing.assert_close(smaller(x), layer(x), atol=1e-12, rtol=0)
    assert smaller.weights.shape == (9,) and not report.measurements
    assert report.details["gates as written"] == "48 -> 45"
    assert all(int(n) > 20 for n in report.details["depth on fake_sherbrooke"].split(" -> "))


@pytest.mark.parametrize("options", [{"method": "fisher"}, {"method": "fisher", "fisher": "outputs"},
                                     {"method": "fisher", "fisher": "quantum"}, {"method": "gradient"}])  # fmt: skip
def test_every_method_takes_another_choice_for_the_same_amount(hybrid, options):
    with torch.no_grad():
        hybrid.network[1].weights[:] = torch.linspace(0.3, 3, 9).reshape(3, 3).flip(0)
    by_angle, _ = prune(hybrid, (X, Y), amount=4, device=None)
    other, report = prune(hybrid, (X, Y), amount=4, device=None, **options)
    assert not torch.equal(by_angle(X), other(X))
    assert report.after.n_quantum_weights == 5 and "amount=4" in report.method


def risen(hybrid):
    """Losses of the hybrid without its first, second or third layer."""
    losses, state = [], hybrid.state_dict()
    name = next(n for n in state if n.endswith(".weights"))
    for places in ((1, 2), (0, 2), (0, 1)):
        fewer = QuantumNeuralNetwork(4, None, 2, n_qubits=3, n_layers=2, seed=0)
        fewer.load_state_dict(state | {name: state[name][list(places)]})
        losses.append(torch.nn.functional.cross_entropy(fewer(X), Y).item())
    return losses


def test_the_layer_without_which_the_loss_is_least_leaves_as_a_whole(hybrid):
    smaller, report = prune(hybrid, (X, Y), method="layer", amount=1, device=None)
    kept = [
        places
        for places in ((1, 2), (0, 2), (0, 1))
        if torch.equal(smaller.quantum_layers[0].weights, hybrid.quantum_layers[0].weights[list(places)])
    ]
    losses = risen(hybrid)
    assert kept == [((1, 2), (0, 2), (0, 1))[losses.index(min(losses))]]
    assert report.after.loss == pytest.approx(min(losses), rel=1e-5)
    assert report.details["two-qubit gates as written"] == "9 -> 6"
    rises = sorted(loss - report.before.loss for loss in losses)
    assert rises[1] > max(0.0, rises[0])
    some, _ = prune(hybrid, (X, Y), method="layer", threshold=(max(0.0, rises[0]) + rises[1]) / 2, device=None)
    assert weights(some) == [(2, 3)]
    with torch.no_grad():
        hybrid.quantum_layers[0].weights[1] = 0.1
    by_angle, _ = prune(hybrid, method="layer", amount=1, device=None)
    assert torch.equal(by_angle.quantum_layers[0].weights, hybrid.quantum_layers[0].weights[[0, 2]])


def test_rounds_rank_anew_and_fine_tuning_trains_after_each(hybrid):
    linear, report = prune(hybrid, (X, Y), method="gradient", amount=6, rounds=3, device=None)
    assert [m.label for m in report.measurements] == ["before", "round 1", "round 2", "after"]
    assert [m.n_quantum_weights for m in report.measurements] == [9, 7, 5, 3]
    cubic = prune(hybrid, (X, Y), method="gradient", amount=6, rounds=3, schedule="cubic", device=None)[1]
    assert [m.n_quantum_weights for m in cubic.measurements] == [9, 5, 3, 3]
    config = qnn.FitConfig(epochs=2, learning_rate=0.05, progress=False)
    tuned, after = prune(hybrid, (X, Y), method="gradient", amount=6, rounds=3, fine_tune=config, device=None)
    assert after.after.loss < report.after.loss
    assert not torch.equal(tuned.network[0].linear.weight, hybrid.network[0].linear.weight)
    assert torch.equal(linear.network[0].linear.weight, hybrid.network[0].linear.weight)
    layered = prune(hybrid, (X, Y), method="layer", amount=2, rounds=2, fine_tune=1, device=None)[1]
    assert [m.n_quantum_weights for m in layered.measurements] == [9, 6, 3]


def test_a_module_used_twice_is_pruned_once_and_saved(tmp_path):
    shared = QuantumLayer(2, 2, seed=0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), shared, torch.nn.Tanh(), shared, torch.nn.Linear(2, 2))
    smaller, _ = prune(model, (X, Y), method="fisher", amount=2, device=None)
    assert smaller[1] is smaller[3] and smaller[1].weights.numel() == 2
    read = qnn.load(qnn.save(smaller, tmp_path / "smaller.qnn"))
    assert torch.equal(read(X), smaller(X))


def test_sampling_is_left_as_it_is(hybrid):
    hybrid.to_backend("statevector", shots=20)
    state = hybrid.quantum_layers[0].sampling_state()
    smaller, report = prune(hybrid, (X, Y), amount=2, device=None)
    assert hybrid.quantum_layers[0].sampling_state() == state
    assert report.after.shots_per_step < report.before.shots_per_step
    assert smaller.quantum_layers[0].shots == 20


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"amount": 9}, "`amount` must be between 1 and 8 of the 9 trainable rotations; got 9"),
        (
            {"threshold": 7.0},
            r'must leave something of every quantum layer; the layer "network.1" would lose all of its 9',
        ),
        ({"method": "layer", "amount": 3}, "`amount` must be between 1 and 2 of the 3 layers; got 3"),
        ({"amount": 0.01}, "`amount` must be between 1 and 8"),
        ({"amount": 1.5}, "`amount` must be a share below 1"),
        ({"amount": -1}, "`amount` must be"),
        ({"amount": math.nan}, "`amount` must be"),
        ({}, "must be given; got none"),
        ({"amount": 1, "threshold": 0.1}, "`amount` and `threshold`"),
        ({"amount": 1, "rounds": 0}, "`rounds` must be at least 1"),
        ({"amount": 1, "fine_tune": 1}, "`data` must be given to fine-tune"),
        ({"amount": 1, "method": "fisher"}, '`data` must be given for method="fisher"'),
    ],
)
def test_what_cannot_be_done_is_refused(hybrid, options, match):
    with pytest.raises(ArgumentError, match=match):
        prune(hybrid, device=None, **options)


def test_a_circuit_of_one_rotation_has_none_to_lose():
    with pytest.raises(
        ArgumentError, match="must have a quantum layer of more than one of its trainable rotations; got 1 in 1"
    ):
        prune(QuantumLayer(1, 1, seed=0), amount=1, device=None)


class Doubled(QuantumLayer):
    def forward(self, inputs=None):
        return 2 * super().forward(inputs)


def test_a_layer_that_does_more_is_not_replaced():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), Doubled(2, 2, seed=0))
    for compress in (lambda: prune(model, amount=1, device=None), lambda: surrogate(model, device=None)):
        with pytest.raises(ArgumentError, match='whose `forward` is that of QuantumLayer; "1" has one of its own'):
            compress()


def test_wrong_types_names_and_models_are_refused(hybrid):
    with pytest.raises(DtypeError, match="`amount` must be a number"):
        prune(hybrid, amount=True, device=None)
    with pytest.raises(UnknownNameError, match=r'No pruning method named "angels"\. Did you mean "angle"'):
        prune(hybrid, method="angels", amount=1)
    with pytest.raises(UnknownNameError, match='No part named "quantum"'):
        prune(hybrid, part="quantum", amount=1)
    with pytest.raises(UnknownNameError, match="No pruning method"):
        prune_circuits(hybrid, method="weight", amount=1)
    with pytest.raises(ArgumentError, match="must have a quantum layer for its circuits to be pruned; got none"):
        prune(torch.nn.Linear(2, 2), amount=1)
    one, two = QuantumLayer(2, 2), QuantumLayer(2, 2)
    two.weights = one.weights
    with pytest.raises(ArgumentError, match=r'must not tie the weights .* in "0" and "1"'):
        prune(torch.nn.Sequential(one, two), amount=1)
    one.weights.requires_grad_(False)
    with pytest.raises(ArgumentError, match="must have trainable rotations in its circuits; got none"):
        prune(one, amount=1)


@pytest.mark.slow
def test_a_hybrid_on_the_digits_loses_30_percent_of_its_gates_within_the_interval():
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    import prune_circuit

    model, smaller, report = prune_circuit.pruned(
        qnn.load_task("digits"), *prune_circuit.HYBRIDS["layers as a whole"], epochs=40, device=None
    )
    assert prune_circuit.reached(report) and prune_circuit.lost(report) >= 0.3
    assert prune_circuit.circuits_with_shots(smaller) < 0.7 * prune_circuit.circuits_with_shots(model)
