"""A calibration belongs to the run: made once in it, found again by whoever goes on with it, and counted once."""

import numpy as np
import pytest
import torch
from contracts.backend_contract import SAMPLED, equal_rows, keys
from fakecloud_here import TOKEN, serving
from qiskit_aer.noise import NoiseModel, ReadoutError

import qnn
from qnn import QuantumLayer, _meter, _run, _seeding
from qnn.backends import Aer, FakeCloud, Mitigated
from qnn.backends.fakecloud.service import FakeCloudService
from qnn.errors import ArgumentError, AuthenticationError, BackendError, BudgetError
from qnn.jobs import Journal, run_scope
from qnn.models.tables import forecast_table
from qnn.training import Callback, fit

X = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 2
TRAINING = {"epochs": 2, "batch_size": 2, "learning_rate": 0.1, "restore_best": False}


class Stop(Callback):
    """Keeps the weights after each step, and breaks off after one."""

    def __init__(self, step=None):
        self.step, self.weights = step, {}

    def on_step_end(self, state):
        self.weights[state.step] = torch.cat([w.detach().flatten() for w in state.weights])
        if state.step == self.step:
            raise OSError("pulled out")


def new_process():
    """The process's own run is another one."""
    _run._start_anew()


def noisy_detectors(monkeypatch):
    """The fake cloud has none: a bit is reported wrong now and then, differently each time."""
    within, generator = FakeCloudService.result, np.random.default_rng(0)
    one = np.array([[0.9, 0.1], [0.2, 0.8]])

    def result(*arguments):
        found = []
        for counts in within(*arguments):
            wires = counts.shape[1].bit_length() - 1
            confusion = np.array([[1.0]])
            for _ in range(wires):
                confusion = np.kron(confusion, one)
            rows = [sum(map(generator.multinomial, row, confusion)) for row in counts]
            found.append(np.stack(rows).astype(np.int64))
        return found

    monkeypatch.setattr(FakeCloudService, "result", result)


@pytest.mark.parametrize("own_randomness", [False, True])
@pytest.mark.parametrize("last", [1, 4])  # before and after a checkpoint that knows of the calibration
def test_a_training_that_goes_on_has_its_calibration(tmp_path, monkeypatch, own_randomness, last):
    """The same weights step by step, no job twice, and the usage of a training that was never interrupted."""
    if own_randomness:
        noisy_detectors(monkeypatch)
    with serving(own_randomness=own_randomness) as cloud:

        def train(name, *callbacks):
            new_process()
            place = FakeCloud(
                f"http://127.0.0.1:{cloud.port}", TOKEN, keyed=not own_randomness, poll_interval_s=0.005,
                journal=str(tmp_path / name),
            )  # fmt: skip
            layer = QuantumLayer(2, 1, seed=0, backend=Mitigated(place, readout=True, calibration_shots=60), shots=50)
            layer(X)  # before the training, in no run
            usage = fit(
                layer, (X, Y), checkpoint=tmp_path / f"{name}.fit", callbacks=callbacks, progress=False, **TRAINING
            ).usage
            return layer, usage

        whole = Stop()
        layer, usage = train("whole", whole)
        forecast = qnn.forecast(layer, 6, **TRAINING)
        assert _meter.Usage(forecast.circuits, forecast.shots, forecast.jobs) == usage
        killed, resumed = Stop(last), Stop()
        with pytest.raises(OSError, match="pulled out"):
            train("killed", killed)
        _, again = train("killed", resumed)
        assert again == usage and max(resumed.weights) == max(whole.weights) == 5
        assert torch.equal(resumed.weights[last], killed.weights[last])
        if not own_randomness:
            assert torch.equal(resumed.weights[5], whole.weights[5])
        before = 3  # a call, and a calibration for it in the process's own run
        assert len(Journal(tmp_path / "whole").jobs()) == usage.jobs + before
        assert len(Journal(tmp_path / "killed").jobs()) == usage.jobs + 2 * before
        assert set(cloud.admin.tags().values()) == {1}


def test_each_run_calibrates_once():
    """Whatever was called before it, and however often a run of that name is opened within it."""
    layer = QuantumLayer(2, 1, seed=0, backend="aer", noise="fake_manila", shots=50, mitigation="readout")
    layer(X)
    forecast = qnn.forecast(layer, 6, **TRAINING)
    for _ in range(2):
        usage = fit(layer, (X, Y), progress=False, **TRAINING).usage
        assert usage == _meter.Usage(forecast.circuits, forecast.shots, forecast.jobs)
    with run_scope("mine"):
        for calibrations in (1, 0):
            forecast = qnn.forecast(layer, 6, **TRAINING)
            usage = fit(layer, (X, Y), progress=False, **TRAINING).usage
            assert usage == _meter.Usage(forecast.circuits, forecast.shots, forecast.jobs)
            assert forecast.beforehand.jobs == 2 * calibrations


@pytest.mark.parametrize(
    ("mine", "other", "calibrations"),
    [
        ({}, {}, 1),
        ({}, {"mitigation": {"readout": True, "zne": (1, 3)}}, 1),
        ({}, {"timeout_s": 100.0}, 1),
        ({}, {"n_layers": 2}, 1),  # the same wires without a layout
        ({}, {"seed": 1}, 2),
        ({}, {"mitigation": {"readout": True, "calibration_shots": 70}}, 2),
    ],
    ids=["twins", "another mitigation", "another patience", "another circuit", "another seed", "other shots"],
)
def test_layers_share_what_the_journal_takes_for_one_calibration(tmp_path, mine, other, calibrations):
    """Forecast, usage and journal agree, however many objects there are."""
    with serving() as cloud:

        def layer(n_layers=1, seed=0, mitigation="readout", **patience):
            place = FakeCloud(
                f"http://127.0.0.1:{cloud.port}", TOKEN, poll_interval_s=0.005, journal=str(tmp_path / "j"), **patience
            )
            return QuantumLayer(2, n_layers, seed=seed, backend=place, shots=50, mitigation=mitigation)

        model = torch.nn.Sequential(layer(**mine), layer(**other))
        options = {"epochs": 1, "batch_size": None, "restore_best": False}
        forecast = qnn.forecast(model, (X, Y), **options)
        usage = fit(model, (X, Y), progress=False, **options).usage
        assert usage == _meter.Usage(forecast.circuits, forecast.shots, forecast.jobs)
        assert forecast.beforehand.jobs == 2 * calibrations
        jobs = Journal(tmp_path / "j").jobs()
        assert usage == _meter.Usage(sum(j.n_circuits for j in jobs), sum(j.shots for j in jobs), len(jobs))


@pytest.mark.parametrize("named", [True, False])
def test_noise_that_nothing_names_is_calibrated_by_each(named):
    """Two noise models are alike by their backend's name only."""
    models = [NoiseModel(), NoiseModel()]
    for error, model in zip((0.1, 0.2), models, strict=True):
        model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [error, 1 - error]]))
    with run_scope(), _meter.measure() as usage:
        for noise in ["fake_manila"] * 2 if named else models:
            Mitigated(Aer(noise=noise), readout=True).compile(SAMPLED).run(equal_rows(1))
    assert usage.jobs == 2 + 2 * (1 if named else 2)


def test_fewer_shots_than_those_of_the_calibration_need_no_other_one():
    executable = Mitigated("statevector", readout=True).compile(SAMPLED)
    with run_scope():
        for shots, calibrates in ((50, True), (60, False), (10_001, True)):
            assert (executable.pending(shots, root=1) is not None) == calibrates
            with _meter.measure() as usage:
                executable.run(equal_rows(1), shots=shots, keys=keys(1, root=1))
            assert usage.jobs == 1 + 2 * calibrates


def test_exact_calibrations_are_of_no_step(tmp_path):
    """A run that goes on in a later step is answered from the journal."""
    with serving() as cloud, run_scope():
        for step in (0, 3):
            place = FakeCloud(
                f"http://127.0.0.1:{cloud.port}", TOKEN, journal=str(tmp_path / "j"), poll_interval_s=0.005
            )
            with _seeding.step_scope(step):
                Mitigated(place, readout=True).compile(SAMPLED).run(equal_rows(1))
        assert len(cloud.admin.tags()) == 2 + 2


def test_other_processes_of_a_run_calibrate_and_the_first_one_counts():
    executable = Mitigated("statevector", readout=True).compile(SAMPLED)
    counts = []
    for leads in (True, False):
        with run_scope(_run.Run("together", leads)), _meter.measure() as usage:
            executable.run(equal_rows(1), shots=10, keys=keys(1))
        counts.append(usage.jobs)
    assert counts == [3, 1]


def test_a_calibration_that_fails_is_counted_when_it_succeeds(monkeypatch):
    model = NoiseModel()
    model.add_readout_error(ReadoutError([[0.5, 0.5], [0.5, 0.5]]), [0])
    executable = Mitigated(Aer(noise=model), readout=True).compile(SAMPLED)
    with run_scope() as run, qnn.budget(max_jobs=9) as left, _meter.measure() as usage:
        for _ in range(2):
            with pytest.raises(BackendError, match="tell 0 from 1"):
                executable.run(equal_rows(1))
        assert usage.jobs == 4 == left.used["jobs"] and not run.once.counted


@pytest.mark.parametrize("zne", [None, (1, 3)])
def test_budgets_and_forecasts_hold_the_seconds_of_a_calibration(tmp_path, zne):
    """By the price of the fake cloud; a budget that has room for the calibration alone refuses it, too."""
    with serving() as cloud:
        place = FakeCloud(f"http://127.0.0.1:{cloud.port}", TOKEN, journal=str(tmp_path / "j"), poll_interval_s=0.005)
        layer = QuantumLayer(2, 1, seed=0, backend=Mitigated(place, readout=True, zne=zne), shots=50)
        executable = layer.plan.differentiator.executable
        once, call = executable.once(50).seconds, executable.seconds_for(6, 50)
        assert once == pytest.approx(2 * (0.01 + 10_000 * 0.0001))
        with qnn.budget(max_seconds=once + 0.9 * call) as left, pytest.raises(BudgetError, match="Nothing of it was"):
            layer.estimate(X)
        assert not cloud.admin.tags() and not any(left.used.values())
        with qnn.budget(max_seconds=once + 2.001 * call) as left:
            for number in (1, 2):
                layer.estimate(X)
                assert left.used["seconds"] == pytest.approx(once + number * call)
                assert left.used["jobs"] == 2 + number * (2 if zne else 1)
            with pytest.raises(BudgetError, match="Nothing of it was submitted"):
                layer.estimate(X)
        forecast = qnn.forecast(layer, 6, **TRAINING)
        assert forecast.qpu_seconds == pytest.approx(once + 2 * forecast.per_epoch.qpu_seconds)
        assert forecast.beforehand.qpu_seconds == once


def test_budgets_get_back_a_calibration_that_was_not_submitted(tmp_path):
    with serving() as cloud:
        place = FakeCloud(f"http://127.0.0.1:{cloud.port}", "another", journal=str(tmp_path / "j"))
        executable = Mitigated(place, readout=True).compile(SAMPLED)
        with qnn.budget(max_seconds=9) as left, pytest.raises(AuthenticationError):
            executable.run(equal_rows(1), shots=10, keys=keys(1))
        assert not left.used["jobs"] and left.used["seconds"] == pytest.approx(0)


def test_budgets_get_back_what_a_failed_call_has_left():
    """All scales are reserved before the first one runs, which here fails with its own share taken."""
    executable = Mitigated("statevector", zne=(1, 3)).compile(SAMPLED)
    with qnn.budget(max_jobs=9) as left, pytest.raises(ArgumentError):
        executable.run(equal_rows(1), shots=10)
    assert left.used["jobs"] == 1


@pytest.mark.parametrize("name", [None, "mine"])
def test_scores_on_a_table_take_the_calibration_of_the_training(tmp_path, name):
    """Also where the training was broken off, and another process goes on with it."""
    x = np.linspace(-1, 1, 12)
    table = {"x": x, "side": np.where(x < 0, "left", "right")}
    options = {"n_qubits": 1, "epochs": 2, "backend": "aer", "noise": "fake_manila", "shots": 20}
    options |= {"mitigation": "readout", "checkpoint": tmp_path}
    expected = forecast_table(table, "side", **options)

    def train(*callbacks):
        new_process()
        with run_scope(name), _meter.measure() as usage:
            qnn.train_table(table, "side", callbacks=callbacks, progress=False, **options)
        return usage

    with pytest.raises(OSError, match="pulled out"):
        train(Stop(1))
    assert train().jobs == expected.jobs - expected.beforehand.jobs - expected.per_epoch.jobs
