"""The angle map as data: JSON round trip, closed list of operations, copies as indices, names."""

import contextlib
import copy
import json
import random

import pennylane as qml
import pytest
import torch

from qnn.circuits.angle_map import ARITHMETIC, MOVES, AngleMap
from qnn.circuits.capture import capture
from qnn.errors import ArgumentError, CaptureError

F64 = torch.float64


def function(inputs, w, s):
    qml.RX(inputs[0], 0)
    qml.RY(inputs[1] * w[0, 1], 0)
    qml.RZ(torch.arctan(inputs).sum() / 3 + 1, 0)
    qml.RX(w[1, 2], 0)
    qml.RY(w[0, 0] ** 2 * s, 0)
    qml.RZ(torch.stack([inputs[0] * 2, s])[0].clamp(-1.0, float("inf")), 0)
    qml.RX(torch.where(inputs[0] > s, torch.tensor([0.1, 0.2], dtype=F64)[1], w.mean()), 0)
    qml.RY(0.25, 0)
    return qml.expval(qml.Z(0))


def batched(inputs, w, s):
    qml.RX(inputs[:, 0], 0)
    qml.RY(torch.tanh(inputs)[:, 1] * w[0, 1] * s, 0)
    return qml.expval(qml.Z(0))


SHAPES = {"w": (2, 3), "s": ()}
MAP = capture(function, n_inputs=2, weight_shapes=SHAPES).angle_map


def weights(dtype=F64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {n: torch.rand(s, generator=generator, dtype=F64).to(dtype) for n, s in SHAPES.items()}


def test_angles_are_those_of_the_function() -> None:
    rows = torch.tensor([[0.3, -1.2], [2.0, 0.4], [-0.9, 0.0]], dtype=F64)
    named = weights()
    shared, sources = MAP.sources(rows, named)
    picked_shared, picked_rows = shared[list(MAP.shared_index)], sources[:, list(MAP.rows_index)]
    w, s = named["w"], named["s"]
    torch.testing.assert_close(picked_shared, torch.stack([w[1, 2], w[0, 0] ** 2 * s]))
    expected = [
        rows[:, 0],
        rows[:, 1] * w[0, 1],
        torch.arctan(rows).sum(dim=1) / 3 + 1,
        (rows[:, 0] * 2).clamp(min=-1.0),
        torch.where(rows[:, 0] > s, torch.tensor(0.2, dtype=F64), w.mean()),
    ]
    torch.testing.assert_close(picked_rows, torch.stack(expected, dim=1))


@pytest.mark.parametrize("traced", [function, batched])
def test_json_round_trip(traced) -> None:
    angle_map = capture(traced, n_inputs=2, weight_shapes=SHAPES).angle_map
    again = AngleMap.from_json(json.loads(json.dumps(angle_map.to_json(), allow_nan=False)))
    assert again == angle_map
    rows = torch.rand(3, 2, dtype=F64)
    for one, other in zip(again.sources(rows, weights()), angle_map.sources(rows, weights()), strict=True):
        assert torch.equal(one, other)


def test_a_batched_function_sees_rows_one_by_one() -> None:
    angle_map = capture(batched, n_inputs=2, weight_shapes=SHAPES).angle_map
    assert angle_map.batched
    rows, named = torch.rand(4, 2, dtype=F64), weights()
    _, sources = angle_map.sources(rows, named)
    torch.testing.assert_close(sources[:, 2], torch.tanh(rows[:, 1]) * named["w"][0, 1] * named["s"])


def test_float32_inputs_give_float32_angles() -> None:
    shared, rows = MAP.sources(torch.rand(2, 2), weights(torch.float64))
    assert shared.dtype == rows.dtype == torch.float32


def test_no_rows_give_no_angles_but_keep_the_graph_of_the_weights() -> None:
    named = {n: w.requires_grad_() for n, w in weights().items()}
    _, rows = MAP.sources(torch.zeros(0, 2, dtype=F64), named)
    assert rows.shape == (0, 2 + len(MAP.row_extras)) and rows.requires_grad


def test_names() -> None:
    shared, rows = MAP.names()
    assert shared[:7] == ("w[0, 0]", "w[0, 1]", "w[0, 2]", "w[1, 0]", "w[1, 1]", "w[1, 2]", "s")
    assert rows[:2] == ("inputs[0]", "inputs[1]")


def test_one_angle_in_two_gates_is_two_slots() -> None:
    def twice(inputs):
        angle = inputs[0] * 2
        qml.RX(angle, 0)
        qml.RY(angle, 0)
        return qml.expval(qml.Z(0))

    captured = capture(twice, n_inputs=1, weight_shapes={})
    assert captured.circuit.n_rows == 2 and len(captured.circuit.slot_operations) == 2


def edited(change) -> dict:
    data = copy.deepcopy(MAP.to_json())
    change(data)
    return data


def _set(data, path, value):
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: _set(d, ["nodes", 3, 0], "system.default"), CaptureError, "torch's 'system', which is not among"),
        (lambda d: _set(d, ["nodes", 3, 0], "__class__"), CaptureError, "torch's '__class__', which is not among"),
        (lambda d: _set(d, ["nodes", 3, 0], "add_.Tensor"), CaptureError, "torch's 'add_', which is not among"),
        (lambda d: _set(d, ["nodes", 3, 1], [{"node": 3}]), ArgumentError, "`nodes` must refer backwards; node 3"),
        (lambda d: _set(d, ["nodes", 3, 1], [{"node": 99}]), ArgumentError, "`nodes` must refer backwards; node 3"),
        (lambda d: _set(d, ["nodes", 3, 1], [{"node": -1}]), ArgumentError, "`nodes` must refer backwards; node 3"),
        (lambda d: _set(d, ["rows_index", 0], 77), ArgumentError, "`rows_index` must be within 0 to"),
        (lambda d: _set(d, ["shared_index", 0], -1), ArgumentError, "`shared_index` must be within 0 to"),
        (lambda d: _set(d, ["row_extras", 0], 999), ArgumentError, "`row_extras` must be within 0 to"),
        (lambda d: _set(d, ["shared_extras", 0], 999), ArgumentError, "`shared_extras` must be within 0 to"),
    ],
)
def test_data_that_is_no_angle_map_is_refused(change, error, message) -> None:
    with pytest.raises(error, match=message):
        AngleMap.from_json(edited(change))


def test_a_weight_that_does_not_exist_is_refused() -> None:
    data = MAP.to_json()
    place = next(i for i, node in enumerate(data["nodes"]) if node[0] == "weight")
    data["nodes"][place][1] = [2]
    with pytest.raises(ArgumentError, match=f"`nodes` must name one of 2 weights; node {place} names 2"):
        AngleMap.from_json(data)


def test_loading_mangled_data_executes_nothing_and_raises_only_plain_errors() -> None:
    """Random single edits of the JSON: a map, or an ordinary exception; nothing else happens."""
    rng = random.Random(0)
    for _ in range(200):
        data = copy.deepcopy(MAP.to_json())
        node = rng.choice(data["nodes"])
        node[0] = rng.choice([node[0], "weight", "input", "constant", "getitem", "nope"])
        node[1] = rng.choice([node[1], [], [7], [{"node": rng.randrange(-2, 40)}], ["x"], [1, 2]])
        with contextlib.suppress(ArgumentError, CaptureError):
            AngleMap.from_json(data)


def test_the_closed_list_is_pure_and_exists() -> None:
    assert not MOVES & ARITHMETIC
    for name in (MOVES | ARITHMETIC) - {"getitem"}:
        base, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, base), overload)
        assert not operation._schema.is_mutable, name
        assert torch.Tag.nondeterministic_seeded not in operation.tags, name
