"""`qml.device("qnn.statevector")` against default.qubit, and what it does faster."""

import copy
import pickle

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from random_functions import WEIGHT_SHAPES, random_function

from qnn.backends.pennylane_device import StatevectorDevice
from qnn.circuits.gates import GATES
from qnn.errors import ArgumentError, NotFiniteError
from qnn.simulation.engine import Engine

N_WIRES = 4


def device(**options):
    return qml.device("qnn.statevector", **options)


def reference(wires=None):
    return qml.device("default.qubit", wires=wires)


def parameters(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((3,), WEIGHT_SHAPES["w"], WEIGHT_SHAPES["scale"])
    return [torch.rand(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


def values_and_gradients(function, dev, arguments, **options):
    """Flat values, and the gradient of a weighted sum of them."""
    results = qml.QNode(function, dev, interface="torch", **options)(*arguments)
    flat = torch.cat([r.reshape(-1) for r in (results if isinstance(results, tuple | list) else [results])])
    trained = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    weights = torch.cos(torch.arange(len(flat), dtype=flat.dtype))
    return flat.detach(), torch.autograd.grad((flat * weights).sum(), trained, allow_unused=True)


def assert_equal_runs(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found[0], expected[0], atol=tolerance, rtol=0)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@pytest.fixture
def engines(monkeypatch):
    """The programs translated so far, and the rows of each forward call."""
    made, rows = [], []
    build, forward = Engine.__init__, Engine.forward

    def counted_build(self, program):
        made.append(program)
        build(self, program)

    def counted_forward(self, shared, block, **options):
        rows.append(len(block))
        return forward(self, shared, block, **options)

    monkeypatch.setattr(Engine, "__init__", counted_build)
    monkeypatch.setattr(Engine, "forward", counted_forward)
    return made, rows


# ---- values and gradients

METHODS = ["best", "adjoint", "device", "backprop", "parameter-shift"]


@pytest.mark.parametrize("seed", range(6))
def test_random_functions_of_every_gate_agree_with_default_qubit(seed):
    names = sorted(GATES)[seed::6]
    function = random_function(seed, N_WIRES, names, n_gates=14)
    expected = values_and_gradients(function, reference(N_WIRES), parameters(seed), diff_method="backprop")
    dev = device(wires=N_WIRES)
    for method in METHODS[:4]:
        found = values_and_gradients(function, dev, parameters(seed), diff_method=method)
        assert_equal_runs(found, expected)


@pytest.mark.parametrize("method", ["parameter-shift", "finite-diff"])
def test_shifted_tapes_agree_and_run_in_one_call(method, engines):
    _, rows = engines
    function = random_function(3, N_WIRES, ["CRX", "RY", "IsingXY"], n_gates=8)
    dev = device(wires=N_WIRES)
    found = values_and_gradients(function, dev, parameters(3), diff_method=method)
    expected = values_and_gradients(function, reference(N_WIRES), parameters(3), diff_method="backprop")
    assert_equal_runs(found, expected, 1e-9 if method == "parameter-shift" else 1e-5)
    n_engines = len(rows) // 2
    assert len(rows) == 2 * n_engines, "one call forward, one for all shifted tapes"
    assert rows[0] == 1
    assert rows[-1] > 8


def encode(x, w):
    """A circuit of x (3 angles, each a number or a batch) and weights, in several bases."""
    for wire in range(3):
        qml.RX(x[wire], wire)
        qml.Rot(*w[wire], wires=wire)
    qml.CNOT([0, 2])
    qml.CRY(x[0] * w[0, 0], [2, 1])
    return qml.expval(qml.Z(0) @ qml.Y(1)), qml.probs(wires=[2, 0]), qml.expval(qml.X(2) + 0.5 * qml.Z(1))


def inputs_and_weights(batch, trained=True):
    generator = torch.Generator().manual_seed(5)
    x = torch.rand((3, batch) if batch else (3,), generator=generator, dtype=torch.float64)
    w = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    return x.requires_grad_(trained), w.requires_grad_()


@pytest.mark.parametrize("method", ["adjoint", "backprop"])
@pytest.mark.parametrize("trained", [True, False], ids=["inputs too", "weights only"])
def test_broadcasting_is_one_call_and_equals_the_loop(method, trained, engines):
    _, rows = engines
    x, w = inputs_and_weights(5, trained)
    node = qml.QNode(encode, device(wires=3), diff_method=method)
    outputs = node(x, w)
    if method == "adjoint":
        assert rows and set(rows) == {5}
    weight = lambda block: torch.cos(torch.arange(block.numel(), dtype=torch.float64)).reshape(block.shape)
    loss = sum((block * weight(block)).sum() for block in outputs)
    gradients = torch.autograd.grad(loss, [a for a in (x, w) if a.requires_grad])
    loop = [torch.stack(blocks) for blocks in zip(*(node(column, w) for column in x.T), strict=True)]
    for block, rowwise in zip(outputs, loop, strict=True):
        torch.testing.assert_close(block, rowwise, atol=1e-12, rtol=0)
    again = torch.autograd.grad(sum((b * weight(b)).sum() for b in loop), [a for a in (x, w) if a.requires_grad])
    for ours, theirs in zip(gradients, again, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_a_repeated_structure_is_not_translated_again(engines):
    made, _ = engines
    dev = device(wires=3)
    node = qml.QNode(encode, dev)
    for scale in (1.0, 2.0, 3.0):
        x, w = inputs_and_weights(None)
        sum(block.sum() for block in node(scale * x, w)).backward()
    once = len(made)
    assert len(dev._structures) == 1
    x, w = inputs_and_weights(4)
    node(x, w)
    assert len(made) == 2 * once, "a broadcast tape is a circuit of other blocks"
    node(2 * x, w)
    assert len(made) == 2 * once


def test_the_gradient_uses_the_states_of_the_forward_run(engines):
    _, rows = engines
    x, w = inputs_and_weights(None)

    def expectation(x, w):
        qml.RX(x[0], 0)
        qml.RY(w[0, 0], 1)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    node = qml.QNode(expectation, device(wires=3))
    value = node(x, w)
    assert rows == [1]
    value.backward()
    assert rows == [1]


@pytest.mark.parametrize("method", ["best", "adjoint", "backprop", "parameter-shift"])
def test_autograd_interface(method):
    def circuit(x):
        qml.RX(x[0], 0)
        qml.RY(x[1], 1)
        qml.CNOT([0, 1])
        return qml.probs(wires=[0, 1])

    x = pnp.array([0.3, 0.8], requires_grad=True)
    node = qml.QNode(circuit, device(wires=2), diff_method=method)
    expected = qml.QNode(circuit, reference(2), diff_method="backprop")
    np.testing.assert_allclose(qml.jacobian(node)(x), qml.jacobian(expected)(x), atol=1e-12)


def test_broadcasting_is_one_call_in_numpy_and_autograd_too(engines):
    _, rows = engines

    @qml.qnode(device(wires=2))
    def circuit(x, w):
        qml.RX(x, 0)
        qml.RY(w, 1)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    x = np.array([0.1, 0.8, 1.5])
    np.testing.assert_allclose(circuit(x, 0.4), [np.cos(x), np.cos(x) * np.cos(0.4)], atol=1e-12)
    weights = np.array([1.0, -2.0, 0.5])
    cost = lambda x, w: sum((block * weights).sum() for block in circuit(x, w))
    by_x, by_w = qml.grad(cost)(pnp.array(x, requires_grad=True), pnp.array(0.4, requires_grad=True))
    np.testing.assert_allclose(by_x, -weights * np.sin(x) * (1 + np.cos(0.4)), atol=1e-12)
    np.testing.assert_allclose(by_w, -(weights * np.cos(x)).sum() * np.sin(0.4), atol=1e-12)
    assert rows == [3, 3], "one call without gradient, one with"


@pytest.mark.parametrize("kind", [np.zeros, lambda n: torch.zeros(n, requires_grad=True)], ids=["numpy", "torch"])
def test_empty_batches(kind):
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], device(wires=1))
    assert tuple(node(kind(0)).shape) == (0,)


@pytest.mark.parametrize("method", ["best", "backprop", "parameter-shift"])
def test_second_derivatives(method):
    def circuit(x):
        qml.RX(x[0], 0)
        qml.RY(x[1] * x[0], 0)
        return qml.expval(qml.Z(0))

    x = torch.tensor([0.3, 0.8], dtype=torch.float64)
    hessians = [
        torch.autograd.functional.hessian(qml.QNode(circuit, dev, diff_method=m, max_diff=2), x)
        for dev, m in ((device(wires=1), method), (reference(1), "backprop"))
    ]
    torch.testing.assert_close(*hessians, atol=1e-10, rtol=0)


def test_coefficients_of_observables_can_be_trained():
    def circuit(c):
        qml.RX(0.4, 0)
        qml.RY(0.8, 1)
        total, scaled = qml.Hamiltonian(c, [qml.Z(0), qml.X(1)]), qml.s_prod(c[1], qml.Z(0))
        return qml.expval(total), qml.var(scaled)

    c = pnp.array([0.3, 0.7], requires_grad=True)
    total = lambda node: lambda c: sum(node(c))
    node = qml.QNode(circuit, device(wires=2))
    expected = [np.cos(0.4), np.sin(0.8) + 1.4 * np.sin(0.4) ** 2]
    np.testing.assert_allclose(qml.grad(total(node))(c), expected, atol=1e-12)
    tensor = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    total(node)(tensor).backward()
    np.testing.assert_allclose(tensor.grad, expected, atol=1e-12)


def test_the_adjoint_warns_of_coefficients_it_does_not_differentiate():
    @qml.qnode(device(wires=1), diff_method="adjoint")
    def circuit(x, c):
        qml.RX(x, 0)
        return qml.expval(qml.Hamiltonian(c, [qml.Z(0)]))

    x, c = pnp.array(0.3, requires_grad=True), pnp.array([2.0], requires_grad=True)
    with pytest.warns(UserWarning, match="Gradients are computed only with regards to the trainable parameters"):
        by_x, by_c = qml.grad(circuit)(x, c)
    np.testing.assert_allclose(by_x, -2 * np.sin(0.3))
    np.testing.assert_array_equal(by_c, [0.0])


def test_torch_layers_and_single_precision():
    def circuit(inputs, w):
        qml.AngleEmbedding(inputs, [0, 1])
        qml.BasicEntanglerLayers(w, [0, 1])
        return [qml.expval(qml.Z(wire)) for wire in (0, 1)]

    torch.manual_seed(0)
    layer = qml.qnn.TorchLayer(qml.QNode(circuit, device(wires=2)), {"w": (2, 2)})
    x = torch.rand(5, 2, requires_grad=True)
    layer(x).sum().backward()
    assert layer.w.grad.dtype == x.grad.dtype == torch.float32
    doubles = qml.QNode(circuit, device(wires=2))(x.detach(), layer.w.detach())
    singles = qml.QNode(circuit, device(wires=2, c_dtype=np.complex64))(x.detach(), layer.w.detach())
    for single, double in zip(singles, doubles, strict=True):
        assert single.dtype == torch.float32
        difference = (single - double).abs().max()
        assert 0 < difference < 1e-6


# ---- gradients by the device's own methods


def tapes(parameters_):
    found = []
    for a, b in parameters_:
        operations = [qml.RX(a, 0), qml.GlobalPhase(b), qml.CRY(b, [0, 1])]
        processes = [qml.expval(qml.Z(1)), qml.probs(wires=[0, 1])]
        found.append(qml.tape.QuantumScript(operations, processes, trainable_params=[0, 1, 2]))
    return found


def test_jacobians_and_products_agree_with_differences():
    dev, points, step = device(wires=2), [(0.4, 1.1), (0.9, -0.3)], 1e-6
    results, jacobians = dev.execute_and_compute_derivatives(tapes(points))
    for result, plain in zip(results, dev.execute(tapes(points)), strict=True):
        np.testing.assert_allclose(result[0], plain[0], atol=1e-14)
        np.testing.assert_allclose(result[1], plain[1], atol=1e-14)
    again = dev.compute_derivatives(tapes(points))
    for (a, b), ours, same in zip(points, jacobians, again, strict=True):
        plus, minus = dev.execute(tapes([(a + step, b), (a - step, b)]))
        for m in range(2):
            np.testing.assert_allclose(ours[m][0], (plus[m] - minus[m]) / (2 * step), atol=1e-8)
            np.testing.assert_array_equal(ours[m][1], 0.0)  # a global phase
            np.testing.assert_array_equal(ours[m][2], same[m][2])
    cotangents = [(0.3, np.array([0.1, 0.2, 0.3, 0.4])), (0.0, np.array([0.0, -1.0, 0.5, 0.0]))]
    values, products = dev.execute_and_compute_vjp(tapes(points), cotangents)
    assert np.array_equal(values[0][1], results[0][1])
    plain_products = dev.compute_vjp(tapes(points), cotangents)
    for jacobian, cotangent, product, same in zip(jacobians, cotangents, products, plain_products, strict=True):
        expected = [cotangent[0] * jacobian[0][p] + cotangent[1] @ jacobian[1][p] for p in range(3)]
        np.testing.assert_allclose(product, expected, atol=1e-12)
        np.testing.assert_allclose(same, expected, atol=1e-12)


def test_supported_derivatives():
    dev = device(wires=2)
    config = lambda method: qml.devices.ExecutionConfig(gradient_method=method)
    values = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.expval(qml.Z(0))])
    state = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.state()])
    sampled = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.expval(qml.Z(0))], shots=5)
    sparse = qml.SparseHamiltonian(qml.Z(0).sparse_matrix(), wires=[0])
    by_scipy = qml.tape.QuantumScript([qml.RX(0.1, 0)], [qml.expval(sparse)])
    assert dev.supports_derivatives()
    for method, expected in {
        "adjoint": (True, False, False, False),
        "device": (True, False, False, False),
        "backprop": (True, True, False, False),
        "best": (True, True, False, False),
        "parameter-shift": (False, False, False, False),
    }.items():
        answers = [dev.supports_derivatives(config(method), tape) for tape in (values, state, sampled, by_scipy)]
        assert tuple(answers) == expected, method
        assert dev.supports_vjp(config(method), values) == expected[0]


def test_best_is_the_adjoint_where_it_gives_every_derivative():
    dev = device(wires=2)
    coefficient = torch.tensor(0.3, requires_grad=True)
    cases = {
        "adjoint": [qml.expval(qml.Z(0) @ qml.X(1)), qml.probs(wires=0), qml.expval(qml.Hermitian(np.eye(2), 0))],
        "backprop": [qml.var(qml.Z(0)), qml.state(), qml.expval(coefficient * qml.Z(0)), qml.probs(op=qml.X(0))],
    }
    for method, processes in cases.items():
        for process in processes:
            tape = qml.tape.QuantumScript([qml.RX(0.1, 0)], [process])
            config = dev.setup_execution_config(qml.devices.ExecutionConfig(gradient_method="best"), tape)
            assert config.gradient_method == method, process


# ---- what PennyLane measures


SPARSE = qml.SparseHamiltonian(qml.X(0).sparse_matrix(), wires=["b"])


def everything():
    state = np.array([1, 2j, 0, 1, 0.5, 0, 1, 1j]) / np.sqrt(8.25)
    qml.StatePrep(state, wires=["a", "b", "c"])
    qml.PhaseShift(0.7, "a")
    qml.CSWAP(["a", "b", "c"])
    qml.ctrl(qml.GlobalPhase(0.3), "b")
    qml.MultiControlledX(["a", "b", "c"])
    return (
        qml.state(),
        qml.density_matrix(["c"]),
        qml.var(qml.X("a") @ qml.Y("c")),
        qml.purity(["a"]),
        qml.vn_entropy(["b"]),
        qml.mutual_info(["a"], ["c"]),
        qml.expval(qml.Projector([1, 0], ["b", "c"])),
        qml.expval(qml.Hermitian(np.diag(np.arange(8.0)), ["c", "a", "b"])),
        qml.probs(op=qml.X("b")),
        qml.expval(SPARSE),
    )


@pytest.mark.parametrize("wires", [["a", "b", "c"], ["c", "x", "a", "b"], None], ids=str)
def test_measurements_and_states_with_labels(wires):
    found = qml.QNode(everything, device(wires=wires))()
    expected = qml.QNode(everything, reference(wires))()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_broadcast_states():
    def circuit(x):
        qml.RY(x, 0)
        qml.PhaseShift(2 * x, 0)
        qml.QubitUnitary(np.stack([np.eye(2)] * 3), 1)
        return qml.state(), qml.var(qml.X(0))

    def plain(x):
        qml.RY(x, 0)
        qml.PhaseShift(2 * x, 0)
        return qml.state(), qml.var(qml.X(0))

    x = np.array([0.1, 0.9, 2.0])
    for function, wires in ((circuit, 2), (plain, 1)):
        for ours, theirs in zip(
            qml.QNode(function, device(wires=wires))(x), qml.QNode(function, reference(wires))(x), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("method", ["deferred", "tree-traversal", "one-shot", None])
def test_measurements_in_the_middle(method):
    def circuit():
        qml.RX(0.9, 0)
        seen = qml.measure(0)
        qml.cond(seen, qml.RY)(0.6, 1)
        return qml.expval(qml.Z(1)), qml.expval(seen)

    exact = qml.QNode(circuit, reference())()
    dev = device(seed=0)
    if method in ("deferred", None):  # exact tree traversal fails in PennyLane's own simulation (0.45.1)
        np.testing.assert_allclose(qml.QNode(circuit, dev, mcm_method=method)(), exact, atol=1e-12)
    shots = 400 if method == "one-shot" else 4000
    found = qml.set_shots(qml.QNode(circuit, dev, mcm_method=method), shots)()
    np.testing.assert_allclose(found, exact, atol=5 / np.sqrt(shots))


@pytest.mark.parametrize("options", [{"postselect": 1}, {"reset": True}], ids=str)
def test_postselection_and_reset(options):
    def circuit():
        qml.RX(0.9, 0)
        qml.measure(0, **options)
        qml.RX(0.3, 0)
        return qml.expval(qml.Z(0))

    exact = qml.QNode(circuit, reference())()
    np.testing.assert_allclose(qml.QNode(circuit, device())(), exact, atol=1e-12)
    found = qml.set_shots(qml.QNode(circuit, device(seed=1)), 4000)()
    seen = 4000 * (np.sin(0.45) ** 2 if "postselect" in options else 1.0)
    np.testing.assert_allclose(found, exact, atol=5 / np.sqrt(seen / 2))


def test_snapshots():
    def circuit():
        qml.Hadamard(0)
        qml.Snapshot("half")
        qml.Hadamard(0)
        return qml.expval(qml.Z(0))

    found = qml.snapshots(qml.QNode(circuit, device(wires=1)))()
    np.testing.assert_allclose(found["half"], [0.5**0.5] * 2, atol=1e-12)
    np.testing.assert_allclose(found["execution_results"], 1.0)


def test_channels_are_refused_by_name():
    node = qml.QNode(lambda: (qml.DepolarizingChannel(0.1, 0), qml.expval(qml.Z(0)))[1], device(wires=1))
    with pytest.raises(qml.exceptions.DeviceError, match=r"DepolarizingChannel.*not supported with qnn\.statevector"):
        node()


# ---- shots


def sampled():
    qml.RX(0.8, 0)
    qml.RY(1.9, 1)
    qml.CNOT([0, 1])
    return (
        qml.expval(qml.Z(0)),
        qml.expval(qml.X(1) @ qml.Z(0)),
        qml.probs(wires=[1, 0]),
        qml.var(qml.Z(1)),
        qml.expval(qml.Hermitian(np.array([[1.0, 0.5], [0.5, -1.0]]), 0)),
    )


def test_shots_estimate_the_exact_values():
    shots, k = 40_000, 5
    found = qml.set_shots(qml.QNode(sampled, device(wires=2, seed=1)), shots)()
    exact = qml.QNode(sampled, device(wires=2))()
    for ours, theirs in zip(found, exact, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=k * 1.2 / np.sqrt(shots))  # no deviation exceeds 1.2
        assert not np.array_equal(ours, theirs)


def test_shot_vectors_and_counts():
    @qml.qnode(device(wires=2, seed=2))
    def circuit():
        qml.RX(0.8, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.counts(wires=[0, 1]), qml.sample(qml.Z(1))

    results = qml.set_shots(circuit, (10, 10, 500))()
    assert [sum(counts.values()) for _, counts, _ in results] == [10, 10, 500]
    assert [len(sample) for _, _, sample in results] == [10, 10, 500]
    assert set(results[2][1]) == {"00", "11"}

    @qml.qnode(device(wires=1, seed=2))
    def values(x):
        qml.RX(x, 0)
        return qml.expval(qml.Z(0))

    copies = qml.set_shots(values, (50, 50, 50))(np.full(4, 0.8))
    assert [copy_.shape for copy_ in copies] == [(4,)] * 3
    assert len({float(value) for copy_ in copies for value in copy_}) > 3, "rows and copies are independent"


def test_shadows():
    @qml.qnode(device(wires=2, seed=0))
    def circuit(x):
        qml.RX(x, 0)
        return qml.shadow_expval(qml.Z(0), seed=3)

    found = qml.set_shots(circuit, 3000)(np.array([0.4, 1.9]))
    np.testing.assert_allclose(found, np.cos([0.4, 1.9]), atol=5 * np.sqrt(3 / 3000))


def test_seeds_repeat_and_calls_differ():
    def draw(seed):
        node = qml.set_shots(qml.QNode(sampled, device(wires=2, seed=seed)), 100)
        return [np.concatenate([np.ravel(block) for block in node()]) for _ in range(2)]

    first, second = draw(7)
    assert np.array_equal(first, draw(7)[0])
    assert np.array_equal(second, draw(7)[1])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw(8)[0])
    torch.manual_seed(3)
    unseeded = draw(None)[0]
    torch.manual_seed(3)
    assert np.array_equal(unseeded, draw(None)[0])


def test_shifted_tapes_have_noise_of_their_own():
    """Var of (f₊ - f₋)/2 is half that of one estimate; equal noise would cancel at a symmetric point."""
    shots, repeats = 100, 400
    node = qml.QNode(
        lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], device(wires=1, seed=5), diff_method="parameter-shift"
    )
    node = qml.set_shots(node, shots)
    gradients = []
    for _ in range(repeats):
        x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        node(x).backward()
        gradients.append(float(x.grad))
    expected = 1 / shots / 2
    assert abs(np.var(gradients) / expected - 1) < 5 * np.sqrt(2 / repeats)


# ---- devices as objects, bad input


def test_copies_and_pickles():
    dev = device(wires=2, seed=3)
    x = torch.tensor(0.3, requires_grad=True)
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], dev)
    node(x)
    for other in (pickle.loads(pickle.dumps(dev)), copy.deepcopy(dev)):
        assert isinstance(other, StatevectorDevice)
        assert float(qml.QNode(node.func, other)(0.3)) == pytest.approx(np.cos(0.3))


def test_the_tracker_counts():
    dev = device(wires=1)
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], dev)
    with dev.tracker:
        node(torch.tensor(0.3, requires_grad=True)).backward()
    assert dev.tracker.totals == {"batches": 1, "simulations": 1, "executions": 1, "vjp_batches": 1, "vjps": 1}


def test_wrong_options_are_refused_by_name():
    with pytest.raises(
        ArgumentError, match=r'"qnn.statevector" has no option `colour`. It has: wires, shots, seed, c_dtype'
    ):
        device(wires=1, colour="red")
    with pytest.raises(ArgumentError, match=r"`seed` must be an integer from 0 to 2\^63 - 1, or None; got 'x'"):
        device(wires=1, seed="x")
    with pytest.raises(ArgumentError, match=r"`c_dtype` must be numpy.complex64 or numpy.complex128"):
        device(wires=1, c_dtype=np.float64)
    tape = qml.tape.QuantumScript([], [qml.expval(qml.Z(0))])
    with pytest.raises(qml.exceptions.DeviceError, match=r"device option colour not present on qnn.statevector"):
        device(wires=1).setup_execution_config(qml.devices.ExecutionConfig(device_options={"colour": 1}), tape)
    for mcm, message in (
        ({"mcm_method": "single-branch-statistics"}, "mcm_method single-branch-statistics not supported"),
        ({"mcm_method": "one-shot", "postselect_mode": "fill-shots"}, '"fill-shots" needs mcm_method="deferred"'),
    ):
        config = qml.devices.ExecutionConfig(mcm_config=qml.devices.MCMConfig(**mcm))
        with pytest.raises(qml.exceptions.DeviceError, match=message):
            device(wires=1).setup_execution_config(config, tape)


def test_too_many_wires_are_refused_before_anything_is_allocated():
    def circuit():
        for wire in range(40):
            qml.Hadamard(wire)
        return qml.expval(qml.Z(0))

    with pytest.raises(
        ArgumentError, match=r"`wires` in use must be few enough for memory; got 40, whose states take 32768 GiB"
    ):
        qml.QNode(circuit, device(wires=40))()
    small = qml.QNode(lambda: (qml.X(39), qml.expval(qml.Z(39)))[1], device(wires=40))
    assert float(small()) == -1.0, "wires that are not used cost nothing"


def test_values_that_are_not_finite_are_refused():
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], device(wires=1))
    with pytest.raises(NotFiniteError, match="must be finite; got nan"):
        node(np.nan)
