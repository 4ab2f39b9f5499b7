"""Samples and counts: the right distribution, the right bits, repeated by the seed, on every backend."""

from dataclasses import replace

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer, _meter
from qnn.backends.base import Capabilities, Estimate
from qnn.backends.pennylane import PennyLane
from qnn.backends.statevector import Statevector, StatevectorExecutable
from qnn.errors import ArgumentError, CapabilityError, NotFiniteError, ShapeError
from qnn.layers import sampling

ROW = torch.tensor([0.7, 1.9, -0.4])


def layer(**options) -> QuantumLayer:
    return QuantumLayer(3, 2, **{"seed": 3, **options})


def distribution(inputs: torch.Tensor, **options) -> torch.Tensor:
    return layer(observables="probs", dtype=torch.float64, **options)(inputs.double()).detach()


def chi_squared_is_plausible(counts: np.ndarray, p: np.ndarray, sigmas: float = 5) -> bool:
    """Pearson's statistic within its mean k-1 and `sigmas` standard deviations, (2(k-1))^½ for expected counts > 5."""
    expected = counts.sum() * p
    assert (expected > 5).all()
    statistic = ((counts - expected) ** 2 / expected).sum()
    return abs(statistic - (len(p) - 1)) < sigmas * (2 * (len(p) - 1)) ** 0.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backend": "aer"},
        {"backend": "aer", "sampler": "aer"},
        {"backend": "aer", "noise": "fake_manila"},
        {"backend": PennyLane("default.qubit", seed=0)},
    ],
    ids=["statevector", "aer", "aer shots", "noise and readout", "pennylane"],
)
def test_counts_follow_the_distribution_of_all_wires(options: dict) -> None:
    shots = 20000
    inputs = torch.stack([ROW, -2 * ROW])
    exact = distribution(inputs, **{k: v for k, v in options.items() if k not in ("sampler",)}).numpy()
    found = layer(**options).counts(inputs, shots=shots)
    for counts, p in zip(found, exact, strict=True):
        assert sum(counts.values()) == shots
        seen = np.array([counts.get(format(outcome, "03b"), 0) for outcome in range(8)])
        assert chi_squared_is_plausible(seen, p)


def test_noise_is_included() -> None:
    """The noisy distribution is further from the ideal one than 5 standard errors of 20000 shots."""
    ideal = distribution(ROW)
    noisy = layer(backend="aer", noise="fake_manila").sample(ROW, shots=20000)
    p = ideal.reshape(2, 4).sum(dim=1)[1]
    assert abs(noisy[:, 0].double().mean() - p) > 5 * (p * (1 - p) / 20000) ** 0.5


def test_wire_0_is_the_first_bit() -> None:
    def flip(inputs, w):
        qml.RX(inputs[0] + 0 * w[0], wires=0)
        qml.X(2)
        return qml.expval(qml.Z(0))

    with pytest.warns(UserWarning, match="cannot change any output"):
        built = QuantumLayer.from_pennylane(flip, n_inputs=1, weight_shapes={"w": 1}, n_qubits=4)
    assert built.sample(torch.zeros(1), shots=2).tolist() == [[0, 0, 1, 0]] * 2
    assert built.counts(torch.tensor([np.pi]), shots=7) == {"1010": 7}


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 0), (0,), (1, 2, 2)])
def test_leading_dimensions(leading: tuple[int, ...]) -> None:
    built = layer(shots=11)
    inputs = ROW.expand(*leading, 3)
    samples, counts = built.sample(inputs), built.counts(inputs)
    assert samples.shape == (*leading, 11, 3) and samples.dtype == torch.int64
    assert bool(((samples == 0) | (samples == 1)).all())

    def shape(nested) -> tuple[int, ...]:
        return () if isinstance(nested, dict) else (len(nested), *(shape(nested[0]) if nested else ()))

    empty = leading.index(0) + 1 if 0 in leading else len(leading)
    assert shape(counts) == leading[:empty]


def test_shots_of_the_call_and_of_the_layer() -> None:
    built = layer(shots=5)
    assert built.sample(ROW).shape == (5, 3) and built.sample(ROW, shots=9).shape == (9, 3)
    assert sum(built.counts(ROW).values()) == 5
    with (
        built.using(shots=None),
        pytest.raises(ArgumentError, match="`shots` must be given to sample a layer that is exact; got None"),
    ):
        built.sample(ROW)


def test_shots_come_in_random_order_and_are_independent_of_each_other() -> None:
    """Neighbouring shots are uncorrelated: |r| < 5/√n; sorted shots would have r near 1."""
    bits = layer().sample(ROW, shots=20000)[:, 0].double()
    bits = bits - bits.mean()
    assert abs((bits[1:] * bits[:-1]).mean() / bits.var()) < 5 / 20000**0.5


def test_the_seed_repeats_samples_and_calls_differ() -> None:
    one, two = layer(), layer()
    first = one.sample(ROW, shots=50)
    assert torch.equal(first, two.sample(ROW, shots=50))
    assert not torch.equal(first, one.sample(ROW, shots=50))
    other = layer(seed=4)
    other.load_state_dict(one.state_dict())
    assert not torch.equal(first, other.sample(ROW, shots=50))
    rows = layer().sample(ROW.expand(2, 3), shots=50)
    assert torch.equal(rows[0], first) and not torch.equal(rows[0], rows[1])


def test_samples_and_counts_of_one_key_agree() -> None:
    samples, counts = layer().sample(ROW, shots=300), layer().counts(ROW, shots=300)
    found: dict[str, int] = {}
    for shot in samples.tolist():
        found["".join(map(str, shot))] = found.get("".join(map(str, shot)), 0) + 1
    assert found == counts


def test_a_batch_is_one_call_of_the_backend_and_leaves_gradients_alone() -> None:
    built = layer(observables=[qml.X(0), qml.var(qml.Z(1)), qml.Y(2)])
    with _meter.measure() as used:
        samples = built.sample(ROW.expand(6, 3).clone().requires_grad_(), shots=10)
    assert (used.circuits, used.shots, used.jobs) == (6, 60, 1)
    assert not samples.requires_grad


def test_bad_inputs_are_refused() -> None:
    built = layer(shots=5)
    for shots in (0, -1, 2.5, True):
        with pytest.raises(ArgumentError, match="`shots` must be a positive integer, or None for exact values; got"):
            built.counts(ROW, shots=shots)
    with pytest.raises(ShapeError, match="`inputs` must end in 3 features"):
        built.sample(torch.zeros(2, 4))
    with pytest.raises(NotFiniteError, match="must be finite; got nan"):
        built.sample(torch.full((3,), float("nan")))
    with pytest.raises(ArgumentError, match=r"`inputs` must have few enough rows .* got 300000 rows of 2\^10"):
        QuantumLayer(10, 1, seed=0).counts(torch.zeros(300000, 10), shots=1)


class Uncounted(Statevector):
    """Samples, and keeps the counts to itself."""

    name = "uncounted"

    def specification(self) -> None:
        return None

    def compile(self, circuit) -> StatevectorExecutable:
        executable = super().compile(circuit)
        run = executable.run

        def without_counts(*args, **options) -> Estimate:
            return replace(run(*args, **options), counts=None)

        executable.run = without_counts
        return executable


class ExactOnly(Statevector):
    """Has no shots at all."""

    name = "exact-only"

    def specification(self) -> None:
        return None

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, shots=False)


@pytest.mark.parametrize("backend", [Uncounted(), ExactOnly()], ids=lambda b: b.name)
def test_a_backend_without_counts_is_refused(backend) -> None:
    with pytest.raises(CapabilityError, match=rf'Backend "{backend.name}" returns no counts, .* Use backend="state'):
        layer(backend=backend).sample(ROW, shots=3)


def test_compiled_circuits_are_reused() -> None:
    built = layer()
    built.sample(ROW, shots=2)
    before = sampling._executable.cache_info()
    built.counts(2 * ROW, shots=3)
    after = sampling._executable.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
