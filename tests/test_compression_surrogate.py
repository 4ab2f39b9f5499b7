"""Surrogates equal their layers where they claim to, state their error where they do not, and leave layers alone."""

import math
import re
import warnings

import pennylane as qml
import pytest
import torch

import qnn
from qnn._meter import measure as measure_usage
from qnn.compression.surrogates.series import surrogate
from qnn.errors import (
    ArgumentError,
    BundleError,
    DtypeError,
    PoorFitWarning,
    QnnWarning,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
)
from qnn.layers import FourierSurrogate

EXACT = 1e-10


def layer(n_qubits=2, n_layers=2, **options):
    return qnn.QuantumLayer(n_qubits, n_layers, reupload=True, seed=0, dtype=torch.float64, **options)


def own(function, n_inputs=2, **shapes):
    return qnn.QuantumLayer.from_pennylane(
        function, n_inputs=n_inputs, weight_shapes=shapes or {"w": 2}, seed=0, dtype=torch.float64
    )


def many_gates(inputs, w):
    qml.Hadamard(0)
    qml.RY(w[0], 1)
    qml.CRX(inputs[0], [0, 1])
    qml.IsingXY(inputs[1], [0, 1])
    qml.RX(w[1], 0)
    qml.ControlledPhaseShift(inputs[0], [1, 0])
    return qml.expval(qml.Z(0)), qml.expval(qml.X(0) @ qml.Y(1))


def scaled_inputs(inputs, w):
    qml.RX(2 * inputs[0] + w[0], 0)
    qml.RY(inputs[0] / 3 - 1, 1)
    qml.RX(math.pi * inputs[1], 1)
    qml.CNOT([0, 1])
    qml.RY(inputs[0] - math.pi / 2 * inputs[1] + torch.sin(w[1]), 0)
    return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))


def trained_frequency(inputs, w):
    qml.RX(w[0] * inputs[0], 0)
    qml.RY(w[1] * inputs[1], 0)
    qml.RX(w[0] * inputs[0], 0)
    return qml.probs(wires=[0])


def variances(inputs, w):
    qml.RX(inputs[0], 0)
    qml.RY(w[0], 0)
    qml.RX(inputs[1], 1)
    qml.CRX(w[1], [0, 1])
    return qml.var(qml.Z(0)), qml.expval(qml.Z(1))


def no_inputs(w):
    qml.RX(w[0], 0)
    return qml.expval(qml.Z(0))


CASES = {
    "re-uploading": (lambda: layer(3, 2), 5**3),
    "many gates": (lambda: own(many_gates), 9 * 5),  # CRX and IsingXY bring frequencies 1/2
    "scaled inputs": (lambda: own(scaled_inputs), 21 * 7),
    "trained frequency": (lambda: own(trained_frequency), 5 * 3),
    "variances": (lambda: own(variances), 5 * 5),
}


@pytest.mark.parametrize("case", CASES)
def test_the_series_is_the_layer_everywhere(case):
    build, _ = CASES[case]
    circuit = build()
    series, report = surrogate(circuit)
    x = (torch.rand(40, circuit.n_inputs, generator=torch.Generator().manual_seed(1)) * 60 - 30).double()
    x.requires_grad_(True)
    cotangent = torch.randn(40, circuit.n_outputs, generator=torch.Generator().manual_seed(2)).double()
    truth = circuit(x)
    assert torch.allclose(series(x), truth, rtol=0, atol=EXACT)
    ours, theirs = (torch.autograd.grad((module(x) * cotangent).sum(), x)[0] for module in (series, circuit))
    assert torch.allclose(ours, theirs, rtol=0, atol=EXACT)
    assert report.details["largest error at 64 further places"] < EXACT
    assert series(x[0]).shape == truth[0].shape
    assert series(x.float()).dtype == torch.float32


@pytest.mark.parametrize("n_inputs", [8, 9])
def test_layers_of_many_inputs(n_inputs):
    """A Fourier transform over more than 7 axes at once is none of MKL's."""
    circuit = qnn.QuantumLayer(n_inputs, 1, seed=0, dtype=torch.float64)
    series, report = surrogate(circuit, device=None)
    x = torch.rand(20, n_inputs, generator=torch.Generator().manual_seed(1)).double() * 60 - 30
    assert report.details["queries"] == 3**n_inputs
    assert torch.allclose(series(x), circuit(x), rtol=0, atol=EXACT)


def test_all_layers_are_checked_before_a_circuit_runs():
    net = torch.nn.Sequential(layer(2, 1), torch.nn.Linear(2, 4), layer(4, 2)).double()
    data = torch.zeros(5, 2).double(), torch.zeros(5).long()
    for options, told in (
        ({"max_queries": 100}, "at least 625"),
        ({"method": "random", "n_queries": 10**6}, "at most"),
    ):
        with measure_usage() as used, pytest.raises(ArgumentError, match=told):
            surrogate(net, data, **options)
        assert used.circuits == 0


@pytest.mark.parametrize("case", CASES)
def test_queries_follow_from_gates_and_angle_map(case):
    build, n_queries = CASES[case]
    circuit = build()
    with measure_usage() as used:
        _, report = surrogate(circuit)
    per_row = 1 if case != "many gates" else 2  # commuting observables share a circuit
    assert report.details["queries"] == n_queries
    assert used.jobs == 2, "the grid is one call, the check another"
    assert used.circuits in (n_queries + 64, per_row * (n_queries + 64))


def test_the_series_of_one_rotation_is_a_cosine():
    def rotation(inputs, w):
        qml.RX(inputs[0] + w[0], 0)
        return qml.expval(qml.Z(0))

    circuit = own(rotation, n_inputs=1, w=1)
    series, _ = surrogate(circuit)
    w = circuit.w.item()
    assert series.frequencies.tolist() == [[1.0]]
    assert series.cosines.item() == pytest.approx(math.cos(w), abs=1e-14)
    assert series.sines.item() == pytest.approx(-math.sin(w), abs=1e-14)


def test_the_tolerance_bounds_the_error_and_makes_it_smaller():
    circuit = layer(3, 2)
    exact, _ = surrogate(circuit)
    rough, report = surrogate(circuit, tolerance=0.2)
    x = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)).double() * 2 * math.pi
    assert len(rough.frequencies) < 0.8 * len(exact.frequencies)
    assert 1e-3 < float((rough(x) - circuit(x)).detach().abs().max()) <= 0.2
    assert report.details["frequencies"] == len(rough.frequencies)


def test_with_shots_the_error_is_the_stated_one():
    """Parseval: the mean square error over all inputs has the mean variance of the queries as its expectation."""
    circuit = layer(2, 2, shots=100)
    before = circuit.sampling_state()
    series, report = surrogate(circuit)
    assert circuit.sampling_state() == before
    stated = report.details["standard error of an output"]
    exact, _ = surrogate(layer(2, 2))
    full = FourierSurrogate.of(
        torch.cat([series.frequencies, exact.frequencies]),
        torch.cat([series.cosines, -exact.cosines]),
        torch.cat([series.sines, -exact.sines]),
    )
    n = 64
    axis = torch.arange(n).double() * (2 * math.pi / n)
    error = float(full(torch.cartesian_prod(axis, axis)).square().mean().sqrt())
    # 50 estimates of about equal variance: the relative deviation of a mean square is sqrt(2/50), so 4 sigma is 0.8.
    assert abs(error**2 / stated**2 - 1) < 0.8
    assert 0.5 / math.sqrt(100) < stated < 1 / math.sqrt(100)
    assert not torch.equal(series.cosines, surrogate(layer(2, 2, shots=400))[0].cosines[: len(series.cosines)])


def test_noise_that_is_computed_exactly_has_an_exact_series():
    """Depolarising after every gate shrinks coefficients; the series follows it."""
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 1), ["rx", "ry", "rz", "h", "sx", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx"])
    noisy = layer(2, 1, backend="aer", noise=noise)
    series, _ = surrogate(noisy)
    x = torch.tensor([[0.3, -2.0], [4.0, 0.1]]).double()
    assert torch.allclose(series(x), noisy(x), rtol=0, atol=EXACT)
    assert float(series.cosines.abs().sum()) < 0.9 * float(surrogate(layer(2, 1))[0].cosines.abs().sum())


def network(**options):
    shared = layer(2, 1, **options)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 2), shared, torch.nn.Linear(2, 2), shared, torch.nn.Linear(2, 2)
    ).double()


def test_a_network_keeps_its_classical_part_and_is_measured(tmp_path):
    net = network()
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    y = (net(x).argmax(1) + (torch.arange(30) % 5 == 0)) % 2
    names = [name for name, _ in net.named_modules()]
    new, report = surrogate(net, (x, y), device=None)
    assert new[1] is new[3]
    assert isinstance(new[1], FourierSurrogate)
    assert isinstance(net[1], qnn.QuantumLayer)
    assert new[0].weight is not net[0].weight
    assert names == [name for name, _ in net.named_modules()]
    assert torch.allclose(new(x), net(x), rtol=0, atol=EXACT)
    assert report.before.accuracy == report.after.accuracy == 0.8
    assert (report.before.circuits_per_step > 0, report.after.circuits_per_step) == (True, 0)
    assert report.details["1: queries"] == 9
    loaded = qnn.load(qnn.save(new, tmp_path / "net.zip"))
    assert torch.equal(loaded(x), new(x))
    assert "2 outputs" in repr(loaded[1])


@pytest.mark.slow
def test_onnx_of_a_surrogate(tmp_path):
    pytest.importorskip("onnxruntime")
    assert qnn.export_onnx(surrogate(layer())[0], tmp_path / "s.onnx", torch.zeros(3, 2).double()).exists()


def test_a_bundle_with_a_forged_size_is_refused(tmp_path):
    path = qnn.save(surrogate(layer())[0], tmp_path / "bundle")
    text = (path / "bundle.json").read_text()
    number = len(surrogate(layer())[0].frequencies)
    (path / "bundle.json").write_text(text.replace(f'"n_frequencies": {number}', f'"n_frequencies": {10**9}'))
    with pytest.raises(BundleError):
        qnn.load(path)


def test_random_features_state_their_error():
    circuit = layer(2, 2)
    few, report = surrogate(circuit, method="random", n_frequencies=4, n_queries=400)
    many, best = surrogate(circuit, method="random", n_frequencies=100, n_queries=400, ridge=1e-12)
    name = "root mean square error at 80 held-out queries"
    assert best.details[name] < 1e-6, "all of the 12 frequencies are drawn"
    assert len(many.frequencies) == 13
    assert (report.details["queries"], report.details["frequencies"]) == (400, 5)
    x = (torch.rand(4000, 2, generator=torch.Generator().manual_seed(5)).double() - 0.5) * 2 * math.pi
    apart = (few(x) - circuit(x)).detach()
    assert report.details[name] == pytest.approx(float(apart.square().mean().sqrt()), rel=0.3)
    assert report.details[name] < report.details["standard deviation of the outputs there"]
    other, _ = surrogate(circuit, method="random", n_frequencies=4, n_queries=400, seed=1)
    assert not torch.equal(few.frequencies, other.frequencies)
    held_back, _ = surrogate(circuit, method="random", n_frequencies=4, n_queries=400, ridge=1.0)
    assert float(held_back.cosines.abs().sum()) < 0.9 * float(few.cosines.abs().sum())


def test_features_that_are_worse_than_a_constant_warn():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), layer(4, 3)).double()
    told = (
        r"of the layer \"1\" must be nearer to it than a constant is; got a root mean square error of (\S+) at 12 .*, "
    )
    told += r"and (\S+) for the mean of the others\. Raise `n_queries` \(60\) or lower `n_frequencies` \(31\)"
    with pytest.warns(PoorFitWarning, match=told) as noticed:
        new, report = surrogate(net, method="random", n_frequencies=30, n_queries=60)
    assert noticed[0].filename == __file__ and new is not net
    error, constant = map(float, re.search(told, str(noticed[0].message)).groups())
    assert error > constant
    assert error == pytest.approx(report.details["1: root mean square error at 12 held-out queries"], rel=1e-2)
    with pytest.warns(PoorFitWarning, match=r"of the layer must be .* Raise `n_frequencies`, with eight queries"):
        surrogate(layer(4, 3), method="random", n_frequencies=2, n_queries=60, seed=1)


def test_outputs_that_are_constant_are_fitted_without_a_warning():
    def flat(inputs, w):
        qml.RX(w[0], 0)
        qml.RX(inputs[0], 1)
        qml.RX(w[1] * inputs[1], 1)
        return qml.expval(qml.Z(0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QnnWarning)  # of the inputs
        circuit = own(flat)
    _, report = surrogate(circuit, method="random", n_frequencies=3, n_queries=40)
    assert report.details["standard deviation of the outputs there"] < 1e-12


def test_random_features_where_the_data_are():
    """Queries at the data make a better fit there than queries all over the period; without a period, it works too."""
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double() * 0.3
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), layer(4, 3)).double()
    options = {"method": "random", "n_frequencies": 60, "n_queries": 240}
    near, report = surrogate(net, x, **options)
    with pytest.warns(PoorFitWarning, match=r"\(240\) or lower"):
        far, _ = surrogate(net, **options)
    truth = net(x).detach()
    errors = [float((new(x) - truth).detach().square().mean().sqrt()) for new in (near, far)]
    assert errors[0] < 0.2 * errors[1]
    assert report.details["1: queries"] == 240
    assert report.measurements == ()

    def two_frequencies(inputs, w):
        qml.RX(w[0] * inputs[0], 0)
        qml.RY(w[1] * inputs[0], 0)
        return qml.expval(qml.Z(0))

    circuit = own(two_frequencies, n_inputs=1)
    with pytest.raises(
        ArgumentError, match=r"whole multiples of one number for each input; got [\d., ]+ for inputs\[0\]"
    ):
        surrogate(circuit)
    _, report = surrogate(circuit, method="random", ridge=1e-12)
    assert report.details["largest error there"] < 1e-6


def test_bad_input_is_refused():
    with pytest.raises(ArgumentError, match=r"`max_queries` must be at least 343 \(7 x 7 x 7\) .*; got 100. Raise it"):
        surrogate(layer(3, 3), max_queries=100)
    with pytest.raises(ArgumentError, match=r"at least 59,049 \(3 x 3 x 3 x 3 x 3 x 3 x 3 x 3 x \.\.\.\)"):
        surrogate(layer(10, 1))
    with pytest.raises(ArgumentError, match=r"`n_queries` must be at most `max_queries`, 20,000; got 30,000"):
        surrogate(layer(), method="random", n_queries=30_000)
    with pytest.raises(UnknownNameError, match=r'No method of surrogates named "furier"\. Did you mean "fourier"'):
        surrogate(layer(), method="furier")
    for name, value in (
        ("max_queries", 0),
        ("n_frequencies", 1.5),
        ("n_queries", True),
        ("tolerance", -1),
        ("ridge", 0),
    ):
        with pytest.raises(ArgumentError, match=f"`{name}` must be a .* number from"):
            surrogate(layer(), **{name: value})
    with pytest.raises(ArgumentError, match="`model` must have a quantum layer; got none"):
        surrogate(torch.nn.Linear(2, 2))
    with pytest.raises(DtypeError, match=r"`model` must be a torch\.nn\.Module; got int"):
        surrogate(3)
    with pytest.raises(ShapeError, match="`data` must give 5 queries or more"):
        surrogate(layer(), torch.zeros(3, 2), method="random")
    with pytest.raises(ShapeError, match=r"`data` must have rows that the model takes; got \(9, 5\)"):
        surrogate(network(), torch.zeros(9, 5), method="random")
    with pytest.raises(ShapeError, match=r"`inputs` must end in 2 features .*; got shape \(3,\)"):
        surrogate(layer())[0](torch.zeros(3))
    with pytest.raises(ArgumentError, match="must have quantum layers with inputs; got one without, whose"):
        surrogate(own(no_inputs, n_inputs=0, w=1))


@pytest.mark.parametrize(
    ("angle", "named"),
    [
        (lambda x, w: torch.arctan(x[0]), "atan"),
        (lambda x, w: x[0] * x[1], "a product or a quotient of inputs"),
        (lambda x, w: torch.abs(x[0]), "abs"),
        (lambda x, w: w[0] / (x[0] + 9), "a product or a quotient of inputs"),
    ],
)
def test_other_functions_of_inputs_are_refused(angle, named):
    def function(inputs, w):
        qml.RX(angle(inputs, w), 0)
        qml.RY(inputs[1], 0)
        qml.RX(w[0], 0)
        return qml.expval(qml.Z(0))

    circuit = own(function, n_inputs=2, w=1)
    with pytest.raises(UnsupportedError, match=f"sums of multiples of its inputs .* got {named}. Compute"):
        surrogate(circuit)
