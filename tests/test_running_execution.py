"""`qnn.run`: known circuits on every backend, many rows in one job, seeds, refusals before anything is submitted."""

import functools
import inspect
import math
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from fakecloud_here import TOKEN, serving
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from test_circuits_folder import FILES, NAMES, bound, expectations, wanted

import qnn
from qnn import _meter, _seeding
from qnn.backends import Aer, FakeCloud, PennyLane
from qnn.circuits.qasm import read_qasm
from qnn.errors import ArgumentError, CapabilityError, NoEffectWarning, UnknownNameError

FOLDER = Path(__file__).parent.parent / "circuits"
TURNED = 'OPENQASM 3.0; include "stdgates.inc"; input float t; qubit[3] q; x q[0]; ry(t) q[2];'
WIDE = "OPENQASM 3.0; qubit[6] q;"
BACKENDS = ["statevector", "aer", "pennylane:default.qubit", "pennylane:lightning.qubit", "braket:local"]


def found(file, values, **options):
    """What a file's `expect:` lines name, as measured in one run."""
    asked = [what for what, _ in expectations(file)]
    words = [" ".join(f"{letter}{wire}" for wire, letter in what) for what in asked if not isinstance(what, str)]
    result = qnn.run(file, parameters=values, observables=["probs", *words], **options)
    by_word = iter(result.expectation if words else ())
    return np.array([result.probabilities.get(what, 0.0) if isinstance(what, str) else next(by_word) for what in asked])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_files_of_the_folder_measure_what_they_say(file, backend):
    if backend == "pennylane:lightning.qubit":
        pytest.importorskip("pennylane_lightning")
    if backend == "braket:local":
        pytest.importorskip("braket")
    values = bound_values(file)
    np.testing.assert_allclose(found(file, values, backend=backend), wanted(file, values), atol=1e-6)


@pytest.mark.parametrize(
    "backend", ["statevector", "aer", "pennylane:default.qubit", "ibm:fake_manila", "braket:local"]
)
def test_shots_are_within_five_standard_errors(backend):
    """⟨Z⟩ has the error √((1-⟨Z⟩²)/shots), a probability √(p(1-p)/shots); 5σ. fake_manila is noisy: 0.12 more."""
    if backend.startswith("ibm"):
        pytest.importorskip("qiskit_ibm_runtime")
    if backend.startswith("braket"):
        pytest.importorskip("braket")
    shots, slack = 4000, 0.12 if backend.startswith("ibm") else 0.0
    options = {} if backend.startswith(("ibm", "pennylane")) else {"seed": 3}
    for name in ("h_rx_cnot_2", "w_3"):
        file = FOLDER / f"{name}.qasm"
        values = bound_values(file)
        expected = wanted(file, values)
        spread = [
            p * (1 - p) if isinstance(what, str) else 1 - p**2
            for (what, _), p in zip(expectations(file), expected, strict=True)
        ]
        got = found(file, values, backend=backend, shots=shots, **options)
        assert np.all(np.abs(got - expected) <= 5 * np.sqrt(np.array(spread) / shots) + slack + 1e-12)
        if not slack:
            assert not np.allclose(got, expected, atol=1e-12)


def bound_values(file):
    return bound(read_qasm(file))


def test_many_sets_of_parameters_are_one_job(monkeypatch):
    calls = []
    original = AerSimulator.run
    monkeypatch.setattr(AerSimulator, "run", lambda *a, **k: calls.append(1) or original(*a, **k))
    t = np.linspace(0, 3, 12).reshape(4, 3)
    with _meter.measure() as usage:
        result = qnn.run(TURNED, "aer", parameters={"t": t}, observables=["IIZ", "X2"])
    assert (len(calls), usage.jobs) == (1, 1)
    assert result.expectation.shape == (4, 3, 2)
    np.testing.assert_allclose(result.expectation, np.stack([np.cos(t), np.sin(t)], axis=-1), atol=1e-12)
    with _meter.measure() as usage:
        counted = qnn.run(TURNED, "aer", 500, parameters={"t": t})
    assert (len(calls), usage.jobs, usage.circuits, usage.shots) == (2, 1, 12, 6000)
    assert [[sum(one.values()) for one in line] for line in counted.counts] == [[500] * 3] * 4
    assert counted.distribution.shape == (4, 3, 8)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_the_same_seed_repeats_anywhere_and_another_differs(backend):
    run = lambda seed: qnn.run(TURNED, backend, 300, parameters={"t": [1.0, 1.0]}, seed=seed)
    first = run(5)
    assert first.seed == 5
    assert first.counts[0] != first.counts[1], "rows are independent"
    assert run(5).counts == first.counts != run(6).counts
    with _seeding.step_scope(7):
        assert run(5).counts == first.counts
        assert run(5).counts == first.counts


def test_without_seed_torch_decides_and_the_result_tells():
    import torch

    torch.manual_seed(1)
    first, second = (qnn.run(TURNED, shots=300, parameters={"t": 1.0}) for _ in range(2))
    torch.manual_seed(1)
    again = qnn.run(TURNED, shots=300, parameters={"t": 1.0})
    assert first.counts == again.counts != second.counts
    assert qnn.run(TURNED, shots=300, parameters={"t": 1.0}, seed=second.seed).counts == second.counts


def test_only_measured_wires_come_back():
    text = (
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[2]; x q[1]; h q[0]; '
        "measure q[1] -> c[0]; measure q[2] -> c[1];"
    )
    result = qnn.run(text)
    assert result.probabilities == {"10": 1.0}
    assert (result.wires, result.labels) == ((1, 2), ("q[1]", "q[2]"))
    assert qnn.run(text, observables=[qml.probs(wires=[0])]).probabilities == {"0": 0.5, "1": 0.5}
    assert qnn.run(FOLDER / "bernstein_vazirani_4.qasm", shots=50).counts == {"101": 50}


def test_options_reach_the_backend():
    """A readout error of 10 % on a wire in |0>."""
    noise = NoiseModel()
    noise.add_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]), [0])
    one = "OPENQASM 3.0; qubit q;"
    assert qnn.run(one, "aer").probabilities == {"0": 1.0}
    assert qnn.run(one, "aer", noise=noise).probabilities == {"0": 0.9, "1": 0.1}
    assert qnn.run(one, Aer(noise=noise)).probabilities == {"0": 0.9, "1": 0.1}
    noisy = qnn.run(FOLDER / "bell.qasm", "aer", noise="fake_manila")
    assert 0.9 < noisy.probabilities["00"] + noisy.probabilities["11"] < 0.99
    assert noisy.options == {"noise": "fake_manila"}


def test_variances_of_observables():
    result = qnn.run(TURNED, parameters={"t": 0.7}, observables=[qml.var(qml.Z(2)), qml.Z(2)])
    np.testing.assert_allclose(result.expectation, [math.sin(0.7) ** 2, math.cos(0.7)], atol=1e-12)
    assert result.observables == ("Var(Z2)", "<Z2>")


def test_standard_errors_are_those_of_the_shots():
    result = qnn.run(TURNED, shots=1000, parameters={"t": 1.0}, observables=["Z2"], seed=0)
    (z,) = result.expectation
    np.testing.assert_allclose(result.variance, [(1 - z**2) / 1000])
    np.testing.assert_allclose(result.standard_error, np.sqrt(result.variance))
    assert qnn.run(TURNED, parameters={"t": 1.0}, observables="Z2").standard_error == 0.0


def test_a_backend_that_draws_by_itself_says_so():
    with pytest.warns(NoEffectWarning, match=r'`seed` does not say what each row draws: backend "pennylane:default'):
        result = qnn.run(TURNED, "pennylane:default.qubit", 10, parameters={"t": 1.0}, seed=1)
    assert result.seed is None
    seeded = [qnn.run(TURNED, PennyLane("default.qubit", seed=s), 200, parameters={"t": 1.0}).counts for s in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_where_a_machine_draws_by_itself_a_seed_is_one_sample_of_a_run(tmp_path):
    with serving(own_randomness=True) as cloud:
        url, journal = f"http://127.0.0.1:{cloud.port}/unkeyed", str(tmp_path / "jobs.sqlite3")
        place = FakeCloud(url, TOKEN, journal=journal, poll_interval_s=0.005)
        with pytest.warns(NoEffectWarning, match="Within one run the same seed is the same job, .* Give another seed"):
            one, same, another = (qnn.run(TURNED, place, 10**5, parameters={"t": 1.0}, seed=seed) for seed in (1, 1, 2))
        assert len(cloud.admin.tags()) == 2
    assert one.counts == same.counts != another.counts


def test_the_signature_is_the_promised_one():
    assert list(inspect.signature(qnn.run).parameters) == [
        *("circuit", "backend", "shots", "observables", "parameters", "seed", "backend_options")
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((TURNED, "statvector"), {}, UnknownNameError, r'No backend named "statvector". Did you mean "statevector"'),
        ((TURNED, "pennylane:default.qubt"), {}, UnknownNameError, r'Did you mean "default.qubit"'),
        ((TURNED, "aer"), {"noise": "fake_manilla"}, UnknownNameError, r'Did you mean "fake_manila"'),
        ((TURNED, "statevector"), {"noise": "fake_manila"}, ArgumentError, r'"statevector" has no option `noise`'),
        ((TURNED, "aer"), {"resilience_level": 1}, ArgumentError, r'"aer" has no option `resilience_level`. It has'),
        ((TURNED, Aer()), {"noise": None}, ArgumentError, r"`noise` must be given to the backend object itself"),
        ((TURNED,), {}, ArgumentError, r"`parameters` must give a value to every free parameter; got none for t"),
        (
            (WIDE, "aer"),
            {"noise": "fake_manila"},
            CapabilityError,
            r'`circuit` must have at most 5 qubits to run on backend "aer"; circuit has 6. Use fewer',
        ),
        (("OPENQASM 3.0; qubit[31] q;",), {}, CapabilityError, r"at most 30 qubits to run on .*; circuit has 31"),
        (("OPENQASM 3.0; qubit[25] q;",), {}, ArgumentError, r"24 at most; circuit measures 25 in 1 row"),
        (
            (WIDE, "statevector", 9),
            {"mitigation": "readout"},
            CapabilityError,
            r"`observables` must be given for .* with readout mitigation>, which counts no outcomes as they are",
        ),
        ((WIDE, "statevector", 0), {}, ArgumentError, r"`shots` must be a positive integer below 2\^31, .*; got 0"),
        ((WIDE, "statevector", 1.5), {}, ArgumentError, r"`shots` must be a positive integer .*; got 1.5"),
        ((WIDE, "statevector", True), {}, ArgumentError, r"`shots` must be a positive integer .*; got True"),
        ((WIDE, "statevector", 2**31), {}, ArgumentError, r"`shots` must be a positive integer below 2\^31"),
        ((WIDE, "statevector", 1), {"seed": -1}, ArgumentError, r"`seed` must be an integer from 0"),
        (
            (WIDE, Aer(noise=NoiseModel(), method="statevector", sampler="aer")),
            {},
            CapabilityError,
            r'`shots` must be given for backend "aer", which only samples',
        ),
    ],
)
def test_refused_before_anything_is_submitted(arguments, options, error, message):
    with _meter.measure() as usage, pytest.raises(error, match=message):
        qnn.run(*arguments, **options)
    assert usage.jobs == 0


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("ibm:fake_manilla", {}, r'Did you mean "?(ibm:)?fake_manila'),
        ("ibm:fake_manila", {}, r"`shots` must be given"),
        ("ibm:fake_manila", {"shots": 10, "noise": "fake_manila"}, r"has no option `noise`"),
        ("braket:locl", {}, r'Did you mean "?(braket:)?local'),
        ("braket:local", {"method": "statevector"}, r"has no option `method`"),
    ],
)
def test_refusals_of_the_providers(backend, options, message):
    pytest.importorskip("qiskit_ibm_runtime" if backend.startswith("ibm") else "braket")
    with _meter.measure() as usage, pytest.raises(qnn.QnnError, match=message):
        qnn.run("OPENQASM 3.0; qubit q;", backend, **options)
    assert usage.jobs == 0


def test_too_many_rows_for_memory():
    with pytest.raises(ArgumentError, match=r"circuit measures 3 in 10000000 row\(s\). Measure fewer"):
        qnn.run(TURNED, parameters={"t": np.zeros(10_000_000)})


def test_exact_probabilities_of_many_wires():
    """A product of rotations; the matrix from outcomes to probabilities would not fit in memory with its zeros."""
    n = 17
    turns = "".join(f"ry({0.2 + 0.1 * i}) q[{i}]; " for i in range(n))
    result = qnn.run(f'OPENQASM 3.0; include "stdgates.inc"; qubit[{n}] q; {turns}')
    wanted = functools.reduce(
        np.kron, [[math.cos(0.1 + 0.05 * i) ** 2, math.sin(0.1 + 0.05 * i) ** 2] for i in range(n)]
    )
    np.testing.assert_allclose(result.distribution, wanted, atol=1e-12)
