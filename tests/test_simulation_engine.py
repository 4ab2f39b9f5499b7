"""The embedded engine: against dense matrices and its torch twin, and the laws of quantum mechanics."""

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import every_gate, random_angles, random_circuit

from qnn import QuantumLayer
from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector, StatevectorExecutable
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Expectation, PauliSum, Probabilities, pauli, z_on_every_wire
from qnn.errors import ArgumentError
from qnn.simulation import engine, torch_engine
from qnn.simulation.program import states_program

F64 = torch.float64


def compiled(circuit: Circuit) -> StatevectorExecutable:
    return Statevector().compile(circuit)


def gradients(circuit: Circuit, angles: Angles, cotangent: torch.Tensor) -> Angles:
    return compiled(circuit).gradient(angles, cotangent)


@pytest.mark.parametrize("name", GATES)
def test_every_gate_on_every_order_of_wires(name: str) -> None:
    """The full outcome distribution and words of all letters, from a generic state."""
    k = GATES[name].n_wires or 3
    n = max(k, 2)
    rng = np.random.default_rng(0)
    for _ in range(3):
        wires = tuple(int(w) for w in rng.permutation(n)[:k])
        start = [Operation(g, (w,), float(rng.uniform(-3, 3))) for w in range(n) for g in ("RY", "RZ")]
        angle = Slot("rows", 0) if GATES[name].is_parametric else None
        turns = [Operation("RX", (w,), float(rng.uniform(-3, 3))) for w in range(n)]
        words = tuple(Expectation(pauli(letter * n)) for letter in "XYZ")
        circuit = Circuit(
            n,
            (*start, Operation(name, wires, angle), *turns),
            (*words, Probabilities(tuple(range(n)))),
            0,
            int(bool(angle)),
        )
        angles = random_angles(circuit, 2)
        found = compiled(circuit).run(angles).values.numpy()
        np.testing.assert_allclose(found, oracles.values(circuit, angles.shared, angles.rows), atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_numba_and_torch_engines_agree(seed: int) -> None:
    circuit = random_circuit(seed, 1 + seed % 5, 15)
    angles = random_angles(circuit, 3, seed)
    executable = compiled(circuit)
    for program in executable.programs:
        found, _ = engine.Engine(program).forward(angles.shared.numpy(), angles.rows.numpy(), keep=False)
        expected = torch_engine.run(program, angles.shared, angles.rows)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("words_only", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_adjoint_gradients_are_those_of_autograd(seed: int, words_only: bool) -> None:
    circuit = random_circuit(seed + 20, 2 + seed % 3, 18)
    if words_only:
        circuit = circuit.with_measurements(circuit.measurements[:4])
    angles = random_angles(circuit, 3, seed)
    cotangent = torch.rand(3, circuit.n_outputs, generator=torch.Generator().manual_seed(seed), dtype=F64)
    leaves = Angles(angles.shared.clone().requires_grad_(), angles.rows.clone().requires_grad_())
    total = (compiled(circuit).differentiable(leaves) * cotangent).sum()
    by_shared, by_rows = torch.autograd.grad(total, (leaves.shared, leaves.rows), materialize_grads=True)
    found = gradients(circuit, angles, cotangent)
    torch.testing.assert_close(found.shared, by_shared, atol=1e-11, rtol=0)
    torch.testing.assert_close(found.rows, by_rows, atol=1e-11, rtol=0)


@pytest.mark.parametrize(("n_rows", "dtype", "tolerance"), [(1, F64, 1e-12), (2, torch.float32, 2e-5), (5, F64, 1e-12)])
def test_registers_beyond_the_cache_go_through_it_block_by_block(n_rows: int, dtype: torch.dtype, tolerance: float):
    """16 qubits, whose phases are made in four blocks, and whose amplitudes move where a few rows share the lanes."""
    layer = QuantumLayer(16, 2, seed=0, dtype=dtype)
    inputs = torch.rand(n_rows, 16, generator=torch.Generator().manual_seed(1), dtype=dtype, requires_grad=True)
    found = []
    for gradient in ("adjoint", "backprop"):
        with layer.using(gradient=gradient):
            values = layer(inputs)
            found.append([values, *torch.autograd.grad(values.pow(2).sum(), (inputs, layer.weights))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def test_clifford_gates_cost_nothing() -> None:
    """H, CNOT, S, SWAP and constant rotations by π/2 are moved into the measurement."""
    circuit = every_gate()
    fixed = [op for op in circuit.operations if op.gate in ("Hadamard", "CNOT", "CY", "CZ", "S", "SX", "SWAP", "ISWAP")]
    quarter = Operation("RX", (1,), np.pi / 2)
    clifford = Circuit(4, (*fixed, quarter), z_on_every_wire(4))
    (program,) = compiled(clifford).programs
    assert len(program.rotations) == 0
    angles = Angles(torch.zeros(0, dtype=F64), torch.zeros(1, 0, dtype=F64))
    np.testing.assert_allclose(
        compiled(clifford).run(angles).values.numpy(), oracles.values(clifford, [], [[]]), atol=1e-12
    )


# laws -------------------------------------------------------------------------------------------------------

INVERSE = {"S": "Adjoint(S)", "T": "Adjoint(T)", "SX": "Adjoint(SX)"}
INVERSE |= {b: a for a, b in INVERSE.items()}
SELF_INVERSE = [
    n for n, g in GATES.items() if not g.is_parametric and n not in INVERSE and n not in ("ISWAP", "SISWAP")
]
invertible = (*SELF_INVERSE, *INVERSE, *(n for n, g in GATES.items() if g.is_parametric))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_a_circuit_then_its_inverse_is_the_identity(seed: int, n: int) -> None:
    circuit = random_circuit(seed, n, 10, gates=invertible)
    angles = random_angles(circuit, 2, seed)
    n_shared, n_rows = circuit.n_shared, circuit.n_rows
    undo = []
    for op in reversed(circuit.operations):
        angle = op.angle
        if isinstance(angle, Slot):
            angle = Slot(angle.block, angle.index + (n_shared if angle.block == "shared" else n_rows))
        undo.append(Operation(INVERSE.get(op.gate, op.gate), op.wires, -angle if isinstance(angle, float) else angle))
    both = Circuit(n, (*circuit.operations, *undo), (Probabilities(tuple(range(n))),), 2 * n_shared, 2 * n_rows)
    doubled = Angles(torch.cat([angles.shared, -angles.shared]), torch.cat([angles.rows, -angles.rows], dim=1))
    values = compiled(both).run(doubled).values
    assert float((values[:, 0] - 1).abs().max()) < 1e-10


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_probabilities_sum_to_one_and_words_stay_within_one(seed: int, n: int) -> None:
    measurements = (Probabilities(tuple(range(n))), *(Expectation(pauli(p * n)) for p in "XYZ"))
    circuit = random_circuit(seed, n, 14, measurements=measurements)
    values = compiled(circuit).run(random_angles(circuit, 3, seed)).values
    torch.testing.assert_close(values[:, : 2**n].sum(dim=1), torch.ones(3, dtype=F64), atol=1e-12, rtol=0)
    assert bool((values[:, : 2**n] > -1e-15).all()) and bool((values[:, 2**n :].abs() <= 1 + 1e-12).all())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 5), st.randoms(use_true_random=False))
def test_relabelled_wires_give_the_same_values(seed: int, n: int, rnd) -> None:
    circuit = random_circuit(seed, n, 12)
    place = list(range(n))
    rnd.shuffle(place)

    def moved(measurement):
        if isinstance(measurement, Probabilities):
            return Probabilities(tuple(place[w] for w in measurement.wires))
        terms = measurement.observable.terms
        return Expectation(PauliSum(tuple((c, tuple(sorted((place[w], p) for w, p in word))) for c, word in terms)))

    other = Circuit(
        n,
        tuple(Operation(op.gate, tuple(place[w] for w in op.wires), op.angle) for op in circuit.operations),
        tuple(moved(m) for m in circuit.measurements),
        circuit.n_shared,
        circuit.n_rows,
    )
    angles = random_angles(circuit, 2, seed)
    torch.testing.assert_close(
        compiled(other).run(angles).values, compiled(circuit).run(angles).values, atol=1e-12, rtol=0
    )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_float32_tracks_float64(seed: int, n: int) -> None:
    circuit = random_circuit(seed, n, 20)
    exact = random_angles(circuit, 3, seed)
    single = Angles(exact.shared.float(), exact.rows.float())
    values = compiled(circuit).run(single).values
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), compiled(circuit).run(exact).values, atol=3e-5, rtol=0)
    cotangent = torch.ones(3, circuit.n_outputs)
    found, expected = gradients(circuit, single, cotangent), gradients(circuit, exact, cotangent.double())
    assert found.rows.dtype == torch.float32
    torch.testing.assert_close(found.rows.double(), expected.rows, atol=3e-4, rtol=0)
    torch.testing.assert_close(found.shared.double(), expected.shared, atol=3e-4, rtol=0)


# how it runs ------------------------------------------------------------------------------------------------


def deep() -> tuple[Circuit, Angles, torch.Tensor]:
    circuit = random_circuit(7, 5, 30)
    angles = random_angles(circuit, 150, 7)
    return circuit, angles, torch.rand(150, circuit.n_outputs, generator=torch.Generator().manual_seed(0), dtype=F64)


def test_a_batch_is_a_loop() -> None:
    circuit, angles, cotangent = deep()
    batch = gradients(circuit, angles, cotangent)
    loop = [gradients(circuit, Angles(angles.shared, angles.rows[i : i + 1]), cotangent[i : i + 1]) for i in range(20)]
    torch.testing.assert_close(batch.rows[:20], torch.cat([g.rows for g in loop]), atol=1e-12, rtol=0)
    part = gradients(circuit, Angles(angles.shared, angles.rows[:20]), cotangent[:20])
    torch.testing.assert_close(part.shared, sum(g.shared for g in loop), atol=1e-11, rtol=0)


@pytest.mark.parametrize("patch", ["narrow tiles", "threads", "recomputed states", "one lane"])
def test_tiles_threads_and_kept_states_do_not_change_results(patch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, angles, cotangent = deep()
    circuit = circuit.with_measurements(circuit.measurements[:4])
    cotangent = cotangent[:, :4]
    values, found = compiled(circuit).run(angles).values, gradients(circuit, angles, cotangent)
    if patch == "recomputed states":
        monkeypatch.setattr(engine, "KEEP_BYTES", 0)
    if patch in ("narrow tiles", "threads"):
        monkeypatch.setattr(engine, "TILE_BYTES", 1)
    if patch == "one lane":
        monkeypatch.setattr(engine, "WORK_BYTES", 1)
    if patch == "threads":
        monkeypatch.setattr(engine, "_PARALLEL_FROM", 0)
        monkeypatch.setattr(engine, "n_threads", lambda: 3)
    torch.testing.assert_close(compiled(circuit).run(angles).values, values, atol=1e-13, rtol=0)
    again = gradients(circuit, angles, cotangent)
    torch.testing.assert_close(again.rows, found.rows, atol=1e-12, rtol=0)
    torch.testing.assert_close(again.shared, found.shared, atol=1e-11, rtol=0)


def test_states_are_kept_within_the_bound_only(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, angles, _ = deep()
    circuit = circuit.with_measurements(circuit.measurements[:4])
    _, kept = compiled(circuit).linearize(angles, need_shared=True, need_rows=True)
    assert kept.numel() == 0 or kept.numel() >= 2 * 2**5 * 150
    assert kept.numel() > 0
    monkeypatch.setattr(engine, "KEEP_BYTES", 0)
    _, recomputed = compiled(circuit).linearize(angles, need_shared=True, need_rows=True)
    assert recomputed.numel() == 0


def test_forty_qubits_are_refused_before_anything_is_allocated() -> None:
    circuit = Circuit(40, (Operation("RX", (39,), Slot("rows", 0)),), z_on_every_wire(40), 0, 1)
    with pytest.raises(ArgumentError, match=r"`n_qubits` must be small enough for memory; got 40, .* Use fewer qubits"):
        compiled(circuit)


def test_large_registers_run_with_few_lanes() -> None:
    tiling = engine._Tiling.of(64, 25, 8)
    assert tiling.width * 4 * 2**25 * 8 <= engine.WORK_BYTES
    assert engine._Tiling.of(64, 4, 8).n_tiles == 1


# closed forms -------------------------------------------------------------------------------------------------


def test_rx_gives_the_cosine() -> None:
    circuit = Circuit(
        1, (Operation("RX", (0,), Slot("rows", 0)),), (Expectation(pauli("Z")), Expectation(pauli("Y"))), 0, 1
    )
    theta = torch.linspace(-10, 10, 41, dtype=F64)[:, None]
    values = compiled(circuit).run(Angles(torch.zeros(0, dtype=F64), theta)).values
    torch.testing.assert_close(values, torch.cat([theta.cos(), -theta.sin()], dim=1), atol=1e-13, rtol=0)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_a_product_encoding_gives_the_product_of_cosines(n: int) -> None:
    operations = tuple(Operation("RX", (w,), Slot("rows", w)) for w in range(n))
    circuit = Circuit(n, operations, (Expectation(pauli("Z" * n)),), 0, n)
    angles = random_angles(circuit, 5)
    values = compiled(circuit).run(angles).values
    torch.testing.assert_close(values, angles.rows.cos().prod(dim=1, keepdim=True), atol=1e-13, rtol=0)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_ghz_correlations(n: int) -> None:
    """<X...X> = 1, <Z_i Z_j> = 1, single words 0; two outcomes with probability 1/2."""
    operations = (Operation("Hadamard", (0,)), *(Operation("CNOT", (w, w + 1)) for w in range(n - 1)))
    words = [pauli("X" * n), pauli(((0, "Z"), (n - 1, "Z"))), pauli("Z"), pauli("X"), pauli("YY" + "X" * (n - 2))]
    circuit = Circuit(n, operations, (*map(Expectation, words), Probabilities(tuple(range(n)))))
    values = compiled(circuit).run(Angles(torch.zeros(0, dtype=F64), torch.zeros(1, 0, dtype=F64))).values[0]
    expected = torch.zeros(5 + 2**n, dtype=F64)
    expected[[0, 1]] = 1.0
    expected[4] = -1.0
    expected[[5, -1]] = 0.5
    torch.testing.assert_close(values, expected, atol=1e-14, rtol=0)


def test_gradients_of_a_product_of_cosines_shrink_as_two_to_the_minus_n() -> None:
    """Var ∂(Π cos θ_i)/∂θ_0 = 2^-n over uniform angles; 5 sigma of the variance estimator."""
    n_draws = 4000
    for n in (2, 4, 6):
        operations = tuple(Operation("RX", (w,), Slot("rows", w)) for w in range(n))
        circuit = Circuit(n, operations, (Expectation(pauli("Z" * n)),), 0, n)
        rows = torch.rand(n_draws, n, generator=torch.Generator().manual_seed(n), dtype=F64) * 2 * torch.pi
        angles = Angles(torch.zeros(0, dtype=F64), rows)
        found = gradients(circuit, angles, torch.ones(n_draws, 1, dtype=F64)).rows[:, 0]
        fourth = (3 / 8) ** n  # E sin^4 (E cos^4)^(n-1)
        sigma = np.sqrt((fourth - 4.0**-n) / n_draws)
        assert abs(float(found.pow(2).mean()) - 2.0**-n) < 5 * sigma


@pytest.mark.parametrize("seed", range(6))
def test_final_states_are_the_circuits_up_to_a_phase(seed: int) -> None:
    circuit = random_circuit(seed, 1 + seed % 4, 15)
    angles = random_angles(circuit, 3, seed)
    found = engine.Engine(states_program(circuit)).states(angles.shared.numpy(), angles.rows.numpy())
    for row, state in zip(angles.rows.numpy(), found, strict=True):
        expected = oracles.state(circuit, angles.shared.numpy(), row)
        assert abs(np.vdot(expected, state)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("lane_bits", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_index_bits_within_the_lanes_change_nothing(seed: int, lane_bits: int, monkeypatch) -> None:
    circuit = random_circuit(seed, 4, 25)
    angles = random_angles(circuit, 3, seed)
    shared, rows = angles.shared.numpy(), angles.rows.numpy()
    for program in compiled(circuit).programs:
        plain = engine.Engine(program)
        cotangent = np.random.default_rng(seed).normal(size=(3, program.measurement.n_values))
        values, states = plain.forward(shared, rows, keep=True)
        gradients_ = plain.backward(shared, rows, states, cotangent)
        other = engine.Engine(program)
        monkeypatch.setattr(engine._Tiling, "of", lambda n, *_: engine._Tiling(n, 1, n, lane_bits))
        found, states = other.forward(shared, rows, keep=True)
        np.testing.assert_allclose(found, values, atol=1e-12)
        for got, expected in zip(other.backward(shared, rows, states, cotangent), gradients_, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-12)
        monkeypatch.undo()
