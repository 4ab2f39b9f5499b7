"""Rows spread over worker processes: the same bits for any number of them, counted once, and workers that die."""

import multiprocessing
import os
import pickle
import signal
import threading
import time

import pytest
import torch
from contracts.backend_contract import SAMPLED, BackendContract, equal_rows, keys
from contracts.torch_contract import TorchContract
from random_circuits import random_angles, random_circuit

from qnn import QuantumLayer, _meter, _seeding, backends
from qnn.backends import Aer, Statevector, Workers, from_specification, resolve, worker_pool
from qnn.backends.base import Angles, Backend
from qnn.errors import ArgumentError, BackendError, CapabilityError, ShapeError

F64 = torch.float64


class TestWorkersOnAer(BackendContract):
    seeds = range(3)

    def make(self) -> Backend:
        return Workers("aer", processes=2, rows_per_task=1)

    def test_the_meter_counts_circuits_shots_and_jobs(self, backend: Backend) -> None:
        """Once, in this process: a share of rows is one call of the simulator."""
        executable = backend.compile(SAMPLED)
        for shots in (None, 10):
            with _meter.measure() as usage:
                executable.run(equal_rows(6), shots=shots, keys=keys(6))
            circuits = 6 * len(executable.plan.settings)
            assert usage == _meter.Usage(circuits=circuits, shots=circuits * (shots or 0), jobs=2)
            assert executable.jobs_for(6, shots) == 2


class TestTorch(TorchContract):
    """By the engine, in pieces of one row: values in workers, the reverse sweep there too."""

    every_derivative = exportable = True
    test_replicas_of_two_processes_have_the_gradients_of_one = None  # of fixtures of another file
    test_workers_of_a_data_loader = None
    test_a_forked_process = None  # below
    test_memory_does_not_grow_over_two_thousand_steps = None  # minutes, by messages between processes

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 2, seed=3, dtype=dtype, workers=2, rows_per_task=1)


def step(layer: QuantumLayer, n_rows: int) -> list[torch.Tensor]:
    """Values, and gradients of inputs and weights, of the first call of a step."""
    inputs = torch.rand(n_rows, layer.n_inputs, generator=torch.Generator().manual_seed(4), requires_grad=True)
    with _seeding.step_scope(2):
        values = layer(inputs)
    return [values.detach(), *torch.autograd.grad(values.pow(2).sum(), (inputs, *layer.parameters()))]


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("aer", {"noise": "fake_manila", "shots": 100}),
        ("aer", {"gradient": "finite-difference"}),
        ("aer", {"gradient": "spsa", "shots": 50}),
        ("aer", {"sampler": "aer", "shots": 20}),
        ("statevector", {}),
        ("statevector", {"shots": 100}),
    ],
)
def test_a_step_does_not_depend_on_the_number_of_processes(backend, options) -> None:
    """Values and gradients to the last bit; with Aer also those without workers."""
    layers = {n: QuantumLayer(4, 1, backend=backend, seed=1, workers=n, rows_per_task=3, **options) for n in (1, 2)}
    plan = layers[2].explain(7)
    expected = step(layers[1], 7)
    with _meter.measure() as usage:
        found = step(layers[2], 7)
    assert same(found, expected)
    assert (usage.circuits, usage.shots, usage.jobs) == (
        plan.circuits_per_step,
        plan.shots_per_step,
        plan.jobs_per_step,
    )
    alone = step(QuantumLayer(4, 1, backend=backend, seed=1, **options), 7)
    if layers[2].backend.capabilities.rowwise:
        assert same(found, alone) and plan.jobs_per_step == 2
    elif layers[2].backend.capabilities.keyed:
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_pieces_of_rows_do_not_depend_on_the_number_of_processes() -> None:
    circuit = random_circuit(1, 2)
    for n_rows in (0, 1, 7, 64, 65, 1000):
        cuts = [Workers("statevector", n, 7).compile(circuit)._tasks(n_rows) for n in (1, 2, 3, 50)]
        flat = [[part for task in tasks for part in task] for tasks in cuts]
        assert all(parts == flat[0] for parts in flat)
        assert flat[0][0].start == 0 and flat[0][-1].stop == n_rows
        assert max(part.stop - part.start for part in flat[0]) <= 7
    shares = Workers("aer", 3).compile(circuit)._tasks
    assert [len(shares(n)) for n in (0, 1, 64, 127, 128, 191, 192, 10_000)] == [1, 1, 1, 1, 2, 2, 3, 3]


def test_aer_gives_a_row_the_same_bits_whatever_is_beside_it() -> None:
    """Under the capability `rowwise` rows are cut anywhere. Gates that merge and readout errors make sums of angles
    and products with matrices, which may not depend on the number of rows."""
    for noise in (None, "fake_manila"):
        for seed in range(2):
            circuit = random_circuit(seed, 3 + seed)
            angles, executable = (
                random_angles(circuit, 5, seed),
                Aer(noise=noise, optimization_level=2).compile(circuit),
            )
            whole = executable.run(angles).values
            rows = [executable.run(Angles(angles.shared, row)).values for row in angles.rows.split(1)]
            assert torch.equal(torch.cat(rows), whole)


@torch.no_grad()
def test_small_batches_stay_in_this_process(monkeypatch) -> None:
    monkeypatch.setattr(worker_pool, "compute", None)  # so that going there is an error
    layer = QuantumLayer(2, 1, backend="aer", workers=2, seed=0)
    assert layer(torch.rand(127, 2)).shape == (127, 2)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        layer(torch.rand(128, 2))


def test_names_objects_and_specifications() -> None:
    by_name = resolve("aer", noise="fake_manila", workers=2)
    assert by_name.name == "aer" and by_name.processes == 2 and by_name.rows_per_task == 64
    assert by_name.specification() == {"name": "aer", "noise": "fake_manila", "workers": 2}
    assert resolve(Aer(), workers=3, rows_per_task=5).specification() == {
        "name": "aer", "workers": 3, "rows_per_task": 5
    }  # fmt: skip
    twin = from_specification(by_name.specification())
    assert repr(twin) == "<qnn backend aer with noise of fake_manila in 2 worker processes>"
    assert twin.inner is by_name.inner  # so that circuits are compiled once
    assert backends.Workers is Workers and Workers().processes >= 1
    live = Workers(Aer(noise=Aer(noise="fake_manila")._source.on([0], [])), 2)
    assert live.specification() is None and pickle.loads(pickle.dumps(live)).processes == 2


def test_layers_borrow_workers_and_give_them_back() -> None:
    layer = QuantumLayer(2, 1, backend="aer", seed=0)
    with layer.using(workers=2):
        assert layer.backend.processes == 2
        assert dict(layer.explain().details)["worker processes"] == "2"
        with layer.using(workers=None):
            assert not isinstance(layer.backend, Workers)
        with layer.using(noise="fake_manila", shots=10):
            assert layer.backend.processes == 2 and layer.backend.capabilities.noisy
    assert layer.backend is resolve("aer")


def test_what_cannot_be_spread_is_refused() -> None:
    for value in (0, -1, True, 1.5, "two"):
        with pytest.raises(ArgumentError, match="`processes` must be a positive integer; got"):
            resolve("aer", workers=value)
    with pytest.raises(ArgumentError, match="`rows_per_task` must be a positive integer; got 0"):
        resolve("aer", workers=2, rows_per_task=0)
    with pytest.raises(ArgumentError, match="`rows_per_task` must come with `workers`; got 3 alone"):
        resolve("aer", rows_per_task=3)
    with pytest.raises(CapabilityError, match=r"in several processes; got .*which has worker processes already"):
        Workers(Workers("aer", 2), 2)
    with pytest.raises(CapabilityError, match="which runs on another machine, in one job"):
        resolve("braket:sv1", workers=2)
    with pytest.raises(CapabilityError, match="which draws shots by a seed of its own"):
        resolve("pennylane:default.qubit", seed=3, workers=2)
    with pytest.raises(ArgumentError, match=r"has no option `noisy`"):
        resolve("aer", noisy=True, workers=2)


def test_errors_of_workers_and_of_operands_come_through() -> None:
    executable = Workers("aer", 2, 1).compile(SAMPLED)
    with pytest.raises(ArgumentError, match="`keys` must be given to sample shots"):  # raised in a worker
        executable.run(equal_rows(4), shots=5)
    with pytest.raises(ShapeError, match=r"`keys` must have shape \(4, 5\)"):
        executable.run(equal_rows(4), shots=5, keys=keys(3))
    with pytest.raises(CapabilityError, match='"aer" cannot return'):
        executable.linearize(equal_rows(4), need_shared=True, need_rows=True)
    backend = Aer()
    backend.live = threading.Lock()
    backend.specification = lambda: None
    with pytest.raises(ArgumentError, match="`backend` must be made of options that can be pickled"):
        Workers(backend, 2, 1).compile(SAMPLED).run(equal_rows(4))


def worker_pids() -> list[int]:
    return [pid for key, pool in worker_pool._pools.items() if key[0] == os.getpid() for pid in pool._processes]


def outputs(n_rows: int = 6) -> torch.Tensor:
    layer = QuantumLayer(2, 1, backend="aer", shots=30, seed=5, workers=2, rows_per_task=1)
    with _seeding.step_scope(1), torch.no_grad():
        return layer(torch.linspace(0, 1, 2 * n_rows).reshape(n_rows, 2))


def outputs_here() -> tuple[list, list[int]]:
    return outputs().tolist(), worker_pids()


def in_fork(function, *, daemon: bool):
    """What a forked process sends back; it ends by itself."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(function()), daemon=daemon)
    child.start()
    assert receiver.poll(100), "the forked process hangs"
    found = receiver.recv()
    child.join(30)
    assert child.exitcode == 0
    return found


def test_within_a_worker_rows_run_there() -> None:
    """No process of a pool starts processes of its own; the results are the same."""
    expected = outputs().tolist()
    for values, started in (*worker_pool.compute(2, outputs_here, [()]), in_fork(outputs_here, daemon=True)):
        assert values == expected and started == []


def test_a_forked_process_makes_workers_of_its_own() -> None:
    outputs()
    (started,) = in_fork(lambda: worker_pool.compute(2, os.getpid, [()]), daemon=False)
    assert started not in worker_pids()
    outputs()  # the parent's still serve
    assert len(worker_pids()) == 2


def test_workers_end_when_their_parent_is_killed() -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        sender.send(worker_pool.compute(1, os.getpid, [()]))
        os.kill(os.getpid(), signal.SIGKILL)

    parent = context.Process(target=work)
    parent.start()
    assert receiver.poll(100), "the forked process hangs"
    (pid,) = receiver.recv()
    parent.join(30)
    assert parent.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while _alive(pid):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_live_backends_reach_workers() -> None:
    """Options that are objects travel pickled."""
    model = Aer(noise="fake_manila")._source.on([0, 1], [])
    angles = random_angles(circuit := random_circuit(2, 2), 4)
    backend = Aer(noise=model)
    expected = backend.compile(circuit).run(angles, shots=9, keys=keys(4)).values
    found = Workers(backend, 2, 1).compile(circuit).run(angles, shots=9, keys=keys(4)).values
    assert torch.equal(found, expected)


def test_two_threads_share_the_workers() -> None:
    expected, found = outputs(), {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: outputs()})) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(torch.equal(found[i], expected) for i in range(3))


def test_statevector_pullback_of_pieces_is_that_of_all_rows() -> None:
    circuit = random_circuit(6, 3)
    angles = random_angles(circuit, 7)
    cotangent = torch.rand(7, circuit.n_outputs, generator=torch.Generator().manual_seed(0), dtype=F64)
    plain, spread = Statevector().compile(circuit), Workers("statevector", 2, 2).compile(circuit)
    for need_shared, need_rows in ((True, True), (True, False), (False, True)):
        needs = {"need_shared": need_shared, "need_rows": need_rows}
        expected = plain.pullback(angles, plain.linearize(angles, **needs)[1], cotangent, **needs)
        _, residuals = spread.linearize(angles, **needs)
        with _meter.measure() as usage:
            found = spread.pullback(angles, residuals, cotangent, **needs)
        assert usage == _meter.Usage()  # the forward pass was counted by `linearize`
        for need, a, b in zip(
            (need_shared, need_rows), (found.shared, found.rows), (expected.shared, expected.rows), strict=True
        ):
            if need:
                torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_killed_workers_are_replaced_a_few_times(monkeypatch) -> None:
    """Last in this file: workers are started anew."""
    expected = outputs()
    os.kill(worker_pids()[0], signal.SIGKILL)
    with _meter.measure() as usage:
        assert torch.equal(outputs(), expected)
    assert usage == _meter.Usage(circuits=6, shots=180, jobs=2)  # nothing is counted twice
    monkeypatch.setattr(worker_pool, "ATTEMPTS", 2)
    with pytest.raises(BackendError, match=r"`workers` must stay alive .* got 2 .* 2 times in a row.* Use fewer"):
        worker_pool.compute(2, die, [()])
