"""What every backend must do; a backend's test file subclasses this with one factory method."""

import copy
import pickle

import numpy as np
import oracles
import pytest
import torch
from random_circuits import every_gate, random_angles, random_circuit

from qnn import _meter, _seeding
from qnn.backends import from_specification
from qnn.backends.base import Angles, Backend, Estimate
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, Probabilities, pauli
from qnn.errors import ArgumentError, NotFiniteError, ShapeError

# Two incompatible settings, so that one run has more circuits than rows.
SAMPLED = Circuit(
    2,
    (Operation("RY", (0,), Slot("rows", 0)), Operation("CNOT", (0, 1)), Operation("RX", (1,), Slot("shared", 0))),
    (
        Expectation(pauli(((0, "Z"),))),
        Expectation(pauli(((0, "Z"), (1, "Y")))),
        Expectation(pauli(((0, "X"), (1, "X")))),
        Probabilities((1, 0)),
    ),
    1,
    1,
)
SHOTS = 128
SIGMAS = 5.0


def no_angles(n_rows: int) -> Angles:
    return Angles(torch.zeros(0, dtype=torch.float64), torch.zeros(n_rows, 0, dtype=torch.float64))


def equal_rows(n_rows: int) -> Angles:
    shared = torch.tensor([0.6], dtype=torch.float64)
    return Angles(shared, torch.full((n_rows, 1), 1.1, dtype=torch.float64))


def keys(n_rows: int, root: int = 3, call: int = 0) -> torch.Tensor:
    return _seeding.row_keys(root, n_rows, call)


class BackendContract:
    """Subclass, and define `make`. `truth` may be overridden for noisy backends.

    Where a backend only samples, set `many`: its values are then compared within 5 sigma of so many shots.
    """

    many: int | None = None
    tolerance = 1e-9
    seeds = range(12)
    _made: Backend | None = None

    def make(self) -> Backend:
        raise NotImplementedError

    def truth(self, circuit: Circuit, angles: Angles) -> np.ndarray:
        """Exact outputs, shape (N, M), by other means than the backend's."""
        return oracles.values(circuit, angles.shared, angles.rows)

    @pytest.fixture
    def backend(self) -> Backend:
        """One backend per test class, so that circuits are compiled once."""
        cls = type(self)
        if "_made" not in cls.__dict__:
            cls._made = self.make()
        made = cls._made
        assert made is not None
        return made

    def run(self, backend: Backend, circuit: Circuit, angles: Angles) -> Estimate:
        """As exactly as the backend can."""
        sampling = {} if self.many is None else {"shots": self.many, "keys": keys(angles.n_rows)}
        return backend.compile(circuit).run(angles, **sampling)

    def check(self, backend: Backend, circuit: Circuit, angles: Angles) -> None:
        self.compare(self.run(backend, circuit, angles), self.truth(circuit, angles))

    def compare(self, estimate: Estimate, truth: np.ndarray) -> None:
        values = estimate.values.numpy()
        assert values.shape == truth.shape
        if self.many is None:
            np.testing.assert_allclose(values, truth, atol=self.tolerance, rtol=0)
        else:  # an outcome that is never seen has a reported variance of 0: ten shots of slack
            assert estimate.variance is not None
            bound = SIGMAS * np.sqrt(estimate.variance.numpy()) + 10 / self.many
            assert np.all(np.abs(values - truth) < bound), np.abs(values - truth) / bound

    # exact values -------------------------------------------------------------------------------------------

    def test_every_gate_of_the_table(self, backend: Backend) -> None:
        circuit = every_gate()
        self.check(backend, circuit, random_angles(circuit, 2))

    def test_random_asymmetric_circuits(self, backend: Backend) -> None:
        for seed in self.seeds:
            circuit = random_circuit(seed, n_wires=1 + seed % 5)
            self.check(backend, circuit, random_angles(circuit, 3, seed))

    def test_circuits_with_one_kind_of_slot_or_none(self, backend: Backend) -> None:
        for blocks in (("shared",), ("rows",), ()):
            circuit = random_circuit(21, 3, blocks=blocks)
            assert (circuit.n_shared > 0) == ("shared" in blocks)
            assert (circuit.n_rows > 0) == ("rows" in blocks)
            self.check(backend, circuit, random_angles(circuit, 3))

    def test_constant_observables_and_no_operations(self, backend: Backend) -> None:
        constant = Circuit(2, (), (Expectation(pauli((), 0.75)),))
        values = self.run(backend, constant, no_angles(2)).values
        np.testing.assert_allclose(values.numpy(), np.full((2, 1), 0.75), atol=1e-12)
        idle = Circuit(2, (), (Expectation(pauli("IX")), Probabilities((1,))))
        self.check(backend, idle, no_angles(2))

    def test_wire_order(self, backend: Backend) -> None:
        """X on wire 0 of three: the leftmost bit, wherever wire 0 stands in the list."""
        for wires in ((0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 0)):
            circuit = Circuit(3, (Operation("PauliX", (0,)),), (Probabilities(wires),))
            values = self.run(backend, circuit, no_angles(1)).values[0]
            expected = 2 ** (len(wires) - 1 - wires.index(0))
            assert int(values.argmax()) == expected
            self.check(backend, circuit, no_angles(1))

    def test_a_batch_is_a_loop(self, backend: Backend) -> None:
        circuit = random_circuit(5, 3)
        angles = random_angles(circuit, 4)
        if self.many is not None:
            self.check(backend, circuit, angles)
            return
        executable = backend.compile(circuit)
        batch = executable.run(angles).values
        loop = [executable.run(Angles(angles.shared, angles.rows[i : i + 1])).values for i in range(4)]
        np.testing.assert_allclose(batch.numpy(), torch.cat(loop).numpy(), atol=1e-12)

    def test_no_rows_give_no_values(self, backend: Backend) -> None:
        circuit = random_circuit(5, 3)
        values = self.run(backend, circuit, random_angles(circuit, 0)).values
        assert values.shape == (0, circuit.n_outputs)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dtype_comes_back(self, backend: Backend, dtype: torch.dtype) -> None:
        circuit = random_circuit(5, 3)
        angles = random_angles(circuit, 2, dtype=dtype)
        if self.many is None:
            estimate = backend.compile(circuit).run(angles)
            assert estimate.values.dtype == dtype
            assert estimate.variance is None and estimate.shots is None and estimate.counts is None
            tolerance = max(self.tolerance, 2e-5 if dtype == torch.float32 else 0)
            np.testing.assert_allclose(estimate.values.numpy(), self.truth(circuit, angles), atol=tolerance)
        sampled = backend.compile(circuit).run(angles, shots=10, keys=keys(2))
        assert sampled.values.dtype == dtype

    # shots --------------------------------------------------------------------------------------------------

    def test_counts_and_ranges(self, backend: Backend) -> None:
        estimate = backend.compile(SAMPLED).run(equal_rows(6), shots=SHOTS, keys=keys(6))
        assert estimate.shots == SHOTS
        assert estimate.values.shape == (6, SAMPLED.n_outputs)
        assert estimate.counts is not None and len(estimate.counts) == len(backend.compile(SAMPLED).plan.settings)
        for counts in estimate.counts:
            assert counts.shape[0] == 6 and bool((counts >= 0).all())
            assert counts.sum(dim=1).tolist() == [SHOTS] * 6
        assert bool((estimate.values[:, :3].abs() <= 1).all())
        np.testing.assert_allclose(estimate.values[:, 3:].sum(dim=1).numpy(), 1.0, atol=1e-12)

    def test_mean_and_variance_of_shots(self, backend: Backend) -> None:
        """Over 400 equal rows: unbiased, variance (1-<P>^2)/shots, and reported as such; 5 sigma throughout."""
        n = 400
        exact = self.truth(SAMPLED, equal_rows(1))[0, :3]
        estimate = backend.compile(SAMPLED).run(equal_rows(n), shots=SHOTS, keys=keys(n))
        values = estimate.values[:, :3].numpy()
        variance = (1 - exact**2) / SHOTS
        assert np.all(np.abs(values.mean(axis=0) - exact) < SIGMAS * np.sqrt(variance / n))
        # The fourth moment of a mean of +-1 outcomes is close to Gaussian: var(s^2) = 2 sigma^4 / (n - 1).
        spread = SIGMAS * variance * np.sqrt(2 / (n - 1))
        assert np.all(np.abs(values.var(axis=0, ddof=1) - variance) < spread)
        assert estimate.variance is not None
        reported = estimate.variance[:, :3].numpy().mean(axis=0)
        np.testing.assert_allclose(reported, variance, rtol=0.1)

    def test_rows_draw_independently(self, backend: Backend) -> None:
        """The correlation of neighbouring equal rows vanishes within 5 sigma, 1/sqrt(n) each."""
        n = 400
        values = backend.compile(SAMPLED).run(equal_rows(n), shots=SHOTS, keys=keys(n)).values[:, 0].numpy()
        correlation = np.corrcoef(values[0::2], values[1::2])[0, 1]
        assert abs(correlation) < SIGMAS / np.sqrt(n / 2)

    def test_shots_without_slots_differ_between_rows(self, backend: Backend) -> None:
        circuit = Circuit(1, (Operation("Hadamard", (0,)),), (Expectation(pauli("Z")),))
        for n in (1, 8):
            estimate = backend.compile(circuit).run(no_angles(n), shots=1000, keys=keys(n))
            assert estimate.values.shape == (n, 1)
            assert bool((estimate.values.abs() < SIGMAS / np.sqrt(1000) + 0.1).all())
        assert len(set(estimate.values[:, 0].tolist())) > 1

    def test_keys_decide_the_draw(self, backend: Backend) -> None:
        executable = backend.compile(SAMPLED)
        first, again, later = (
            executable.run(equal_rows(6), shots=SHOTS, keys=keys(6, call=call)).values for call in (0, 0, 1)
        )
        assert not torch.equal(first, later)
        if backend.capabilities.keyed:
            assert torch.equal(first, again)
            part = executable.run(equal_rows(2), shots=SHOTS, keys=keys(6)[[4, 1]]).values
            assert torch.equal(part, first[[4, 1]])

    # bookkeeping and bad input --------------------------------------------------------------------------------

    def test_the_meter_counts_circuits_shots_and_jobs(self, backend: Backend) -> None:
        executable = backend.compile(SAMPLED)
        if self.many is None:
            with _meter.measure() as exact:
                executable.run(equal_rows(6))
            assert exact == _meter.Usage(circuits=6 * executable.circuits_per_row(None), shots=0, jobs=1)
        with _meter.measure() as sampled:
            executable.run(equal_rows(6), shots=10, keys=keys(6))
        circuits = 6 * len(executable.plan.settings)
        assert sampled == _meter.Usage(circuits=circuits, shots=10 * circuits, jobs=1)

    def test_wrong_operands_are_refused(self, backend: Backend) -> None:
        executable = backend.compile(SAMPLED)
        angles = equal_rows(2)
        with pytest.raises(ShapeError, match=r"`angles.shared` must have shape \(1,\)"):
            executable.run(Angles(torch.zeros(2), angles.rows))
        with pytest.raises(ShapeError, match=r"`angles.rows` must have shape \(N, 1\)"):
            executable.run(Angles(angles.shared, torch.zeros(2, 3)))
        with pytest.raises(NotFiniteError, match=r"got nan in row 1, column 0"):
            executable.run(Angles(angles.shared, torch.tensor([[0.0], [float("nan")]])))
        with pytest.raises(ArgumentError, match="`shots` must be a positive integer"):
            executable.run(angles, shots=0, keys=keys(2))
        with pytest.raises(ShapeError, match=r"`keys` must have shape \(2, 5\)"):
            executable.run(angles, shots=10, keys=keys(3))

    def test_copies_and_specification_give_equal_backends(self, backend: Backend) -> None:
        angles = equal_rows(2)
        expected = None if self.many else backend.compile(SAMPLED).run(angles).values
        copies = [pickle.loads(pickle.dumps(backend)), copy.deepcopy(backend)]
        if (specification := backend.specification()) is not None:
            copies.append(from_specification(specification))
        for twin in copies:
            assert twin.name == backend.name and twin.capabilities == backend.capabilities
            if expected is None:
                self.check(twin, SAMPLED, angles)
                continue
            torch.testing.assert_close(twin.compile(SAMPLED).run(angles).values, expected, atol=1e-12, rtol=0)

    def test_it_describes_itself(self, backend: Backend) -> None:
        executable = backend.compile(SAMPLED)
        facts = executable.describe()
        assert facts["depth"] >= 3 and facts["two_qubit_gates"] >= 1
        assert repr(backend).startswith("<qnn backend")
