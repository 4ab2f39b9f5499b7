"""The torch contract, kept by quantum layers wherever they run."""

import multiprocessing
import pickle
import threading
import tracemalloc

import pennylane as qml
import pytest
import torch
from contracts import processes
from contracts.torch_contract import CompileContract, TorchContract

from qnn import QuantumLayer
from qnn.backends.statevector import Statevector
from qnn.errors import QnnError


class TestDefault(CompileContract):
    every_derivative = exportable = every_transform = True

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 2, seed=3, dtype=dtype)


class TestBackprop(CompileContract):
    every_derivative = exportable = True

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 2, seed=3, dtype=dtype, gradient="backprop", reupload=True)


class TestParameterShift(TorchContract):
    exportable = True

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, gradient="parameter-shift", observables="probs", reupload=True)


class TestShots(CompileContract):
    exact = False
    every_transform = True

    def make(self, dtype=torch.float32, observables=None):
        words = [qml.Z(0), qml.X(0) @ qml.Y(1)]
        return QuantumLayer(2, 2, seed=3, dtype=dtype, shots=200, observables=words)


class TestComputedAngles(CompileContract):
    """A lambda in the style of batches, with an angle that is a function and two weight tensors."""

    every_derivative = exportable = True

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer.from_pennylane(
            lambda inputs, w, s: [
                qml.RX(torch.arctan(inputs[:, 0]) * w[0, 1], 0),
                qml.RY(inputs[:, 1] * s + w[0, 0], 1),
                qml.CRX(w[1, 0] * w[1, 1], [0, 1]),
                qml.RY(w[1, 0], 1),
                qml.expval(qml.Z(0)),
                qml.expval(qml.Z(1)),
            ][-2:],
            n_inputs=2,
            weight_shapes={"w": (2, 2), "s": ()},
            seed=3,
            dtype=dtype,
        )


class TestBackendObject(TorchContract):
    every_derivative = exportable = True

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, backend=Statevector())


class TestAer(CompileContract):
    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, backend="aer", reupload=True)


class TestAerShots(CompileContract):
    exact = False

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, backend="aer", shots=100)


class TestAerNoise(CompileContract):
    exact = False
    window = 200  # what it has beyond Aer with shots is made once, when it is compiled

    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, backend="aer", shots=100, noise="fake_manila")


class TestPennyLane(CompileContract):
    def make(self, dtype=torch.float32, observables=None):
        return QuantumLayer(2, 1, seed=3, dtype=dtype, backend="pennylane:default.qubit")


def layers() -> dict[str, torch.nn.Module]:
    """One of every kind."""
    kinds = [k for k in globals().values() if isinstance(k, type) and issubclass(k, TorchContract)]
    return {kind.__name__: kind().make() for kind in kinds if kind not in (TorchContract, CompileContract)}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> processes.Elsewhere:
    return processes.in_fresh_processes(layers(), tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def replicas(elsewhere):
    """Gradients of all kinds in a data-parallel step of two processes."""
    return elsewhere.replicas


@pytest.fixture(scope="module")
def workers(elsewhere):
    """Outputs of all kinds in the workers of DataLoaders."""
    return elsewhere.workers


def test_a_fork_while_the_engines_threads_are_there() -> None:
    """A forked process has the pool's memory and none of its threads."""
    layer = QuantumLayer(8, 3, seed=0)
    inputs = torch.rand(512, 8, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = layer(inputs).detach()
        assert any(thread.name.startswith("qnn") for thread in threading.enumerate())
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=lambda: sender.send_bytes(pickle.dumps(layer(inputs).detach().numpy())))
        child.start()
        arrived = receiver.poll(60)
        found = pickle.loads(receiver.recv_bytes()) if arrived else child.kill()
        child.join(10)
    finally:
        torch.set_num_threads(before)
    assert arrived, "the forked process hangs"
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=0, rtol=0)


TOO_LARGE = [
    (lambda: QuantumLayer(31, 1, seed=0), r"must be at most 30 .* got 31, of which a state vector takes 32 GiB"),
    (lambda: QuantumLayer(48, 1, seed=0, backend="aer"), r"got 48, of which a state vector takes 4 PiB"),
    (lambda: QuantumLayer(40, 1, seed=0, backend="aer", shots=9), r"got 40, of which a state vector takes 16 TiB"),
    (lambda: QuantumLayer(20, 1, seed=0, backend="aer", noise="fake_sherbrooke"), r"at most 13 .* got 20"),
    (lambda: QuantumLayer(40, 1, seed=0, backend="pennylane:default.qubit"), r"pennylane.* state vector takes 16 TiB"),
    (lambda: QuantumLayer(40, 1, seed=0, backend="pennylane:lightning.qubit"), r"pennylane.* takes 16 TiB"),
    (lambda: QuantumLayer(22, 1, seed=0, backend="pennylane:default.mixed"), r"pennylane:default.mixed.* got 22"),
]


def test_registers_too_large_for_memory_are_refused_before_anything_is_allocated() -> None:
    for make, fact in TOO_LARGE:
        tracemalloc.start()
        try:
            with pytest.raises(QnnError, match=fact):
                make()
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()
