"""Mitigation as an option of any backend: the contract, names and specifications, refusals, every kind of place."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contracts.backend_contract import SAMPLED, BackendContract, equal_rows, keys, no_angles

import qnn
from qnn import QuantumLayer, _meter, backends
from qnn.backends import Aer, Mitigated, Statevector, Workers, from_specification, resolve
from qnn.backends.base import Backend, Capabilities
from qnn.backends.mitigation.options import read
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, CapabilityError, NoEffectWarning, UnknownNameError

F64 = torch.float64
INPUTS = torch.rand(2, 3, dtype=F64, generator=torch.Generator().manual_seed(5))


class TestMitigatedStatevector(BackendContract):
    """Without noise all values stay, and only variance grows."""

    seeds = range(4)
    test_counts_and_ranges = None  # there are no counts, and values leave the range
    test_rows_draw_independently = None  # of what is drawn by the backend within

    def make(self) -> Backend:
        return Mitigated("statevector", readout=True, zne=(1, 3), folding="global")

    def test_mean_and_variance_of_shots(self, backend: Backend) -> None:
        """(9 + 1)/4 times the variance of one scale, with detectors that are found to be perfect; 5 sigma."""
        n, shots = 400, 128
        exact = self.truth(SAMPLED, equal_rows(1))[0, :3]
        found = backend.compile(SAMPLED).run(equal_rows(n), shots=shots, keys=keys(n))
        values, variance = found.values[:, :3].numpy(), 2.5 * (1 - exact**2) / shots
        assert np.all(np.abs(values.mean(axis=0) - exact) < 5 * np.sqrt(variance / n))
        assert np.all(np.abs(values.var(axis=0, ddof=1) / variance - 1) < 5 * np.sqrt(2 / (n - 1)))
        np.testing.assert_allclose(found.variance[:, :3].numpy().mean(axis=0), variance, rtol=0.1)
        assert found.shots == shots and found.counts is None and not backend.capabilities.counts

    def test_shots_without_slots_differ_between_rows(self, backend: Backend) -> None:
        layer = QuantumLayer(1, 1, backend=backend, shots=100, seed=0)
        assert len(set(layer(torch.zeros(8, 1))[:, 0].tolist())) > 1

    def test_the_meter_counts_circuits_shots_and_jobs(self, backend: Backend) -> None:
        executable = backend.compile(SAMPLED)
        for shots in (None, 10):
            for number in range(3):
                if number == 1:
                    expected = _meter.Usage(12 * executable.circuits_per_row(shots) // 2, 0, 2)
                    expected.shots = expected.circuits * (shots or 0)
                with _meter.measure() as usage:
                    executable.run(equal_rows(6), shots=shots, keys=keys(6, root=100))
                if number:
                    assert usage == expected and executable.jobs_for(6, shots) == 2


class TestMitigatedFakeDevice(BackendContract):
    """Sampled by IBM's own code, whose values come close to the truth with mitigation and do not without."""

    many = 8000
    seeds = range(2)
    # Other tests are of what is within, and have its cost.
    test_every_gate_of_the_table = test_random_asymmetric_circuits = test_a_batch_is_a_loop = None
    test_circuits_with_one_kind_of_slot_or_none = test_mean_and_variance_of_shots = test_wire_order = None
    test_rows_draw_independently = test_counts_and_ranges = test_keys_decide_the_draw = None
    test_shots_without_slots_differ_between_rows = test_the_meter_counts_circuits_shots_and_jobs = None
    test_constant_observables_and_no_operations = None

    def make(self) -> Backend:
        return resolve("ibm:fake_manila", mitigation="readout+zne")


# names --------------------------------------------------------------------------------------------------------------


def test_names_objects_and_specifications() -> None:
    by_name = resolve("aer", noise="fake_manila", mitigation="readout+zne")
    assert by_name.name == "aer" and by_name.inner is resolve("aer", noise="fake_manila")
    assert by_name.specification() == {"name": "aer", "noise": "fake_manila", "mitigation": "readout+zne"}
    assert repr(by_name) == (
        "<qnn backend aer with noise of fake_manila with readout mitigation and zero-noise extrapolation>"
    )
    assert from_specification(by_name.specification()) is by_name  # and so its circuits and calibrations
    assert backends.Mitigated is Mitigated
    live = Mitigated(Aer(noise=Aer(noise="fake_manila")._source.on([0], [])), zne=True)
    assert live.specification() is None and pickle.loads(pickle.dumps(live)).mitigation == live.mitigation
    spread = resolve("statevector", workers=2, mitigation="zne")
    assert isinstance(spread.inner, Workers)
    assert spread.specification() == {"name": "statevector", "workers": 2, "mitigation": "zne"}
    with pytest.raises(CapabilityError, match=r"takes `workers` beside `mitigation`, by name. Leave `workers` out"):
        resolve(by_name, workers=2)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("zne + readout", "readout+zne"),
        ({"readout": True}, "readout"),
        ({"zne": (1.0, 3.0, 5.0), "extrapolation": "richardson", "folding": "two-qubit"}, "zne"),
        ({"zne": [1, 2.5], "readout": False}, {"zne": [1, 2.5]}),
        (
            {"zne": True, "extrapolation": "exponential", "folding": "global", "asymptote": 0.1},
            {"zne": True, "extrapolation": "exponential", "folding": "global", "asymptote": 0.1},
        ),
        (
            {"readout": True, "calibration_shots": 50, "clip": True},
            {"readout": True, "calibration_shots": 50, "clip": True},
        ),
    ],
)
def test_options_are_written_down_and_read(given, plain) -> None:
    backend = Mitigated("statevector", **read(given))
    assert backend.mitigation.plain() == plain
    assert resolve("statevector", mitigation=plain).mitigation.plain() == plain


@pytest.mark.parametrize(
    ("mitigation", "error", "match"),
    [
        ("zne+zne", UnknownNameError, 'No mitigation named "zne.zne"'),
        ("zme", UnknownNameError, 'No mitigation named "zme". Did you mean "zne"'),
        (3, ArgumentError, r'must be "readout", "zne", "readout\+zne" or a dictionary of options; got 3'),
        ({"scales": [1, 3]}, UnknownNameError, 'No option of `mitigation` named "scales"'),
        ({"zne": False}, ArgumentError, "must switch something on; got neither `readout` nor `zne`"),
        ({"zne": [1]}, ArgumentError, r"at least two different scales of noise, from 1 to below 100; got \[1\]"),
        ({"zne": [1, 1]}, ArgumentError, "at least two different scales"),
        ({"zne": [0.5, 3]}, ArgumentError, "at least two different scales"),
        ({"zne": [1, 100]}, ArgumentError, "at least two different scales"),
        ({"zne": "1, 3"}, ArgumentError, "at least two different scales"),
        ({"readout": 1.5}, ArgumentError, "`readout` must be True or False; got 1.5"),
        ({"readout": True, "folding": "global"}, ArgumentError, "`folding` must come with `zne`, which is off"),
        ({"zne": True, "clip": True}, ArgumentError, "`clip` must come with `readout`, which is off; got True"),
        ({"zne": True, "folding": "local"}, UnknownNameError, 'No folding named "local"'),
        ({"zne": True, "asymptote": 0.0}, ArgumentError, '`asymptote` must come with extrapolation="exponential"'),
        (
            {"zne": True, "extrapolation": "exponential", "asymptote": float("nan")},
            ArgumentError,
            "`asymptote` must be a finite number; got nan",
        ),
        (
            {"readout": True, "calibration_shots": 0},
            ArgumentError,
            "`calibration_shots` must be a positive integer; got 0",
        ),
    ],
)
def test_options_that_make_no_sense(mitigation, error, match) -> None:
    with pytest.raises(error, match=match):
        resolve("statevector", mitigation=mitigation)


@pytest.mark.parametrize(
    ("backend", "options", "match"),
    [
        (Mitigated(Statevector(), zne=True), {}, "which mitigates already. Leave `mitigation` out"),
        ("ibm:fake_manila", {"resilience_level": 2}, "which mitigates gates already. Leave `mitigation` out"),
        ("ibm:fake_manila", {"resilience": {"pec_mitigation": True}}, "which mitigates gates already"),
    ],
)
def test_backends_that_cannot_be_mitigated(backend, options, match) -> None:
    with pytest.raises(CapabilityError, match=match):
        resolve(backend, mitigation="readout+zne", **options)


def test_counts_or_mitigation_of_the_provider_is_needed(monkeypatch) -> None:
    monkeypatch.setattr(Statevector, "capabilities", Capabilities(counts=False))
    with pytest.raises(CapabilityError, match=r"`readout` must have counts to mitigate; .*statevector> returns none"):
        Mitigated(Statevector(), readout=True)


def test_readout_on_ibms_estimator_is_ibms_own(monkeypatch) -> None:
    """Twirled and inverted by the primitive, in every circuit of our extrapolation, too."""
    turned = Circuit(2, (Operation("PauliX", (0,)), Operation("CNOT", (0, 1))), (Expectation(pauli(((1, "Z"),))),))
    given = resolve("ibm:fake_manila", primitive="estimator")
    error = {}
    for mitigation in (None, "readout", "readout+zne"):
        backend = given if mitigation is None else resolve(given, mitigation=mitigation)
        found = backend.compile(turned).run(no_angles(1), shots=20_000, keys=keys(1))
        error[mitigation] = abs(float(found.values) + 1)
    assert backend.inner.specification()["resilience"] == {"measure_mitigation": True}
    assert backend.specification() == {"name": "ibm:fake_manila", "primitive": "estimator", "mitigation": "readout+zne"}
    assert error["readout"] < 0.6 * error[None] and error["readout+zne"] < 0.6 * error[None]
    with pytest.raises(ArgumentError, match=r"`clip` must be left out for ibm:fake_manila, whose provider mitigates"):
        resolve(given, mitigation={"readout": True, "clip": True})
    with pytest.raises(ArgumentError, match="`measure_mitigation` must not be False beside mitigation of readout"):
        resolve("ibm:fake_manila", resilience={"measure_mitigation": False}, mitigation="readout")
    with pytest.warns(NoEffectWarning, match="no effect on ibm:fake_manila, which mitigates it already") as told:
        resolve("ibm:fake_manila", resilience_level=1, mitigation="readout")
    assert len(told) == 1


def test_pennylane_devices_are_mitigated_where_they_execute_circuits_as_written(monkeypatch) -> None:
    assert resolve("pennylane:lightning.qubit").capabilities.verbatim
    with pytest.raises(CapabilityError, match=r"may compile circuits once more. .* say so: as_written=True"):
        resolve("pennylane:default.mixed", as_written=False, mitigation="zne")
    monkeypatch.setattr("qnn.backends.pennylane.list_devices", lambda: ["some.plugin"])
    with pytest.raises(CapabilityError, match=r"<qnn backend pennylane:some\.plugin> may compile circuits once more"):
        resolve("pennylane:some.plugin", mitigation="zne")
    backend = resolve("pennylane:some.plugin", as_written=True, mitigation="zne")
    assert backend.specification() == {"name": "pennylane:some.plugin", "as_written": True, "mitigation": "zne"}
    with pytest.raises(ArgumentError, match="`as_written` must be True or False; got 3"):
        resolve("pennylane:some.plugin", as_written=3)


# layers -------------------------------------------------------------------------------------------------------------


def test_layers_take_it_as_an_option() -> None:
    make = lambda **options: QuantumLayer(3, 1, seed=2, dtype=F64, **options)
    truth = make()(INPUTS).detach()
    error = lambda layer: float((layer(INPUTS) - truth).detach().abs().max())
    layer = make(backend="aer", noise="fake_manila")
    without = error(layer)
    with layer.using(mitigation="readout+zne"):
        within = error(layer)
        assert layer.backend.specification()["noise"] == "fake_manila"
        with layer.using(mitigation=None):
            assert error(layer) == without
    assert within < 0.2 * without and error(layer) == without
    layer.to_backend("aer", noise="fake_manila", mitigation="readout+zne")
    assert error(layer) == within and error(pickle.loads(pickle.dumps(layer))) == within
    identity = layer.execution_identity()["backend"]
    with layer.using(mitigation="zne"):
        assert layer.execution_identity()["backend"] != identity
    with pytest.raises(CapabilityError, match=r"returns no counts with mitigation, .* Use using\(mitigation=None\)"):
        layer.counts(INPUTS, shots=10)


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "mitigation.md").read_text()
    names: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], names)
    assert names["layer"].backend.mitigation.plain() == {"readout": True, "zne": [1, 3], "folding": "global"}


def test_bundles_keep_it(tmp_path) -> None:
    options = {"zne": [1, 3], "folding": "global", "readout": True}
    layer = QuantumLayer(2, 1, seed=2, backend="aer", noise="fake_manila", mitigation=options)
    qnn.save(layer, tmp_path / "model.qnn")
    loaded = qnn.load(tmp_path / "model.qnn")
    assert loaded.backend.specification() == layer.backend.specification()
    assert torch.equal(loaded(INPUTS[:, :2].float()), layer(INPUTS[:, :2].float()))


def test_variances_are_mitigated_too() -> None:
    """Read out of <O> and <O²>; the variance of their estimate is bounded, for want of counts."""
    import pennylane as qml

    observables = [qml.var(qml.Z(0) + 0.5 * qml.X(1)), qml.Z(1)]
    make = lambda **options: QuantumLayer(2, 1, observables=observables, seed=2, dtype=F64, **options)
    truth = make()(INPUTS[:, :2]).detach()
    noisy = make(backend="aer", noise="fake_manila")(INPUTS[:, :2]).detach()
    layer = make(backend="aer", noise="fake_manila", mitigation="readout+zne")
    assert (layer(INPUTS[:, :2]) - truth).abs().max() < 0.2 * (noisy - truth).abs().max()
    with layer.using(shots=500):
        found = layer.estimate(INPUTS[:, :2])
    assert bool(((found.values - truth).abs() < 5 * found.variance.sqrt()).all())


@pytest.mark.parametrize(
    ("backend", "options", "mitigation"),
    [
        ("braket:local_dm", {"noise": 0.004}, "zne"),
        ("pennylane:default.mixed", {}, "readout+zne"),
        ("pennylane:lightning.qubit", {}, "zne"),
        ("statevector", {}, "readout+zne"),
    ],
)
def test_simulators_of_any_kind(backend, options, mitigation) -> None:
    """Folded in gates of the table. Without noise the value is the exact one, to 1e-9."""
    make = lambda **place: QuantumLayer(2, 1, seed=3, dtype=F64, **place)
    truth = make()(INPUTS[:, :2]).detach()
    layer = make(backend=backend, mitigation=mitigation, **options)
    error = float((layer(INPUTS[:, :2]).detach() - truth).abs().max())
    plan = dict(layer.explain().details)
    size = layer.explain().two_qubit_gates
    assert plan["two qubit gates by scale"] == f"{size}, {3 * size}, {5 * size}"
    if not options:
        assert error < 1e-9
        return
    without = float((make(backend=backend, **options)(INPUTS[:, :2]).detach() - truth).abs().max())
    assert error < 0.75 * without


def test_detectors_of_brakets_noise_model() -> None:
    """Numbered by Braket's qubits, those in use: the calibration has the same numbers as the circuit."""
    from braket.circuits import Noise
    from braket.circuits.noise_model import MeasureCriteria, NoiseModel

    from qnn.backends import Braket
    from qnn.circuits.circuit import Circuit, Operation
    from qnn.circuits.observables import Expectation, pauli

    model = NoiseModel()
    for qubit, p in enumerate((0.3, 0.05, 0.1)):
        model.add_noise(Noise.BitFlip(p), MeasureCriteria(qubits=qubit))
    circuit = Circuit(
        3,
        (Operation("RY", (0,), 0.4), Operation("CNOT", (0, 2)), Operation("RX", (1,), 0.7)),
        (Expectation(pauli("IIZ")),),
    )
    angles = backends.Angles(torch.zeros(0, dtype=F64), torch.zeros(1, 0, dtype=F64))
    backend = Braket("local_dm", noise=model)
    truth = resolve("statevector").compile(circuit).run(angles).values
    plain = backend.compile(circuit).run(angles, shots=4000, keys=keys(1)).values
    found = Mitigated(backend, readout=True).compile(circuit).run(angles, shots=4000, keys=keys(1))
    assert abs(plain - truth) > 0.1
    assert abs(found.values - truth) < 5 * found.variance.sqrt()
