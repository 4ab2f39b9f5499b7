"""Overlaps of derivative states in both precisions; against dense states in test_gradients_metric."""

import pytest
import torch

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.simulation.derivative_states import fubini_study
from qnn.simulation.program import words_program

# RY(a) on wire 0, CNOT, RX(b) on wire 1: the angles' generators commute after the CNOT only in part.
OPERATIONS = (
    Operation("RY", (0,), Slot("rows", 0)),
    Operation("CNOT", (0, 1)),
    Operation("RX", (1,), Slot("shared", 0)),
    Operation("CRZ", (0, 1), Slot("shared", 1)),
)
PROGRAM = words_program(Circuit(2, OPERATIONS, (), n_shared=2, n_rows=1))
ANGLES = [(True, 0), (False, 0), (False, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closed_forms(dtype) -> None:
    shared, rows = torch.tensor([0.7, 1.9], dtype=dtype), torch.tensor([[0.4], [2.0]], dtype=dtype)
    metric = fubini_study(PROGRAM, ANGLES, [0, 0, 0], shared, rows)
    assert metric.dtype == dtype and metric.shape == (2, 3, 3)
    a, tolerance = rows[:, 0], 1e-6 if dtype == torch.float32 else 1e-14
    # var(Y) of |0>; var(X) on wire 1 of cos|00> + sin|11>, where <X> = 0
    quarter = torch.full((2,), 0.25, dtype=dtype)
    torch.testing.assert_close(metric[:, 0, 0], quarter, atol=tolerance, rtol=0)
    torch.testing.assert_close(metric[:, 1, 1], quarter, atol=tolerance, rtol=0)
    # CRZ's generator is P₁ Z/2 on wires 0, 1: <P₁> = sin²(a/2), <P₁Z> = -sin²(a/2) cos b
    p = (a / 2).sin().square()
    expected = (p - (p * shared[0].cos()).square()) / 4
    torch.testing.assert_close(metric[:, 2, 2], expected, atol=tolerance, rtol=0)


def test_groups_cut_what_is_between_them_and_nothing_else() -> None:
    """Three turns about one axis: every entry is 1/4."""
    turns = tuple(Operation("RY", (0,), slot) for slot in (Slot("rows", 0), Slot("shared", 0), Slot("shared", 1)))
    program = words_program(Circuit(1, turns, (), n_shared=2, n_rows=1))
    shared, rows = torch.tensor([0.7, 1.9]), torch.tensor([[0.4], [2.0]])
    whole = fubini_study(program, ANGLES, [0, 0, 0], shared, rows)
    torch.testing.assert_close(whole, torch.full((2, 3, 3), 0.25))
    parts = fubini_study(program, ANGLES, [5, 7, 5], shared, rows)
    torch.testing.assert_close(parts, whole * torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]))
    assert fubini_study(program, [], [], shared, rows).shape == (2, 0, 0)
