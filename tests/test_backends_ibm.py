"""IBM's primitives in local mode: values against plain Aer, one job per step, every option, and what is refused."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from contracts.backend_contract import SAMPLED, SIGMAS, BackendContract, equal_rows, keys, no_angles
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler
from random_circuits import random_angles, random_circuit
from test_backends_noise import excited, manila, plain_aer

from qnn import QuantumLayer, _meter
from qnn.backends import IBM, Aer, from_specification, read_out, resolve
from qnn.backends.ibm.options import mode_by_plan
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, PauliSum, Variance, pauli
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    CapabilityError,
    NoEffectWarning,
    RateLimitError,
    UnknownNameError,
)
from qnn.jobs import Policy

LINE = [[i, j] for i in range(5) for j in range(5) if abs(i - j) == 1]
WORDS = Circuit(
    3,
    (
        Operation("RY", (0,), Slot("rows", 0)),
        Operation("CNOT", (0, 2)),
        Operation("RX", (2,), Slot("rows", 1)),
        Operation("CNOT", (2, 1)),
        Operation("RY", (1,), 0.7),
    ),
    (
        Expectation(pauli("ZII")),
        Expectation(PauliSum(((0.5, ((1, "X"), (2, "Y"))), (-0.5, ((0, "Z"), (2, "Z"))), (0.1, ())))),
        Expectation(pauli("IZI")),
    ),
    0,
    2,
)


class TestWithoutNoise(BackendContract):
    """A device of five qubits in a line without noise: what is left is translation, layout, routing and bit order."""

    many = 20_000
    seeds = range(6)

    def make(self):
        line = GenericBackendV2(5, ["rz", "sx", "x", "cx"], coupling_map=LINE, noise_info=False, seed=1)
        return IBM(line)


class TestFakeManila(BackendContract):
    many = 4000
    seeds = range(2)

    def make(self):
        return IBM("fake_manila")

    def truth(self, circuit, angles):
        device, model = manila()
        return plain_aer(circuit, angles, model, level=2, target=device.target)


def row(*values):
    from qnn.backends.base import Angles

    return Angles(torch.zeros(0, dtype=torch.float64), torch.tensor([values], dtype=torch.float64))


def rows(n, *values):
    angles = row(*values)
    return type(angles)(angles.shared, angles.rows.repeat(n, 1))


@pytest.mark.parametrize("device", ["fake_athens", "fake_auckland", "fake_sherbrooke", "fake_torino"])
def test_devices_of_5_to_133_qubits_agree_with_aers_exact_values(device):
    """Layouts far from trivial; the noise is that of the fake device on both sides."""
    n, shots = 40, 1000
    angles = rows(n, 2.6, -1.0)
    exact = Aer(noise=device, seed_transpiler=3, optimization_level=2).compile(WORDS).run(row(2.6, -1.0)).values[0]
    for options in ({}, {"primitive": "estimator"}):
        executable = IBM(device, seed_transpiler=3, **options).compile(WORDS)
        estimate = executable.run(angles, shots=shots, keys=keys(n))
        sigma = torch.sqrt(estimate.variance.mean(dim=0) / n)
        assert bool(((estimate.values.mean(dim=0) - exact).abs() < SIGMAS * sigma).all())
        assert executable.describe()["device"] == device
    ideal = Aer().compile(WORDS).run(row(2.6, -1.0)).values[0]
    assert float((exact - ideal).abs().max()) > 3 * float(sigma.max())


def test_the_estimators_error_is_that_of_the_shots():
    """Variance of 300 equal rows against the reported one, 5 sigma."""
    n, shots = 300, 200
    estimate = IBM("fake_manila", primitive="estimator").compile(WORDS).run(
        rows(n, 2.6, -1.0), shots=shots, keys=keys(n)
    )  # fmt: skip
    observed, reported = estimate.values.var(dim=0), estimate.variance.mean(dim=0)
    assert bool(((observed / reported - 1).abs() < SIGMAS * np.sqrt(2 / (n - 1))).all())


def test_settings_draw_independently():
    """Local mode seeds every PUB alike; two bases of one row must not share their noise."""
    n = 400
    circuit = Circuit(
        1, (Operation("RY", (0,), Slot("rows", 0)),), (Expectation(pauli("Z")), Expectation(pauli("X"))), 0, 1
    )
    values = IBM("fake_manila").compile(circuit).run(rows(n, np.pi / 4), shots=100, keys=keys(n)).values.numpy()
    assert abs(np.corrcoef(values.T)[0, 1]) < SIGMAS / np.sqrt(n)


def test_one_basis_repeats_with_the_same_keys():
    circuit = random_circuit(4, 3, measurements=(Expectation(pauli("ZIZ")),))
    executable, angles = IBM("fake_manila").compile(circuit), random_angles(circuit, 5)
    first, again, other = (executable.run(angles, shots=50, keys=keys(5, root=r)).values for r in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("batch", [1, 7])
def test_a_training_step_is_one_job(mocker, batch):
    submitted = mocker.spy(Sampler, "run")
    layer = QuantumLayer(3, 1, backend="ibm:fake_manila", shots=20, seed=0)
    with _meter.measure() as usage:
        layer(torch.rand(batch, 3, requires_grad=True)).sum().backward()
    assert submitted.call_count == usage.jobs == 1
    circuits = batch * (1 + 2 * 6)
    assert usage == _meter.Usage(circuits=circuits, shots=20 * circuits, jobs=1)
    assert layer.explain(batch).jobs_per_step == 1
    layer.to_backend("ibm:fake_manila", shots=20, max_executions=20 * 13 * 2)
    assert layer.explain(batch).jobs_per_step == -(-batch // 2)


def test_gradients_are_aers_within_their_noise():
    """Parameter shift on the same device: 5 sigma of 25 repetitions."""
    torch.manual_seed(0)
    layer = QuantumLayer(3, 1, seed=1, dtype=torch.float64)
    inputs = torch.tensor([[0.4, -0.8, 1.1]], dtype=torch.float64)

    def gradient():
        layer.zero_grad()
        layer(inputs).sum().backward()
        return layer.weights.grad.clone()

    layer.to_backend("aer", noise="fake_manila", optimization_level=2)
    exact = gradient()
    layer.to_backend("ibm:fake_manila", shots=2000)
    found = torch.stack([gradient() for _ in range(25)])
    assert bool(((found.mean(dim=0) - exact).abs() < SIGMAS * found.std(dim=0) / np.sqrt(25)).all())


# options ------------------------------------------------------------------------------------------------------

SHOTS = 40_000
ANGLES = row(2.6, -1.0)


def values(**options):
    estimate = IBM("fake_manila", **options).compile(WORDS).run(ANGLES, shots=SHOTS, keys=keys(1))
    return estimate.values[0].numpy()


@pytest.fixture(scope="module")
def ideal():
    return Aer().compile(WORDS).run(ANGLES).values[0].numpy()


def test_readout_mitigation_and_extrapolation_come_closer_to_the_ideal_values(ideal):
    """Distances from the noiseless values, whose shot noise is about 0.01: none, readout, readout and folding."""
    plain, readout, folded = (
        np.abs(values(resilience_level=level) - ideal).sum() for level in (0, 1, 2)
    )  # fmt: skip
    assert plain > readout + 0.1 and plain > folded + 0.1


def test_resilience_options_reach_the_estimator(ideal):
    def distance(**options):
        return np.abs(values(optimization_level=0, primitive="estimator", **options) - ideal).sum()

    plain = distance()
    assert distance(resilience={"measure_mitigation": True}) < plain - 0.1
    folding = {"zne_mitigation": True, "zne": {"noise_factors": [1, 3], "extrapolator": "linear"}}
    assert distance(resilience=folding) < plain - 0.015


def z_of(circuit, **options):
    backend = IBM("fake_manila", optimization_level=0, **options)
    return backend.compile(circuit).run(no_angles(1), shots=SHOTS, keys=keys(1)).values[0, 0].item()


def test_decoupling_schedules_the_circuit_with_the_devices_relaxation():
    """A superposition that waits for twenty CNOTs of its neighbours: 5 sigma of two estimates, 1/sqrt(shots) each."""
    waiting = (Operation("CNOT", (1, 2)),) * 20 + (Operation("CNOT", (1, 0)),) * 2
    frame = (Operation("Hadamard", (0,)),)
    idle = Circuit(3, (*frame, *waiting, *frame), (Expectation(pauli("ZII")),))
    sigma = SIGMAS * np.sqrt(2 / SHOTS)
    for decoupling in ("XY4", {"enable": True, "sequence_type": "XX"}):
        assert z_of(idle) - z_of(idle, dynamical_decoupling=decoupling) > sigma


def test_twirled_gates_relax_from_both_states():
    """Relaxation keeps |00> through twenty CNOTs; twirled, half of them act on excited qubits; 5 sigma."""
    pairs = Circuit(2, (Operation("CNOT", (0, 1)),) * 20, (Expectation(pauli("ZI")),))
    sigma = SIGMAS * np.sqrt(2 / SHOTS)
    for twirling in (True, {"enable_gates": True}):
        assert z_of(pairs) - z_of(pairs, twirling=twirling) > sigma


def test_twirled_shots_are_counted_as_they_are_executed():
    """50 shots become a randomization of 64: frequencies of 64, so that no value leaves [-1, 1]."""
    flip = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))
    estimate = IBM("fake_manila", twirling=True).compile(flip).run(no_angles(1), shots=50, keys=keys(1))
    assert estimate.shots == 64 == int(estimate.counts[0].sum())
    assert -1 <= float(estimate.values) < -0.8


def test_transpiler_options_change_the_circuit():
    def facts(**options):
        return IBM("fake_auckland", **options).compile(WORDS).describe()

    assert facts(optimization_level=0)["depth"] > facts()["depth"]
    assert set(facts(optimization_level=0)["layout"].values()) == {0, 1, 2} != set(facts()["layout"].values())
    circuit = random_circuit(3, 5, 30, gates=("RX", "CNOT"), measurements=(Expectation(pauli("ZZZZZ")),))
    assert len({IBM("fake_sherbrooke", seed_transpiler=s).compile(circuit).describe()["depth"] for s in range(4)}) > 1


@pytest.mark.parametrize(("mode", "cls"), [("session", Session), ("batch", Batch)])
def test_sessions_and_batches_are_opened_once_and_closed(mocker, mode, cls):
    opened, closed = mocker.spy(cls, "__init__"), mocker.spy(cls, "close")
    with IBM("fake_manila", mode=mode) as backend:
        executable = backend.compile(WORDS)
        for _ in range(2):
            executable.run(ANGLES, shots=10, keys=keys(1))
        assert opened.call_count == 1 and closed.call_count == 0
    assert closed.call_count == 1
    assert mode in executable.describe()["execution_mode"]


def test_the_mode_follows_the_plan():
    """As `QiskitRuntimeService.instances` lists them."""
    instances = [{"crn": "crn:a", "plan": "open", "name": "mine"}, {"crn": "crn:b", "plan": "premium", "name": "lab"}]
    assert [mode_by_plan(None, instances, crn) for crn in ("crn:a", "crn:b", "crn:c")] == ["job", "batch", "job"]
    assert mode_by_plan("session", instances, "crn:b") == "session"
    assert mode_by_plan("job", instances, "crn:b") == "job"
    with pytest.raises(CapabilityError, match='`mode` must be "job" or "batch" on the open plan'):
        mode_by_plan("session", instances, "crn:a")
    assert IBM("fake_manila").compile(WORDS).describe()["execution_mode"] == "job, on this machine"


def test_a_large_request_is_several_jobs_with_all_rows_in_order():
    angles = type(ANGLES)(ANGLES.shared, torch.linspace(0, 3, 10, dtype=torch.float64)[:, None].repeat(1, 2))
    backend = IBM("fake_manila", max_executions=2 * 4 * 500)
    executable = backend.compile(WORDS)
    assert len(executable.plan.settings) == 2
    with _meter.measure() as usage:
        estimate = executable.run(angles, shots=500, keys=keys(10))
    assert usage == _meter.Usage(circuits=20, shots=10_000, jobs=3)
    exact = Aer(noise="fake_manila", optimization_level=2).compile(WORDS).run(angles).values
    assert bool(((estimate.values - exact).abs() < SIGMAS * torch.sqrt(estimate.variance) + 10 / 500).all())
    with pytest.raises(ArgumentError, match=r"`shots` must be at most 2,000 for this circuit .* got 2,001"):
        executable.run(angles, shots=2001, keys=keys(10))


def test_tags_and_limits_go_to_the_service():
    """What only a machine heeds is at least given to IBM's options under their names."""
    backend = IBM("fake_manila", tags=["thesis"])
    assert backend._options["environment"]["job_tags"] == ["qnn", "thesis"]
    machine = IBM("ibm_torino", execution={"rep_delay": 1e-4}, max_execution_time_s=60, timeout_s=5.0)
    assert machine._options["execution"] == {"rep_delay": 1e-4}
    assert machine._options["max_execution_time"] == 60 and "simulator" not in machine._options


def test_specification_repeats_the_options():
    backend = IBM("fake_manila", twirling={"enable_gates": True}, optimization_level=1)
    specification = backend.specification()
    assert specification == {
        "name": "ibm:fake_manila", "twirling": {"enable_gates": True}, "optimization_level": 1
    }  # fmt: skip
    assert from_specification(specification).specification() == specification
    assert IBM(GenericBackendV2(2)).specification() is None
    waiting = {"name": "ibm:ibm_torino", "timeout_s": 5.0, "retry_s": 0.0, "journal": "/nowhere/here.sqlite3"}
    machine = from_specification(waiting)
    assert machine.specification() == waiting and machine.policy == Policy("/nowhere/here.sqlite3", 5.0, 0.0)
    assert IBM("ibm_torino").policy == Policy() and IBM("fake_manila").service() is None


def test_reusing_exact_results_has_no_effect():
    with pytest.warns(NoEffectWarning, match="`reuse_exact` has no effect with IBM Quantum"):
        IBM("ibm_torino", reuse_exact=True)


# what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sessions"}, r'No mode named "sessions"\. Did you mean "session"\?'),
        ({"primitive": "sample"}, r'No primitive named "sample"\. Did you mean "sampler"\?'),
        ({"primitive": "sampler", "resilience_level": 1}, '`primitive` must be "estimator" for `resilience_level`'),
        ({"resilience_level": 7}, r"`resilience_level` must be an option .* got 7"),
        ({"resilience": {"zne": True}}, r"`resilience.zne` must be an option"),
        ({"twirling": {"gates": True}}, r"`twirling.gates` must be an option"),
        ({"dynamical_decoupling": "XXX"}, r"`dynamical_decoupling.sequence_type` must be an option .* got 'XXX'"),
        ({"optimization_level": 4}, "`optimization_level` must be 0, 1, 2 or 3; got 4"),
        ({"max_executions": 0}, "`max_executions` must be from 1 to 10,000,000; got 0"),
        ({"timeout_s": -1}, "`timeout_s` must be a positive number of seconds; got -1"),
        ({"timeout_s": 3}, r"`timeout_s` must be left out for ibm:fake_manila, which runs on this machine; got 3"),
        ({"retry_s": 3}, "`retry_s` must be left out for ibm:fake_manila"),
        ({"retry_s": -3}, "`retry_s` must be a number from 0 up of seconds; got -3"),
        ({"journal": "jobs.sqlite3"}, "`journal` must be left out for ibm:fake_manila"),
        ({"execution": {"rep_delay": 1.0}}, "`execution` must be left out for ibm:fake_manila"),
        ({"timeout_s": "5"}, "`timeout_s` must be a positive number of seconds; got '5'"),
        ({"seed_transpiler": -1}, r"`seed_transpiler` must be from 0 to 2\^32 - 1; got -1"),
        ({"max_executions": True}, "`max_executions` must be from 1 to 10,000,000; got True"),
        ({"tags": "thesis"}, "`tags` must be a list of strings; got 'thesis'"),
        ({"instance": "crn:x"}, "`instance` must be left out for ibm:fake_manila"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        IBM("fake_manila", **options)


def test_unknown_devices_and_options_by_name():
    with pytest.raises(UnknownNameError, match=r'No fake device named "fake_manilla"\. Did you mean "fake_manila"\?'):
        resolve("ibm:fake_manilla")
    with pytest.raises(UnknownNameError, match=r'No fake device named "FAKE_MANILA"\. Did you mean "fake_manila"\?'):
        resolve("ibm:FAKE_MANILA")
    with pytest.raises(ArgumentError, match=r'`backend` must name a device after the colon; got "ibm"'):
        resolve("ibm")
    with pytest.raises(ArgumentError, match=r'Backend "ibm:fake_manila" has no option `noise`\. It has: mode, '):
        resolve("ibm:fake_manila", noise="fake_manila")


def test_machines_need_an_account(monkeypatch, tmp_path):
    """Without one the way to get it is named, before anything is sent."""
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", tmp_path / "none")
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationError, match=r"Save an account once with QiskitRuntimeService.save_account"):
        QuantumLayer(2, 1, backend="ibm:ibm_torino", shots=10)


def test_what_a_device_cannot_do():
    backend = IBM("fake_manila")
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 5 to run on ibm:fake_manila; got 6"):
        backend.compile(Circuit(6, (), (Expectation(pauli("Z")),)))
    with pytest.raises(CapabilityError, match=r"`shots` must be given for <qnn backend ibm:fake_manila>"):
        backend.compile(SAMPLED).run(equal_rows(1))
    with pytest.raises(ArgumentError, match='`shots` must be given for backend "ibm:fake_manila", which only samples'):
        QuantumLayer(2, 1, backend="ibm:fake_manila")
    with pytest.raises(
        CapabilityError, match=r'`primitive="estimator"` must have expectation values .* got probs\(1, 0\)'
    ):
        IBM("fake_manila", primitive="estimator").compile(SAMPLED)


def test_devices_of_older_gates_run_and_refuse_mitigation_by_name():
    """fake_essex has u1, u2, u3: circuits without a parameter run; IBM's mitigation is written in rz, sx and x."""
    assert IBM("fake_essex").compile(excited()).run(no_angles(2), shots=100, keys=keys(2)).values.max() < -0.5
    for options, name in (
        ({"primitive": "estimator"}, 'primitive="estimator"'),
        ({"twirling": True}, "twirling"),
        ({"dynamical_decoupling": "XX"}, "dynamical_decoupling"),
    ):
        with pytest.raises(CapabilityError, match=f"`{name}` must be left out on ibm:fake_essex, which has no gate rz"):
            IBM("fake_essex", **options).compile(WORDS)


def test_more_shots_than_the_device_takes():
    with pytest.raises(ArgumentError, match="`shots` must be at most 100,000 on ibm:fake_manila; got 100,001"):
        IBM("fake_manila").compile(WORDS).run(ANGLES, shots=100_001, keys=keys(1))


def test_a_refused_job_names_those_submitted_before_it(mocker):
    """Three jobs; the third is refused by the service: the first two are counted, and named in the error."""
    run = Sampler.run
    refused = IBMRuntimeError("Failed to run program: code 3458")
    made = []

    def third_fails(self, *arguments, **options):
        if len(made) == 2:
            raise refused
        made.append(run(self, *arguments, **options))
        return made[-1]

    mocker.patch.object(Sampler, "run", third_fails)
    executable = IBM("fake_manila", max_executions=2000).compile(WORDS)
    with _meter.measure() as usage, pytest.raises(RateLimitError, match="Submitted before and not cancelled") as caught:
        executable.run(rows(6, 2.6, -1.0), shots=500, keys=keys(6))
    assert caught.value.job_ids == tuple(job.job_id() for job in made)
    assert usage == _meter.Usage(circuits=8, shots=4000, jobs=2)


def test_extrapolation_counts_the_circuits_that_it_adds():
    with _meter.measure() as usage:
        IBM("fake_manila", resilience_level=2).compile(WORDS).run(ANGLES, shots=100, keys=keys(1))
    assert usage.circuits == 3 * 2
    folding = IBM("fake_manila", resilience={"zne_mitigation": True, "zne": {"noise_factors": [1, 3, 5, 7]}})
    assert folding.compile(WORDS).circuits_per_row(100) == 4 * 2


def test_threads_share_one_session(mocker):
    opened = mocker.spy(Session, "__init__")
    with IBM("fake_manila", mode="session") as backend, ThreadPoolExecutor(4) as pool:
        executable = backend.compile(WORDS)
        list(pool.map(lambda _: executable.run(ANGLES, shots=10, keys=keys(1)), range(4)))
    assert opened.call_count == 1


def test_a_copy_of_a_machines_backend_holds_no_device_object():
    """An object of a real machine has the account within; a stand-in of that class name is enough to see it go."""
    kind = type("IBMBackend", (GenericBackendV2,), {"_instance": "crn:mine"})
    backend = IBM(kind(2))
    assert not backend.is_local and backend.device is backend._device_object
    state = backend.__getstate__()
    assert state["_device_object"] is None and "device" not in state and state["instance"] == "crn:mine"


def test_the_estimators_errors_stay_beside_a_variance():
    """Without counts the spread of a variance is bounded from those of <O> and <O²>; others keep theirs."""
    circuit = WORDS.with_measurements((*WORDS.measurements, Variance(pauli("ZII"))))
    executable = IBM("fake_manila", primitive="estimator").compile(circuit.linear())
    n, shots = 100, 200
    linear = executable.run(rows(n, 2.6, -1.0), shots=shots, keys=keys(n))
    found = read_out.estimate(linear, executable.plan, circuit.variance_columns)
    assert torch.equal(found.variance[:, :3], linear.variance[:, :3])
    observed, bound = found.values[:, 3].var(), found.variance[:, 3].mean()
    assert observed < bound * (1 + SIGMAS * np.sqrt(2 / (n - 1)))
    assert bound < 4 * observed


def test_too_wide_a_table_of_counts_is_refused():
    wide = Circuit(27, (), tuple(Expectation(pauli(((w, "Z"),))) for w in range(27)))
    with pytest.raises(ArgumentError, match=re.escape('Use fewer rows, or primitive="estimator"')):
        IBM("fake_auckland").compile(wide).run(no_angles(4), shots=1, keys=keys(4))


def test_variances_of_an_observable():
    """The read-out of variances carries over: Var(Z) = 1 - <Z>^2 on the same device, 5 sigma."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = QuantumLayer(1, 1, seed=0, observables=[Variance(pauli("Z")), Expectation(pauli("Z"))])
    layer.to_backend("ibm:fake_manila", shots=4000)
    variance, mean = layer(torch.tensor([0.8])).tolist()
    assert abs(variance - (1 - mean**2)) < 1e-3
