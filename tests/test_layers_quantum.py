"""The quantum layer: shapes, options that each change something, and bad input refused by name."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.backends.statevector import Statevector
from qnn.errors import ArgumentError, CapabilityError, DtypeError, NotFiniteError, ShapeError, UnknownNameError
from qnn.layers import initialisers

F64 = torch.float64
ROWS = torch.tensor([[0.3, -1.2], [2.0, 0.4], [-0.5, 1.1]])


def test_the_default_layer() -> None:
    layer = QuantumLayer(n_qubits=4, n_layers=3)
    assert layer(torch.zeros(5, 4)).shape == (5, 4)
    assert (layer.n_inputs, layer.n_outputs, layer.shots) == (4, 4, None)
    assert layer.weights.shape == (3, 4) and layer.weights.dtype == torch.float32
    assert bool((layer.weights >= 0).all() and (layer.weights < 2 * math.pi).all())
    assert layer.explain().gradient == "adjoint" and layer.backend.name == "statevector"


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
@pytest.mark.parametrize(
    ("observables", "n_outputs"),
    [
        ("Z", 2),
        ("probs", 4),
        (qml.Z(0) @ qml.Y(1), 1),
        ([qml.X(1)], 1),
        ([qml.Z(0), qml.Y(1), qml.probs(wires=[1])], 4),
    ],
)
def test_observables_decide_the_outputs(observables, n_outputs: int) -> None:
    layer = QuantumLayer(2, 2, observables=observables, seed=0)
    assert layer(ROWS).shape == (3, n_outputs)
    assert layer.n_outputs == n_outputs == layer.explain().n_outputs


OPTIONS = {
    "n_layers": {"n_layers": 3},
    "encoding": {"encoding": "basis"},
    "ansatz": {"ansatz": "hardware_efficient"},
    "reupload": {"reupload": True},
    "observables": {"observables": [qml.X(0), qml.Y(1)]},
    "shots": {"shots": 100},
    "seed": {"seed": 1},
    "init": {"init": "small"},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_the_result(option: str) -> None:
    options = {"n_layers": 2, "seed": 0}
    one, other = QuantumLayer(2, **options), QuantumLayer(2, **{**options, **OPTIONS[option]})
    assert not torch.equal(one(ROWS), other(ROWS))


def test_dtype_is_that_of_the_weights() -> None:
    assert QuantumLayer(2, 1, dtype=F64).weights.dtype == F64
    torch.set_default_dtype(F64)
    try:
        assert QuantumLayer(2, 1).weights.dtype == F64
    finally:
        torch.set_default_dtype(torch.float32)


def test_backend_and_gradient_change_the_plan() -> None:
    plans = {
        QuantumLayer(2, 1, seed=0, backend=backend, gradient=gradient).explain().why
        + QuantumLayer(2, 1, seed=0, backend=backend, gradient=gradient).explain().gradient
        for backend in ("statevector", "pennylane:default.qubit")
        for gradient in ("auto", "parameter-shift")
    }
    assert len(plans) == 3  # auto is adjoint on one backend and parameter-shift on the other


def test_seeds_fix_the_weights() -> None:
    weights = lambda **options: QuantumLayer(2, 1, **options).weights.detach()
    assert torch.equal(weights(seed=5), weights(seed=5)) and not torch.equal(weights(seed=5), weights(seed=6))
    torch.manual_seed(1)
    first, second = weights(), weights()
    torch.manual_seed(1)
    assert torch.equal(weights(), first) and torch.equal(weights(), second) and not torch.equal(first, second)
    state = torch.get_rng_state()
    weights(seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # a seed of one's own leaves torch's generator alone


@pytest.mark.parametrize("init", initialisers.INITIALISERS)
def test_initialisers(init: str) -> None:
    """Means and spreads of 10,000 draws within 5 sigma."""
    values = initialisers.draw(init, (100, 100), torch.Generator().manual_seed(0))
    n = values.numel()
    mean, std = {
        "uniform": (math.pi, 2 * math.pi / math.sqrt(12)), "normal": (0, 1), "small": (0, 0.1), "zeros": (0, 0)
    }[init]  # fmt: skip
    assert abs(float(values.mean()) - mean) <= 5 * std / math.sqrt(n)
    assert abs(float(values.std()) - std) <= 5 * std / math.sqrt(2 * n) * 1.5
    assert QuantumLayer(2, 1, init=init, seed=0).weights.shape == (1, 2)


def test_an_initialiser_of_ones_own() -> None:
    layer = QuantumLayer(2, 1, init=lambda shape, generator: torch.full(shape, 0.25))
    assert layer.weights.tolist() == [[0.25, 0.25]]
    with pytest.raises(ArgumentError, match=r"`init` must return weights of shape \(1, 2\); got \(3,\)"):
        QuantumLayer(2, 1, init=lambda shape, generator: torch.zeros(3))


def test_layers_without_inputs_or_without_weights() -> None:
    without_inputs = QuantumLayer.from_pennylane(
        lambda w: (qml.RY(w[0], 0), qml.expval(qml.Z(0)))[-1], n_inputs=0, weight_shapes={"w": 1}, dtype=F64
    )
    assert without_inputs().shape == (1,) and without_inputs().dtype == F64
    assert without_inputs(torch.zeros(3, 0, dtype=F64)).shape == (3, 1)
    without_inputs().sum().backward()
    assert without_inputs.w.grad is not None
    without_weights = QuantumLayer.from_pennylane(
        lambda inputs: (qml.RY(inputs[0], 0), qml.expval(qml.Z(0)))[-1], n_inputs=1, weight_shapes={}
    )
    torch.testing.assert_close(without_weights(torch.tensor([[0.3]])), torch.tensor([[0.3]]).cos())
    neither = QuantumLayer.from_pennylane(
        lambda: (qml.Hadamard(0), qml.expval(qml.X(0)))[-1], n_inputs=0, weight_shapes={}
    )
    torch.testing.assert_close(neither(), torch.ones(1))
    with pytest.raises(ShapeError, match="`inputs` must have 2 features; got None"):
        QuantumLayer(2, 1, seed=0)()


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
def test_estimate_has_values_variance_and_counts() -> None:
    layer = QuantumLayer(2, 1, observables=[qml.Z(0), qml.X(1)], shots=64, seed=0)
    estimate = layer.estimate(ROWS[None].expand(2, -1, -1))
    assert estimate.values.shape == estimate.variance.shape == (6, 2) and estimate.shots == 64
    assert all(c.sum(dim=1).tolist() == [64] * 6 for c in estimate.counts)
    exact = QuantumLayer(2, 1, seed=0).estimate(ROWS)
    assert exact.variance is None and exact.counts is None and not exact.values.requires_grad


def test_from_qasm_takes_files_and_text() -> None:
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] x;\ninput float[64] w;\nqubit[2] q;\n'
    text += "rx(x) q[0];\ncx q[0], q[1];\nry(w) q[1];\n"
    layer = QuantumLayer.from_qasm(text, inputs=["x"], seed=0, dtype=F64)
    x = torch.tensor([[0.4], [1.0]], dtype=F64)
    expected = torch.cat([x.cos(), x.cos() * layer.weights.cos()], dim=1)
    torch.testing.assert_close(layer(x), expected)
    with pytest.raises(UnknownNameError, match=r'No free parameter named "xx"\. Did you mean "x"\? Known: w, x'):
        QuantumLayer.from_qasm(text, inputs=["xx"])
    with pytest.raises(ArgumentError, match=r'`inputs` must be a list of names; got the string "x"'):
        QuantumLayer.from_qasm(text, inputs="x")
    with pytest.raises(ArgumentError, match=r"`inputs` must name each parameter once; got \['x', 'x'\]"):
        QuantumLayer.from_qasm(text, inputs=["x", "x"])


# bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 1), {}, ArgumentError, r"`n_qubits` must be an integer of at least 1; got 0\. Use 1"),
        ((True, 1), {}, ArgumentError, "`n_qubits` must be an integer of at least 1; got True"),
        ((2.0, 1), {}, ArgumentError, "`n_qubits` must be an integer of at least 1; got 2.0"),
        ((2, 0), {}, ArgumentError, "`n_layers` must be an integer of at least 1; got 0"),
        ((40, 1), {}, ArgumentError, '`n_qubits` must be at most 30 on backend "statevector"; got 40'),
        ((2, 1), {"encoding": "angel"}, UnknownNameError, r'No encoding named "angel"\. Did you mean "angle"\?'),
        ((2, 1), {"ansatz": "h_rx"}, UnknownNameError, r'No ansatz named "h_rx"\. Did you mean "h_rx_cnot"\?'),
        ((2, 1), {"backend": "statvector"}, UnknownNameError, r'"statvector"\. Did you mean "statevector"\? Known'),
        ((2, 1), {"backend": 3}, ArgumentError, "`backend` must be a name or a qnn Backend; got int"),
        ((2, 1), {"gradient": "adjiont"}, UnknownNameError, r'"adjiont"\. Did you mean "adjoint"\?'),
        ((2, 1), {"init": "unifrom"}, UnknownNameError, r'No initialiser named "unifrom"\. Did you mean "uniform"\?'),
        ((2, 1), {"gradient": "adjoint", "shots": 10}, CapabilityError, '`gradient="adjoint"` needs exact amplitudes'),
        ((2, 1), {"gradient": "backprop", "shots": 9}, CapabilityError, '`gradient="backprop"` needs exact amplitudes'),
        (
            (2, 1),
            {"gradient": "adjoint", "backend": "pennylane:default.qubit"},
            CapabilityError,
            '"pennylane:default.qubit" cannot return',
        ),
        ((2, 1), {"shots": 0}, ArgumentError, "`shots` must be a positive integer, or None for exact values; got 0"),
        ((2, 1), {"shots": -1}, ArgumentError, "`shots` must be a positive integer.* got -1"),
        ((2, 1), {"shots": True}, ArgumentError, "`shots` must be a positive integer.* got True"),
        ((2, 1), {"shots": 1.5}, ArgumentError, "`shots` must be a positive integer.* got 1.5"),
        ((2, 1), {"seed": -1}, ArgumentError, r"`seed` must be an integer from 0 to 2\^63 - 1, or None; got -1"),
        ((2, 1), {"seed": 1.0}, ArgumentError, "`seed` must be an integer from 0 .* got 1.0"),
        ((2, 1), {"seed": True}, ArgumentError, "`seed` must be an integer from 0 .* got True"),
        (
            (2, 1),
            {"dtype": torch.float16},
            DtypeError,
            r"`dtype` must be torch\.float32 or torch\.float64; got torch.flo",
        ),
        (
            (2, 1),
            {"observables": [qml.Z(2)]},
            ArgumentError,
            "`observables` must act on wires 0 to 1; got <Z2> on wire 2",
        ),
        (
            (2, 1),
            {"observables": []},
            ArgumentError,
            "`observables` must name at least one observable; got an empty li",
        ),
        ((2, 1), {"observables": "X"}, ArgumentError, '`observables` must be "Z", "probs", or a list .*; got "X"'),
        ((2, 1), {"observables": [1.0]}, ArgumentError, "`observables` must hold PennyLane observables; got 1.0"),
        ((2, 1), {"noise": "fake_manila"}, ArgumentError, 'Backend "statevector" has no option `noise`'),
        ((2, 1), {"backend": Statevector(), "noise": 1}, ArgumentError, "`noise` must be given to the backend object"),
    ],
)
def test_options_that_cannot_be_used(arguments, options, error, message) -> None:
    with pytest.raises(error, match=message):
        QuantumLayer(*arguments, **options)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            torch.zeros(32, 5),
            ShapeError,
            r"`inputs` must end in 2 features .* got shape \(32, 5\)\. Project .*Linear\(5, 2\)",
        ),
        (torch.zeros(()), ShapeError, r"`inputs` must end in 2 features .* got shape \(\)"),
        (torch.zeros(3, 0), ShapeError, r"got shape \(3, 0\)"),
        (torch.zeros(3, 2, dtype=torch.complex64), DtypeError, r"`inputs` must be real; got torch\.complex64"),
        ([[0.1, 0.2]], DtypeError, r"`inputs` must be a torch\.Tensor; got list\. Use torch\.as_tensor"),
        (np.zeros((3, 2)), DtypeError, r"`inputs` must be a torch\.Tensor; got ndarray"),
        (torch.tensor([[0.0, 1.0], [math.nan, 0.0]]), NotFiniteError, "must be finite; got nan at row 1, feature 0"),
        (
            torch.tensor([[[0.0, 1.0]], [[0.0, -math.inf]]]),
            NotFiniteError,
            "must be finite; got -inf at row 1, feature 1",
        ),
    ],
)
def test_inputs_that_cannot_be_used(inputs, error, message) -> None:
    for gradient in ("adjoint", "backprop", "parameter-shift"):
        with pytest.raises(error, match=message):
            QuantumLayer(2, 1, seed=0, gradient=gradient)(inputs)


def test_inputs_on_another_device_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`inputs` must be on the device of the weights, cpu; got meta"):
        QuantumLayer(2, 1, seed=0)(torch.zeros(2, 2, device="meta"))


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift"])
def test_weights_that_are_not_finite_are_named(gradient: str) -> None:
    layer = QuantumLayer(2, 2, seed=0, gradient=gradient)
    with torch.no_grad():
        layer.weights[1, 0] = math.nan
    with pytest.raises(NotFiniteError, match="`weights` must be finite; got nan at position 2"):
        layer(ROWS)


def test_a_function_that_is_not_finite_at_finite_inputs_is_named() -> None:
    layer = QuantumLayer.from_pennylane(
        lambda inputs: (qml.RX(torch.log(inputs[0]), 0), qml.expval(qml.Z(0)))[-1], n_inputs=1, weight_shapes={}
    )
    with pytest.raises(NotFiniteError, match="got nan at an angle that is computed from row 1"):
        layer(torch.tensor([[1.0], [-1.0]]))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"inputs": 2}, '`weight_shapes` must name arguments other than "inputs"'),
        ({"shots": 2}, 'names of the layer\'s own attributes; got "shots"'),
        ({"circuit": 2}, 'names of the layer\'s own attributes; got "circuit"'),
        ({"forward": 2}, 'names of the layer\'s own attributes; got "forward"'),
        ({"w": 0}, "`weight_shapes` must hold positive sizes; got w: 0"),
        ({"w": (2, -1)}, r"`weight_shapes` must hold positive sizes; got w: \(2, -1\)"),
        ({"w": (2.0,)}, "`weight_shapes` must hold positive sizes"),
    ],
)
def test_weight_shapes_that_cannot_be_used(shapes, message) -> None:
    name = next(iter(shapes))
    function = eval(f"lambda inputs, {name if name != 'inputs' else 'w'}: qml.expval(qml.Z(0))", {"qml": qml})
    with pytest.raises(ArgumentError, match=message):
        QuantumLayer.from_pennylane(function, n_inputs=1, weight_shapes=shapes)


def test_n_inputs_is_checked() -> None:
    with pytest.raises(ArgumentError, match="`n_inputs` must be an integer of at least 0; got -1"):
        QuantumLayer.from_pennylane(lambda inputs: None, n_inputs=-1, weight_shapes={})
