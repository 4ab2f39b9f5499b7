"""Backends by name, their options, and what is imported when."""

import subprocess
import sys

import numpy as np
import pytest
from contracts.backend_contract import SAMPLED, equal_rows

import qnn.backends
from qnn.backends import Aer, PennyLane, Statevector, from_specification, list_backends, resolve
from qnn.errors import ArgumentError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "cls"), [("statevector", Statevector), ("aer", Aer), ("pennylane:default.qubit", PennyLane)]
)
def test_names(name, cls):
    backend = resolve(name)
    assert type(backend) is cls and backend.name == name
    assert resolve(backend) is backend
    assert resolve(name) is backend
    assert from_specification(backend.specification()) is backend


def test_options_make_another_backend():
    noisy = resolve("aer", noise="fake_manila")
    assert noisy.capabilities.noisy and noisy is resolve("aer", noise="fake_manila")
    assert noisy is not resolve("aer")
    assert from_specification(noisy.specification()) is noisy
    assert resolve("pennylane:default.qubit", wires=3) is not resolve("pennylane:default.qubit")


def test_live_objects_are_not_shared():
    generator = np.random.default_rng(0)
    first = resolve("pennylane:default.qubit", seed=generator)
    assert first is not resolve("pennylane:default.qubit", seed=generator)


def test_two_backends_agree():
    values = [resolve(name).compile(SAMPLED).run(equal_rows(2)).values for name in ("aer", "statevector")]
    np.testing.assert_allclose(values[0], values[1], atol=1e-9)


def test_devices_behind_a_colon():
    assert resolve("ibm:fake_manila") is resolve("ibm:fake_manila")
    assert resolve("ibm:fake_manila").name == "ibm:fake_manila"
    assert resolve("braket:local").name == "braket:local"
    for family in ("pennylane", "ibm", "braket"):
        with pytest.raises(ArgumentError, match=f'`backend` must name a device after the colon; got "{family}"'):
            resolve(family)


def test_misspelt_names():
    with pytest.raises(UnknownNameError, match=r'No backend named "statvector"\. Did you mean "statevector"\?'):
        resolve("statvector")
    with pytest.raises(UnknownNameError, match='No backend named "aer:gpu"'):
        resolve("aer:gpu")
    with pytest.raises(ArgumentError, match="`backend` must be a name or a qnn Backend; got NoneType"):
        resolve(None)


def test_unknown_options():
    with pytest.raises(ArgumentError, match=r'Backend "aer" has no option `noisy`. It has: method, noise, sampler'):
        resolve("aer", noisy=True)
    with pytest.raises(ArgumentError, match=r'Backend "statevector" has no option `noise`\. It has no options'):
        resolve("statevector", noise="fake_manila")
    with pytest.raises(ArgumentError, match=r"has no option `device`. It takes the options of the PennyLane device"):
        resolve("pennylane:default.qubit", device="lightning.qubit")
    with pytest.raises(ArgumentError, match="`noise` must be given to the backend object itself"):
        resolve(Aer(), noise="fake_manila")
    with pytest.raises(ArgumentError, match='`specification` must have a "name"'):
        from_specification({"noise": "fake_manila"})


def test_doctor_sees_every_backend():
    found = {info.name: info for info in list_backends()}
    usable = ("statevector", "aer", "pennylane:default.qubit", "pennylane:lightning.qubit", "ibm:fake_manila")
    for name in (*usable, "braket:local"):
        assert found[name].usable
    assert "account" in found["ibm:<machine>"].note or "credentials" in found["ibm:<machine>"].note
    assert all(info.note for info in found.values())


def test_vendors_are_imported_when_used():
    code = (
        "import sys, qnn.backends; assert not [m for m in sys.modules if m.startswith('qiskit')]; "
        "qnn.backends.resolve('statevector'); assert 'qiskit' not in sys.modules; "
        "qnn.backends.Aer(); assert 'qiskit_aer' in sys.modules and 'qiskit_ibm_runtime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_room_lists_what_it_has():
    assert set(dir(qnn.backends)) >= {"Aer", "PennyLane", "Statevector", "resolve"}
    with pytest.raises(AttributeError, match="has no attribute 'Rigetti'"):
        _ = qnn.backends.Rigetti
