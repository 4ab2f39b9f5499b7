"""One meaning of "whole number" in every argument: Python's and NumPy's integers, no booleans, no floats."""

import numpy as np
import pytest
import torch

import qnn
from qnn import FitConfig, QuantumLayer, QuantumNeuralNetwork
from qnn._integers import checked_seed, whole
from qnn.errors import ArgumentError, QnnError


def test_what_is_whole() -> None:
    assert [whole(v) for v in (3, np.int8(3), np.uint64(3), -1)] == [3, 3, 3, -1]
    assert all(type(whole(np.int32(v))) is int for v in (0, 5))
    assert [whole(v) for v in (True, np.True_, 3.0, np.float64(3), "3", None, [3])] == [None] * 7


def test_what_is_a_seed() -> None:
    assert [checked_seed(v) for v in (None, 0, np.uint64(2**63 - 1))] == [None, 0, 2**63 - 1]
    for bad in (-1, 2**63, 2**70, 1.0, True, "1"):
        with pytest.raises(
            ArgumentError, match=r"`seed` must be an integer from 0 to 2\^63 - 1, or None; got .* Use 0"
        ):
            checked_seed(bad)


def test_numpy_integers_serve_like_pythons() -> None:
    two, one, shots, seed = np.int64(2), np.int32(1), np.int16(20), np.uint8(3)
    layer = QuantumLayer(two, one, shots=shots, seed=seed)
    other = QuantumLayer(2, 1, shots=20, seed=3)
    assert torch.equal(layer(torch.ones(4, 2)), other(torch.ones(4, 2)))
    assert (
        layer.plan.key == other.plan.key
        and layer.explain(np.int64(4)).shots_per_step == other.explain(4).shots_per_step
    )
    assert layer.to_backend("statevector", shots=np.int64(5)).shots == 5
    assert layer.sample(torch.ones(2), shots=np.int64(6)).shape == (6, 2)
    made = QuantumLayer.from_pennylane(
        lambda inputs, w: qnn.circuits.encodings.encoding_named("angle")(inputs + w, [0, 1]),
        n_inputs=two, weight_shapes={"w": two}, observables="Z",
    )  # fmt: skip
    assert made.w.shape == (2,)
    model = QuantumNeuralNetwork(np.int64(3), np.int64(2), np.int64(2), n_qubits=two, n_layers=one, seed=seed)
    assert model(torch.zeros(1, 3)).shape == (1, 2)
    assert FitConfig(epochs=np.int64(2)).epochs == 2


@pytest.mark.parametrize("bad", [True, 2.0, np.float32(2), "2", 0])
def test_what_is_not_whole_is_refused_everywhere(bad) -> None:
    for make in (
        lambda: QuantumLayer(bad, 1),
        lambda: QuantumLayer(1, bad),
        lambda: QuantumLayer(1, 1, shots=bad),
        lambda: QuantumLayer(1, 1, seed=bad if bad != 0 else -1),
        lambda: QuantumLayer.from_pennylane(lambda w: None, n_inputs=0, weight_shapes={"w": (1, bad)}),
        lambda: QuantumNeuralNetwork(bad, None, 1),
        lambda: FitConfig(epochs=bad),
        lambda: QuantumLayer(1, 1, shots=3, seed=0).sample(torch.zeros(1), shots=bad),
    ):
        with pytest.raises(QnnError, match="must"):
            make()
