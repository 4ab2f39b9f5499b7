"""Mitigated circuits on noisy backends: closer to the exact values, with honest errors, counts and gradients."""

import pickle

import numpy as np
import oracles
import pytest
import torch
from contracts.backend_contract import SAMPLED, equal_rows, keys
from fakecloud_here import TOKEN, serving
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from random_circuits import every_gate, random_angles, random_circuit

from qnn import QuantumLayer, _meter, _seeding
from qnn._run import current_run, run_scope
from qnn.backends import Aer, FakeCloud, Mitigated, Workers, resolve
from qnn.backends.amount import Amount
from qnn.backends.base import Angles
from qnn.backends.mitigation.scaling import folded
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.folding import Folding
from qnn.circuits.observables import Expectation, Probabilities, pauli
from qnn.errors import ArgumentError, BackendError, BudgetError, CapabilityError, NoEffectWarning

F64 = torch.float64
INPUTS = torch.rand(3, 3, dtype=F64, generator=torch.Generator().manual_seed(0)) * 3


def readout_noise() -> NoiseModel:
    """Detectors of different quality, on each of four wires, and perfect gates."""
    model = NoiseModel()
    for qubit, (e0, e1) in enumerate([(0.02, 0.08), (0.05, 0.12), (0.0, 0.1), (0.1, 0.03)]):
        model.add_readout_error(ReadoutError([[1 - e0, e0], [e1, 1 - e1]]), [qubit])
    return model


def gate_noise() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.001, 1), ["rx", "h"])
    return model


@pytest.fixture(scope="module")
def aer_readout() -> Aer:
    return Aer(noise=readout_noise())


def exact(circuit: Circuit, angles: Angles) -> np.ndarray:
    return oracles.values(circuit, angles.shared, angles.rows)


# readout ----------------------------------------------------------------------------------------------------------


def test_exact_values_are_recovered_from_noisy_detectors(aer_readout) -> None:
    for seed in (0, 1):
        circuit = random_circuit(seed, 4)
        angles = random_angles(circuit, 2, seed)
        plain = aer_readout.compile(circuit).run(angles).values.numpy()
        found = Mitigated(aer_readout, readout=True).compile(circuit).run(angles)
        assert found.variance is None and np.abs(plain - exact(circuit, angles)).max() > 0.05
        np.testing.assert_allclose(found.values, exact(circuit, angles), atol=1e-12)


def test_shots_are_unbiased_with_the_standard_error_they_name(aer_readout) -> None:
    """120 seeds, calibrated by 100 shots each: mean within 5 sigma, variance within 5 sigma of a sample variance."""
    n = 120
    executable = Mitigated(aer_readout, readout=True, calibration_shots=100).compile(SAMPLED)
    found = [executable.run(equal_rows(1), shots=300, keys=keys(1, root=seed)) for seed in range(n)]
    values, variances = (np.concatenate(parts) for parts in zip(*((e.values, e.variance) for e in found), strict=True))
    truth = exact(SAMPLED, equal_rows(1))[0]
    predicted = variances.mean(axis=0)
    assert np.all(np.abs(values.mean(axis=0) - truth) < 5 * np.sqrt(predicted / n))
    assert np.all(np.abs(values.var(axis=0, ddof=1) / predicted - 1) < 5 * np.sqrt(2 / (n - 1)))
    plain = aer_readout.compile(SAMPLED).run(equal_rows(n), shots=300, keys=keys(n))
    bias = np.abs(plain.values.numpy().mean(axis=0) - truth)  # without
    assert (bias / np.sqrt(predicted / n)).max() > 15
    assert np.all(predicted[:3] > plain.variance.numpy().mean(axis=0)[:3])
    precise = Mitigated(aer_readout, readout=True, calibration_shots=10**6).compile(SAMPLED)
    within = precise.run(equal_rows(1), shots=300, keys=keys(1)).variance
    assert np.all(within.numpy()[0, :3] < 0.9 * predicted[:3])  # the rest comes from the calibrations


def test_values_beyond_the_range_and_clipping(aer_readout) -> None:
    """All wires in |0>: half of the samples of <Z> lie above 1; not one that is clipped, at the price of a bias."""
    circuit = Circuit(2, (), (Expectation(pauli("ZI")), Probabilities((0, 1))))
    angles = Angles(torch.zeros(0, dtype=F64), torch.zeros(40, 0, dtype=F64))
    values = {}
    for clip in (False, True):
        executable = Mitigated(aer_readout, readout=True, clip=clip).compile(circuit)
        values[clip] = executable.run(angles, shots=200, keys=keys(40)).values
    assert values[False][:, 0].max() > 1.01 and values[False][:, 1:].min() < -0.005
    assert values[True].max() <= 1 and values[True][:, 1:].min() >= 0
    assert float(values[True][:, 0].mean()) < float(values[False][:, 0].mean())


def test_what_clipping_leaves_as_it_is(aer_readout) -> None:
    """As the page says: variances are those without it, above those of the values; extrapolations leave the range."""
    circuit = Circuit(2, (Operation("CNOT", (0, 1)),), (Expectation(pauli("ZI")),))
    angles = Angles(torch.zeros(0, dtype=F64), torch.zeros(300, 0, dtype=F64))
    run = lambda **options: (
        Mitigated(aer_readout, readout=True, calibration_shots=10**6, **options)
        .compile(circuit)
        .run(angles, shots=200, keys=keys(300))
    )
    free, clipped = run(), run(clip=True)
    assert torch.equal(free.variance, clipped.variance)
    assert clipped.values.var() < 0.8 * clipped.variance.mean()  # of values that lie at the end of the range
    assert clipped.values.max() <= 1 < run(clip=True, zne=True).values.max()


def test_calibration_follows_the_layout() -> None:
    """On the qubits that the transpiler chose: detectors of fake_manila differ, and its layout is not 0, 1, 2."""
    every_z = tuple(Expectation(pauli(((wire, "Z"),))) for wire in range(3))
    circuit = Circuit(3, (Operation("CNOT", (0, 2)), Operation("CNOT", (1, 2))), every_z)
    backend = Aer(noise="fake_manila", seed_transpiler=3)
    executable = Mitigated(backend, readout=True).compile(circuit)
    angles = Angles(torch.zeros(0, dtype=F64), torch.zeros(1, 0, dtype=F64))
    executable.run(angles)
    ((calibration, _),) = current_run().once.kept[executable].values()
    layout = executable.describe()["layout"]
    model = NoiseModel.from_backend(resolve("ibm:fake_manila").device)
    assert list(layout.values()) != [0, 1, 2]
    for wire, qubit in layout.items():
        detector = model._local_readout_errors[(qubit,)].probabilities
        # an X gate and the relaxation during it also count as readout error of a one
        np.testing.assert_allclose(calibration.confusion(wire), detector, atol=2e-3)


def test_a_calibration_depends_on_the_seed_only(aer_readout) -> None:
    """On no other run, row or process: a training that goes on elsewhere has the same detectors."""
    backend = Mitigated(aer_readout, readout=True)
    executable = backend.compile(SAMPLED)
    first = executable.run(equal_rows(2), shots=50, keys=keys(2, root=1)).values
    executable.run(equal_rows(1), shots=50, keys=keys(1, root=2))
    later = executable.run(equal_rows(2), shots=50, keys=keys(2, root=1)).values
    assert torch.equal(first, later) and len(current_run().once.kept[executable]) == 2
    twin = pickle.loads(pickle.dumps(backend)).compile(SAMPLED)
    twin.run(equal_rows(1), shots=50, keys=keys(1, root=1, call=7))
    assert torch.equal(twin.run(equal_rows(2), shots=50, keys=keys(2, root=1)).values, first)
    errors = [calibration.errors for calibration, _ in current_run().once.kept[executable].values()]
    assert not np.array_equal(*errors)


def test_detectors_that_cannot_be_inverted_are_refused() -> None:
    model = NoiseModel()
    model.add_readout_error(ReadoutError([[0.2, 0.8], [0.7, 0.3]]), [1])
    executable = Mitigated(Aer(noise=model), readout=True).compile(SAMPLED)
    with pytest.raises(BackendError, match=r"that of wire 1 reports 0\.8 of zeros as 1 and 0\.7 of ones as 0"):
        executable.run(equal_rows(1))


# extrapolation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folding", ["two-qubit", "global"])
def test_executed_gates_are_a_multiple(folding) -> None:
    """Nothing cancels them, on a device whose transpiler routes: counted in the very circuits that Aer runs."""
    circuit = QuantumLayer(4, 2).circuit  # a ring of four on a line
    plain = Aer(noise="fake_manila").compile(circuit)
    gates = lambda executable: executable._settings[0].exact.count_ops()
    size = gates(plain)["cx"]
    assert size > circuit.n_two_qubit_gates()  # SWAPs
    for scale in (3, 5):
        found = folded(plain, Folding(scale, folding))
        assert gates(found)["cx"] == scale * size == found.describe()["two_qubit_gates"]
        assert found.describe()["layout"] == plain.describe()["layout"] and found.noise_scale == scale
        once = gates(plain)["sx"] + gates(plain).get("x", 0)
        expected = scale * once if folding == "global" else once
        assert gates(found)["sx"] + gates(found).get("x", 0) == expected
    half = folded(plain, Folding(1.8, folding))
    assert gates(half)["cx"] == round(half.noise_scale * size) and abs(half.noise_scale - 1.8) <= 1 / size


# Root mean squares of the error of <Z> over inputs and wires, by that without mitigation: what is reached, rounded up.
REDUCED = {
    ("fake_manila", "readout+zne"): 0.06,
    ("fake_manila", "readout"): 0.75,
    ("depolarizing", "zne"): 0.12,
}


@pytest.mark.parametrize(("noise", "mitigation"), REDUCED)
def test_errors_shrink(noise, mitigation) -> None:
    """In exact arithmetic, so that there is no chance in it."""
    source = gate_noise() if noise == "depolarizing" else noise
    layer = QuantumLayer(3, 2, seed=1, dtype=F64)
    angles = layer.plan.angles(*layer._sources(INPUTS))
    truth = layer(INPUTS).detach()
    error = lambda backend: float((backend.compile(layer.circuit).run(angles).values - truth).pow(2).mean().sqrt())
    plain = Aer(noise=source)
    assert error(resolve(plain, mitigation=mitigation)) < REDUCED[noise, mitigation] * error(plain)


def test_shots_of_an_extrapolation_agree_with_its_exact_value() -> None:
    """400 rows: mean and variance within 5 sigma, the errors of scales independent and the first as without."""
    n, shots = 400, 200
    plain = Aer(noise="fake_manila")
    executable = Mitigated(plain, zne=(1, 3, 5)).compile(SAMPLED)
    value = executable.run(equal_rows(1)).values[0, :3]
    found = executable.run(equal_rows(n), shots=shots, keys=keys(n))
    variance = found.variance[:, :3].mean(dim=0)
    assert bool((found.values[:, :3].mean(dim=0) - value).abs().lt(5 * (variance / n).sqrt()).all())
    assert bool((found.values[:, :3].var(dim=0) / variance - 1).abs().lt(5 * (2 / n) ** 0.5).all())
    parts = [e.run(equal_rows(n), shots=shots, keys=keys(n)).variance[:, :3] for e in executable._scaled]
    expected = sum(c**2 * part.mean(dim=0) for c, part in zip(np.array([15, -10, 3]) / 8, parts, strict=True))
    torch.testing.assert_close(variance, expected, rtol=0.02, atol=0)
    assert found.counts is None


def test_scales_draw_independently() -> None:
    """Without noise all scales have one distribution: 600 rows, correlations within 5 sigma of zero, 1/sqrt(n) each."""
    n = 600
    plain = resolve("statevector").compile(SAMPLED)
    executable = Mitigated("statevector", zne=True).compile(SAMPLED)
    found = executable.run(equal_rows(n), shots=50, keys=keys(n)).values[:, 0]
    first = plain.run(equal_rows(n), shots=50, keys=keys(n)).values[:, 0]
    slope = float(torch.cov(torch.stack([found, first]))[0, 1] / first.var())
    # slope of the regression of Σ c_k v_k on the first: 15/8, with sigma sqrt(Σ_{k>1} c_k² / n)
    assert abs(slope - 15 / 8) < 5 * np.sqrt((100 + 9) / 64 / n)


def test_every_option_changes_the_values() -> None:
    zne = {"zne": True}
    options = [
        None,
        {"readout": True},
        zne,
        zne | {"readout": True},
        zne | {"folding": "global"},
        {"zne": [1, 3]},
        {"zne": [1, 2, 3]},
        zne | {"extrapolation": "linear"},
        zne | {"extrapolation": "exponential"},
        zne | {"extrapolation": "exponential", "asymptote": 0.1},
    ]
    layer = QuantumLayer(2, 1, seed=1, dtype=F64)
    values = []
    for mitigation in options:
        with torch.no_grad(), layer.using("aer", noise="fake_manila", mitigation=mitigation):
            values.append(layer(INPUTS[:, :2]))
    for i, value in enumerate(values):
        assert all(float((value - other).abs().max()) > 1e-6 for other in values[:i]), options[i]


@pytest.mark.parametrize("folding", ["two-qubit", "global"])
def test_transpiled_circuits_stay_what_they_are(folding) -> None:
    """Every gate of the table and its inverse, in Aer's gates, merged and with slots in affine expressions."""
    circuit = every_gate()
    angles = random_angles(circuit, 2)
    plain = Aer(optimization_level=2).compile(circuit)
    for scale in (3, 2.2):
        found = folded(plain, Folding(scale, folding))
        np.testing.assert_allclose(found.run(angles).values, exact(circuit, angles), atol=1e-12)


def test_circuits_that_cannot_be_scaled() -> None:
    one_gate = Circuit(2, (Operation("CNOT", (0, 1)),), (Expectation(pauli("ZZ")),))
    with pytest.raises(
        ArgumentError, match=r"differ for this circuit; got \(1.0, 1.5, 3.0\), .*gives \[1.0, 1.0, 3.0\]"
    ):
        Mitigated("statevector", zne=(1, 1.5, 3)).compile(one_gate)
    turn = Circuit(1, (Operation("RX", (0,), 0.3),), (Expectation(pauli("Z")),))
    with pytest.warns(
        NoEffectWarning, match='`zne` has no effect on a circuit without gates to fold by folding="two-q'
    ):
        executable = Mitigated("statevector", zne=True).compile(turn)
    assert executable.circuits_per_row(None) == 1 and "noise_scales" not in executable.describe()
    assert Mitigated("statevector", zne=True, folding="global").compile(turn).circuits_per_row(None) == 3


# gradients --------------------------------------------------------------------------------------------------------


def gradient(layer: QuantumLayer) -> torch.Tensor:
    inputs = INPUTS[:1].clone().requires_grad_()
    return torch.cat([g.flatten() for g in torch.autograd.grad(layer(inputs).pow(2).sum(), (inputs, layer.weights))])


def test_gradients() -> None:
    """Shift rules give the derivative of the mitigated value where two-qubit gates are folded, nearly where all are."""
    make = lambda **options: QuantumLayer(3, 1, seed=1, dtype=F64, **options)
    truth = gradient(make())
    plain = make(backend="aer", noise="fake_manila")
    without = float((gradient(plain) - truth).abs().max())
    for folding, tolerance, within in (("two-qubit", 1e-7, 0.15), ("global", 1e-4, 0.15)):
        with plain.using(mitigation={"readout": True, "zne": [1, 3], "folding": folding}) as layer:
            by_shifts = gradient(layer)
            assert layer.explain().gradient == "parameter-shift"
            with layer.using(gradient="finite-difference"):
                torch.testing.assert_close(by_shifts, gradient(layer), atol=tolerance, rtol=0)
            assert float((by_shifts - truth).abs().max()) < within * without


def test_what_is_not_linear_takes_differences() -> None:
    exponential = {"zne": [1, 3], "extrapolation": "exponential"}
    layer = QuantumLayer(2, 1, seed=1, dtype=F64, backend="aer", noise="fake_manila", mitigation=exponential)
    assert layer.explain().gradient == "finite-difference" and "no linear function" in layer.explain().why
    with pytest.raises(CapabilityError, match=r"needs values that are linear.*Use gradient=\"finite-difference\""):
        QuantumLayer(2, 1, backend="aer", mitigation=exponential, gradient="parameter-shift")
    with pytest.raises(CapabilityError, match="needs values that are linear"):
        QuantumLayer(
            2, 1, backend="aer", mitigation={"readout": True, "clip": True}, gradient="parameter-shift", shots=9
        )
    with pytest.raises(CapabilityError, match="needs amplitudes"):
        QuantumLayer(2, 1, mitigation="zne", gradient="adjoint")


# bookkeeping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [None, 30])
@pytest.mark.parametrize("mitigation", ["readout", "zne", {"readout": True, "zne": [1, 3], "calibration_shots": 70}])
def test_explain_equals_the_meter(mitigation, shots) -> None:
    """Every step; and the calibration, which is told apart, with the first."""
    layer = QuantumLayer(2, 1, backend="aer", seed=0, shots=shots, mitigation=mitigation)
    plan, once = layer.explain(5), layer.plan.differentiator.executable.once(shots)
    calibrates = mitigation != "zne"
    n = 70 if isinstance(mitigation, dict) else 10_000
    assert once == (Amount(2, 2, 2 * n * bool(shots)) if calibrates else Amount())
    for extra in (once, Amount()):
        with _meter.measure() as usage:
            inputs = torch.rand(5, 2, requires_grad=True)
            layer(inputs).sum().backward()
        assert usage.circuits == plan.circuits_per_step + extra.circuits
        assert usage.shots == plan.shots_per_step + extra.shots
        assert usage.jobs == plan.jobs_per_step + extra.jobs
    scales = 1 if mitigation == "readout" else 3 if mitigation == "zne" else 2
    assert plan.circuits_per_step == scales * 5 * (1 + 2 * 4) and plan.jobs_per_step == scales
    text = str(plan)
    assert ("readout mitigation" in text) == calibrates and ("two qubit gates by scale" in text) == (scales > 1)


def test_budgets_are_asked_before_anything_is_executed() -> None:
    executable = Mitigated("statevector", readout=True, zne=(1, 3), calibration_shots=10).compile(SAMPLED)
    with _meter.measure() as usage, _meter.budget(max_jobs=3), pytest.raises(BudgetError, match="next needs 4"):
        executable.run(equal_rows(1), shots=10, keys=keys(1))
    assert usage == _meter.Usage()
    with _meter.budget(max_jobs=6) as left:
        for call in range(2):
            executable.run(equal_rows(1), shots=10, keys=keys(1, call=call))
        assert left.used["jobs"] == 6
        with pytest.raises(BudgetError, match="next needs 2"):
            executable.run(equal_rows(1), shots=10, keys=keys(1))


@pytest.mark.slow
def test_worker_processes_fold_and_calibrate_alike() -> None:
    options = {"noise": "fake_manila", "mitigation": {"readout": True, "zne": [1, 3]}}
    angles, sampling = equal_rows(4), {"shots": 50, "keys": keys(4)}
    spread = resolve("aer", workers=2, rows_per_task=1, **options)
    assert isinstance(spread, Mitigated) and isinstance(spread.inner, Workers)
    with _meter.measure() as usage:
        found = spread.compile(SAMPLED).run(angles, **sampling)
    expected = resolve("aer", **options).compile(SAMPLED).run(angles, **sampling)
    assert torch.equal(found.values, expected.values) and torch.equal(found.variance, expected.variance)
    assert usage.jobs == 2 + 2 * 2 and usage.circuits == 2 + 2 * 4 * 3


# training ---------------------------------------------------------------------------------------------------------


def test_training_finds_better_weights(aer_readout) -> None:
    """A teacher's outputs, learnt through detectors that shift and shrink what they see: the exact loss of what was
    found, on inputs that were not trained on, is more than three times smaller with mitigation."""
    inputs, others = 3 * torch.rand(2, 24, 2, dtype=F64, generator=torch.Generator().manual_seed(3))
    make = lambda **options: QuantumLayer(2, 1, dtype=F64, **options)
    teacher = make(seed=11)
    targets = teacher(inputs).detach()
    losses = {}
    for mitigation in (None, "readout"):
        student = make(seed=12, backend=aer_readout, shots=500)
        with torch.no_grad():
            student.weights.copy_(teacher.weights + 0.4)
        student.to_backend(aer_readout, shots=500, mitigation=mitigation)
        optimizer = torch.optim.Adam(student.parameters(), lr=0.1)
        for step in range(25):
            with _seeding.step_scope(step):
                loss = (student(inputs) - targets).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with student.using("statevector"), torch.no_grad():
            losses[mitigation] = float((student(others) - teacher(others)).pow(2).mean())
    assert losses["readout"] < losses[None] / 3, losses


def test_a_run_that_goes_on_is_answered_from_the_journal(tmp_path) -> None:
    """Jobs of scales and of the calibration are told apart, and a process that starts again submits none of them."""
    operands = {"angles": equal_rows(2), "shots": 30, "keys": keys(2, root=4)}
    options = {"readout": True, "zne": (1, 3), "calibration_shots": 20}
    found = [Mitigated("statevector", **options).compile(SAMPLED).run(**operands)]
    with serving() as cloud:
        url = f"http://127.0.0.1:{cloud.port}"
        place = {"token": TOKEN, "journal": str(tmp_path / "jobs.sqlite3"), "poll_interval_s": 0.005}
        for _ in range(2):
            executable = Mitigated(FakeCloud(url, **place), **options).compile(SAMPLED)
            with run_scope("again"), _meter.measure() as usage:
                found.append(executable.run(**operands))
            assert usage.jobs == executable.jobs_for(2, 30) + executable.once(30).jobs == 4
            assert usage.shots == 2 * 30 * executable.circuits_per_row(30) + executable.once(30).shots
            assert list(cloud.admin.tags().values()) == [1] * 4
    for other in found[1:]:
        assert torch.equal(other.values, found[0].values) and torch.equal(other.variance, found[0].variance)
