"""Inert parameters: named where they exist, and nowhere else."""

import warnings

import pennylane as qml
import pytest
import torch
from random_functions import N_INPUTS, WEIGHT_SHAPES, random_function

from qnn import QuantumLayer
from qnn.circuits.ansatze import ANSATZE
from qnn.circuits.capture import capture
from qnn.circuits.encodings import ENCODINGS
from qnn.errors import InertParameterWarning, NoEffectWarning
from qnn.gradients.inert import inert_parameters, unused_inputs

F64 = torch.float64


def found(function, n_inputs=0, observables=None, **weight_shapes) -> list[str]:
    captured = capture(function, n_inputs=n_inputs, weight_shapes=weight_shapes, observables=observables)
    return inert_parameters(captured.circuit, captured.angle_map)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ansatz", [name for name in ANSATZE if name != "strongly_entangling"])
def test_no_parameter_of_a_built_in_layer_is_inert(ansatz: str, encoding: str) -> None:
    """The Jacobian of every output by every input and weight has no zero column; building warns of nothing.

    Of many amplitudes one depth for each number of wires: 1 layer on five, 2 on six.
    """
    options = {"ansatz": ansatz, "encoding": encoding, "dtype": F64}
    joining = ansatz in ("qcnn", "tree")  # of two wires or more; every weight is seen on wire 0 alone as well
    for n in range(1 + joining, 6 if joining else 7):
        depths = range(1, 3 if joining else 5)
        for n_layers in depths if encoding != "amplitude" or n < 5 else (n - 4,):
            layer = QuantumLayer(n, n_layers, seed=n, reupload=n_layers == 2 and n < 4, **options)
            if joining:
                QuantumLayer(n, n_layers, observables=qml.Z(0), reupload=n_layers == 2 and n < 4, **options)
            inputs = torch.rand(
                2, layer.n_inputs, generator=torch.Generator().manual_seed(n), dtype=F64
            ).requires_grad_()
            mixed = layer(inputs) * torch.arange(1, n + 1, dtype=F64).sqrt()
            by_inputs, by_weights = torch.autograd.grad(mixed.sum(), (inputs, layer.weights))
            assert bool((by_inputs.abs() > 1e-12).all()) and bool((by_weights.abs() > 1e-12).all())


@pytest.mark.parametrize("n", [1, 2, 4])
def test_strongly_entangling_layers_end_in_rotations_that_z_cannot_see(n: int) -> None:
    last = ", ".join(rf"weights\[1, {i}, 2\]" for i in range(n))
    with pytest.warns(InertParameterWarning, match=rf"^{n} parameter\(s\) of this circuit .*: {last}\. "):
        QuantumLayer(n, 2, ansatz="strongly_entangling", seed=0)
    QuantumLayer(n, 2, ansatz="strongly_entangling", observables=[qml.X(i) for i in range(n)], seed=0)


def test_rx_on_plus_names_the_angles() -> None:
    def trap(inputs, w):
        qml.Hadamard(0)
        qml.RX(inputs[0], 0)
        qml.RX(w[0] * w[1], 0)
        qml.RY(w[2], 0)
        return qml.expval(qml.Z(0))

    with pytest.warns(InertParameterWarning, match=r"3 parameter\(s\) .*: inputs\[0\], w\[0\], w\[1\]\. RX on H\|0>"):
        QuantumLayer.from_pennylane(trap, n_inputs=1, weight_shapes={"w": 3}, seed=0)


def test_gates_outside_the_light_cone() -> None:
    def function(inputs, w):
        qml.RX(inputs[0], 0)
        qml.RY(w[0], 1)
        qml.CNOT([0, 1])
        qml.RX(w[1], 1)
        qml.CNOT([1, 2])
        qml.RX(w[2], 2)
        return qml.expval(qml.Y(0))

    assert found(function, 1, w=(3,)) == ["w[1]", "w[2]"]


def test_one_use_that_matters_is_enough() -> None:
    def function(inputs, w):
        qml.RZ(inputs[0], 0)  # nothing on |0>
        qml.RX(inputs[0] * w[0], 0)
        qml.RZ(w[1], 0)  # not seen by Z
        qml.RX(w[1] ** 2, 0)
        return qml.expval(qml.Z(0))

    assert found(function, 1, w=(2,)) == []


def test_parameters_that_cancel_are_inert_though_their_gates_are_not() -> None:
    def function(w):
        qml.RY(0.3, 0)
        qml.RX(w[0], 0)
        qml.RX(-w[0], 0)
        qml.RX(w[1], 0)
        return qml.expval(qml.Z(0))

    assert found(function, w=(2,)) == ["w[0]"]


def test_functions_of_one_sign_and_unused_weights() -> None:
    def function(inputs, w, unused):
        qml.RX(torch.relu(-inputs[0]), 0)
        qml.RY(torch.relu(inputs[1]), 0)
        qml.RX(torch.log(inputs[2]) + torch.sqrt(-inputs[0]), 0)
        qml.RY(torch.clamp(w[0], max=0.0), 0)
        return qml.expval(qml.Z(0))

    assert found(function, 3, w=(1,), unused=(2,)) == ["unused[0]", "unused[1]"]


def test_above_twelve_wires_structure_alone_decides() -> None:
    """The H-RX trap is not seen there, a gate outside the light cone is."""

    def function(w):
        for wire in range(13):
            qml.Hadamard(wire)
            qml.RX(w[wire], wire)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    assert found(function, w=(13,)) == [f"w[{i}]" for i in range(2, 13)]


def test_unused_inputs_are_said_to_be_unused_and_not_inert() -> None:
    def copies(inputs, w):
        qml.RX(inputs[2] * 1, 0)
        qml.RY(w[0], 0)
        return qml.expval(qml.Z(0))

    def computed(inputs, w):
        qml.RX(inputs[2] * inputs[0], 0)
        qml.RY(w[0], 0)
        return qml.expval(qml.Z(0))

    captured = capture(computed, n_inputs=3, weight_shapes={"w": (1,)})
    assert unused_inputs(captured.circuit, captured.angle_map) == [1]
    with pytest.warns(NoEffectWarning, match=r"The circuit does not use inputs\[0\], inputs\[1\]\. Reduce `n_inputs`"):
        QuantumLayer.from_pennylane(copies, n_inputs=3, weight_shapes={"w": 1}, seed=0)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_named_is_what_has_no_gradient_in_pennylane(seed: int) -> None:
    n = 1 + seed % 4
    function = random_function(100 + seed, n, n_gates=8)
    captured = capture(function, n_inputs=N_INPUTS, weight_shapes=WEIGHT_SHAPES, n_wires=n)
    named = inert_parameters(captured.circuit, captured.angle_map)
    named += [f"inputs[{i}]" for i in unused_inputs(captured.circuit, captured.angle_map)]
    generator = torch.Generator().manual_seed(seed)
    leaves = {"inputs": torch.rand(N_INPUTS, generator=generator, dtype=F64) * 4 - 2}
    leaves |= {k: torch.rand(s, generator=generator, dtype=F64) * 4 - 2 for k, s in WEIGHT_SHAPES.items()}
    for leaf in leaves.values():
        leaf.requires_grad_()
    results = qml.QNode(function, qml.device("default.qubit", wires=n), interface="torch")(**leaves)
    values = torch.cat([torch.atleast_1d(v) for v in results])
    total = (values * torch.rand(len(values), generator=generator, dtype=F64)).sum()
    gradients = dict(
        zip(leaves, torch.autograd.grad(total, list(leaves.values()), materialize_grads=True), strict=True)
    )
    still = [f"inputs[{i}]" for i in range(3) if abs(gradients["inputs"][i]) < 1e-9]
    still += [f"w[{i}, {j}]" for i in range(2) for j in range(3) if abs(gradients["w"][i, j]) < 1e-9]
    still += ["scale"] if abs(gradients["scale"]) < 1e-9 else []
    assert sorted(named) == sorted(still)


def test_building_never_calls_a_backend() -> None:
    from qnn import _meter

    with _meter.measure() as usage, warnings.catch_warnings():
        warnings.simplefilter("error")
        QuantumLayer(3, 2, seed=0)
    assert usage == _meter.Usage()
