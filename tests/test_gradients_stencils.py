"""Shift rules: closed forms, exactness for their frequencies, and the sizes of errors."""

import numpy as np
import pytest
from random_circuits import every_gate, random_circuit

from qnn.circuits.circuit import Slot
from qnn.circuits.gates import GATES, gate_named
from qnn.gradients import stencils

ROOT2 = np.sqrt(2)


def test_the_two_term_rule() -> None:
    np.testing.assert_allclose(stencils.shift_rule((1.0,)), [(0.5, np.pi / 2), (-0.5, -np.pi / 2)], atol=1e-15)


def test_the_four_term_rule_of_controlled_rotations() -> None:
    """Coefficients (√2±1)/(4√2) at shifts π/2 and 3π/2."""
    rule = sorted(stencils.shift_rule((0.5, 1.0)), key=lambda pair: pair[1])
    c_plus, c_minus = (ROOT2 + 1) / (4 * ROOT2), (ROOT2 - 1) / (4 * ROOT2)
    expected = [(c_minus, -1.5 * np.pi), (-c_plus, -np.pi / 2), (c_plus, np.pi / 2), (-c_minus, 1.5 * np.pi)]
    np.testing.assert_allclose(rule, expected, atol=1e-14)


@pytest.mark.parametrize("frequencies", [(1.0,), (0.5, 1.0), (1.0, 2.0, 3.0), (2.0,), (0.5, 1.5, 2.0, 3.5)])
def test_rules_are_exact_for_their_frequencies_and_constants(frequencies: tuple[float, ...]) -> None:
    rule = stencils.shift_rule(frequencies)
    assert len(rule) == 2 * len(frequencies)
    assert sum(c for c, _ in rule) == pytest.approx(0.0, abs=1e-12)
    for frequency in frequencies:
        for theta in (-2.0, 0.0, 0.7):
            for f, derivative in ((np.sin, np.cos), (np.cos, lambda t: -np.sin(t))):
                found = sum(c * f(frequency * (theta + s)) for c, s in rule)
                assert found == pytest.approx(frequency * derivative(frequency * theta), abs=1e-10)


def test_equidistant_frequencies_have_the_known_coefficients() -> None:
    """{1, 2, 3}: shifts (2μ-1)π/6, coefficients (-1)^(μ-1) / (4 R sin²(s_μ/2)) (Wierichs et al., eq. 12)."""
    rule = stencils.shift_rule((1.0, 2.0, 3.0))[:3]
    for mu, (coefficient, shift) in enumerate(rule, start=1):
        assert shift == pytest.approx((2 * mu - 1) * np.pi / 6)
        assert coefficient == pytest.approx((-1) ** (mu - 1) / (12 * np.sin(shift / 2) ** 2))


def test_parameter_shift_needs_two_or_four_rows_per_angle() -> None:
    circuit = every_gate().all_rows()
    stencil = stencils.parameter_shift(circuit, range(circuit.n_rows))
    terms = [
        2 * len(gate_named(circuit.slot_operations[Slot("rows", c)].gate).frequencies) for c in range(circuit.n_rows)
    ]
    assert set(terms) == {2, 4}
    assert stencil.offsets.shape == stencil.weights.shape == (sum(terms), circuit.n_rows)
    assert ((stencil.offsets != 0).sum(axis=1) == 1).all()
    four = {op.gate for op in circuit.slot_operations.values() if len(gate_named(op.gate).frequencies) == 2}
    assert four == {"CRX", "CRY", "CRZ", "IsingXY", "SingleExcitation", "DoubleExcitation"} & set(GATES)


def test_only_wanted_columns_are_shifted() -> None:
    circuit = random_circuit(3, 3, 20).all_rows()
    for make in (stencils.parameter_shift, stencils.central_difference):
        stencil = make(circuit, [1])
        assert set(np.nonzero(stencil.offsets)[1]) == {1} == set(np.nonzero(stencil.weights)[1])
        assert make(circuit, []).offsets.shape == (0, circuit.n_rows)


def test_central_differences_are_of_second_order() -> None:
    """The error of sin' at 0.3 falls by 4 when the step halves."""
    circuit = random_circuit(3, 1, 8).all_rows()
    errors = []
    for step in (0.2, 0.1, 0.05):
        stencil = stencils.central_difference(circuit, [0], step)
        found = stencil.weights[:, 0] @ np.sin(0.3 + stencil.offsets[:, 0])
        errors.append(abs(found - np.cos(0.3)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.02) and errors[1] / errors[2] == pytest.approx(4, rel=0.02)


def test_the_step_of_differences_grows_with_noise() -> None:
    assert stencils.difference_step(None) == 1e-4
    assert stencils.difference_step(1) == 1.0
    steps = [stencils.difference_step(shots) for shots in (100, 1000, 10_000)]
    assert steps == sorted(steps, reverse=True)
    # The best trade between h^4/36 and 1/(2 shots h²): their sum is stationary.
    for shots, h in zip((100, 1000), steps, strict=False):
        error = lambda step, n=shots: step**4 / 36 + 1 / (2 * n * step**2)
        assert error(h) < min(error(0.9 * h), error(1.1 * h))


def test_spsa_moves_all_wanted_angles_at_once() -> None:
    circuit = random_circuit(3, 3, 20).all_rows()
    wanted = [0, 2, 3]
    draws = [stencils.spsa(circuit, wanted, np.array([1, 2, call, 4, 0])) for call in range(8)]
    for stencil in draws:
        assert stencil.offsets.shape == (2, circuit.n_rows)
        np.testing.assert_array_equal(np.nonzero(stencil.offsets[0])[0], wanted)
        np.testing.assert_allclose(np.abs(stencil.offsets[:, wanted]), stencils.SPSA_STEP)
        np.testing.assert_array_equal(stencil.offsets[0], -stencil.offsets[1])
        # Exact on a linear function of one angle; others add noise of mean zero.
        assert stencil.weights[:, 0] @ stencil.offsets[:, 0] == pytest.approx(1.0)
    assert len({tuple(np.sign(s.offsets[0, wanted])) for s in draws}) > 1
    again = stencils.spsa(circuit, wanted, np.array([1, 2, 0, 4, 0]))
    np.testing.assert_array_equal(again.offsets, draws[0].offsets)
