"""Calls of a remote PennyLane device: one job of the journal each, not made twice, and never without being asked."""

import copy
import pickle

import numpy as np
import pennylane as qml
import pytest
import torch
from contracts.backend_contract import SAMPLED, equal_rows, keys

from qnn import _meter
from qnn.backends import PennyLane, from_specification, resolve
from qnn.backends.pennylane_service import PluginService
from qnn.cli import main
from qnn.errors import ArgumentError, BackendError, BudgetError, JobNotFoundError, JournalError
from qnn.jobs import Journal, run_scope

qml_device = qml.device


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "jobs.sqlite3")


def executed(backend, shots=50, call=0):
    with run_scope("training"):
        return backend.compile(SAMPLED).run(equal_rows(3), shots=shots, keys=keys(3, call=call)).values


def test_a_call_of_the_same_run_is_made_once(path) -> None:
    first = PennyLane("default.qubit", remote=True, journal=path)
    assert first.capabilities.remote and resolve("pennylane:default.qubit").service() is None
    with _meter.measure() as usage:
        values = executed(first)
    n = 3 * first.compile(SAMPLED).circuits_per_row(50)
    assert usage == _meter.Usage(n, 50 * n, 1)
    again = from_specification(first.specification())  # as another process would make it, of which shots would differ
    np.testing.assert_array_equal(executed(again), values)
    assert not torch.equal(executed(again, call=1), values)
    exact = PennyLane("default.qubit").compile(SAMPLED).run(equal_rows(3)).values
    assert torch.equal(executed(again, shots=None, call=2), exact)
    jobs = Journal(path).jobs()
    assert [(job.state, job.backend, job.n_circuits) for job in jobs] == [
        ("done", "pennylane:default.qubit", count) for count in (n, n, 3)
    ]
    with _meter.budget(max_jobs=0), pytest.raises(BudgetError):
        executed(again, call=3)
    assert len(Journal(path).jobs()) == 3


def test_a_call_that_was_broken_off_is_not_repeated_before_it_is_given_up(path, monkeypatch, capsys) -> None:
    backend = PennyLane("default.qubit", remote=True, journal=path)
    executable = backend.compile(SAMPLED)

    def interrupted(scripts):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(executable, "_execute", interrupted)
        executed(backend)
    with pytest.raises(
        JobNotFoundError, match=r"was broken off .* let the run make the call again by `qnn jobs cancel ID"
    ):
        executed(backend)
    (job,) = Journal(path).jobs()
    assert job.state == "prepared"
    monkeypatch.setattr("qnn.jobs.managing.is_alive", lambda *_: False)  # as after the end of the process
    assert main(["jobs", "cancel", job.id, "--forget", "--journal", path]) == 0
    assert executed(backend).shape == (3, SAMPLED.n_outputs)


def test_a_result_that_was_not_kept_is_another_processs(path, monkeypatch) -> None:
    backend = PennyLane("default.qubit", remote=True, journal=path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(backend.service(), "result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        executed(backend)
    with pytest.raises(JobNotFoundError, match="broken off"):
        executed(PennyLane("default.qubit", remote=True, journal=path))
    assert executed(backend).shape == (3, SAMPLED.n_outputs)  # which has it still


def test_a_result_that_the_journal_could_not_keep_is_there_for_the_same_call(path, monkeypatch) -> None:
    backend = PennyLane("default.qubit", remote=True, journal=path)
    executable = backend.compile(SAMPLED)

    def full(*_):
        raise JournalError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "finished", full)
        with pytest.raises(JournalError, match=r"The disk is full\. Submitted: 1 of 1 jobs"):
            executed(backend)
    monkeypatch.setattr(executable, "_execute", lambda scripts: pytest.fail("was called, and paid for, again"))
    copied = copy.deepcopy(backend)
    copied.compile(SAMPLED)._execute = executable._execute
    assert torch.equal(executed(backend), executed(copied))
    assert [job.state for job in Journal(path).jobs()] == ["done"]


def test_results_that_were_asked_for_are_kept_up_to_a_size(monkeypatch) -> None:
    service, array = PluginService("pennylane:x"), np.arange(1000.0)
    ids = [service.submit(lambda: [array], str(number)) for number in range(6)]
    monkeypatch.setattr("qnn.backends.pennylane_service._KEPT_BYTES", 20_000)  # two of them
    for remote_id in ids[:5]:
        found = service.result(remote_id, {})[0]
        np.testing.assert_array_equal(found, array)
        found[:] = 0  # the caller's own
    np.testing.assert_array_equal(service.result(ids[4], {})[0], array)
    assert list(service._results) == [ids[2], ids[3], ids[4], ids[5]]  # the last has not been asked for
    with pytest.raises(JobNotFoundError, match="was broken off"):
        service.result(ids[0], {})
    assert pickle.loads(pickle.dumps(service))._results == {} and copy.deepcopy(service) is service


class Machine:
    """What a plugin is given for a machine."""

    def __init__(self, name):
        self.name = name


def test_devices_of_other_options_are_other_jobs(path, monkeypatch) -> None:
    """Of seeds, lists, and machines by their names, of which there is no specification to make a backend from."""
    monkeypatch.setattr("pennylane.device", lambda name, **options: qml_device(name, wires=2))
    for number, options in enumerate(
        [{}, {"seed": 1}, {"seed": 2}, {"wires": [0, 1]}, {"backend": Machine("a")}, {"backend": Machine("b")}]
    ):
        for _ in range(2):
            executed(PennyLane("default.qubit", remote=True, journal=path, **options))
            assert len(Journal(path).jobs()) == number + 1
    with pytest.raises(
        ArgumentError, match=r"`backend` must be plain data, or have a name, on a remote device.*got object"
    ):
        PennyLane("default.qubit", remote=True, journal=path, backend=object())


def test_what_is_not_known_is_not_said(path, monkeypatch) -> None:
    """Neither that nothing was submitted, nor that a result is lost that is still here."""
    backend = PennyLane("default.qubit", remote=True, journal=path)
    executable = backend.compile(SAMPLED)

    def fails(scripts):
        raise BackendError("Connection lost after 3 of 5 jobs.")

    with monkeypatch.context() as patched:
        patched.setattr(executable, "_execute", fails)
        for match in ("3 of 5 jobs", "was broken off"):
            with pytest.raises(BackendError, match=rf"{match}.* Whether a job was submitted is not known\.$"):
                executed(backend)
    with monkeypatch.context() as patched:

        def full(*_):
            raise JournalError("The disk is full.")

        patched.setattr(Journal, "submitted", full)
        with pytest.raises(JournalError, match=r"The disk is full\. Submitted: 1 of 1 jobs"):
            executed(backend, call=1)
    monkeypatch.setattr(executable, "_execute", fails)
    assert executed(backend, call=1).shape == (3, SAMPLED.n_outputs)


def test_options() -> None:
    with pytest.raises(ArgumentError, match="`remote` must be True or False; got 'yes'"):
        PennyLane("default.qubit", remote="yes")
    with pytest.raises(ArgumentError, match=r"`journal` must come with remote=True; got 'jobs.sqlite3'"):
        PennyLane("default.qubit", journal="jobs.sqlite3")
