"""A quantum layer as plain data: circuit and angle map, how it samples, where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from qnn._fingerprint import canonical_json
from qnn.backends.base import Backend
from qnn.circuits.angle_map import AngleMap, run_node
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Variance
from qnn.errors import BundleError, QnnError
from qnn.layers import QuantumLayer
from qnn.models.bundle.fields import Value, parse, reason, refusal
from qnn.models.bundle.plain import plain
from qnn.models.bundle.program import check_program, program
from qnn.models.bundle.tensors import DTYPES, dtype_name

_GRADIENTS = ("auto", "adjoint", "backprop", "parameter-shift", "finite-difference", "spsa")
_PRIVATE = ("account", "instance", "s3_folder")  # of whom runs a model, not of the model
_MAX_WIRES = 10_000
_MAX_SQUARED_TERMS = 10**7  # of all observables whose variance is measured
_MAX_ELEMENTS = 2**20  # of all intermediate values of an angle map, for one row
_ENTRIES = (
    "circuit", "angle_map", "n_wires", "n_inputs", "n_outputs", "observables", "fingerprint", "backend", "shots",
    "gradient", "dtype", "sampling",
)  # fmt: skip
Place = Callable[[Value, Value, Value], tuple[Backend, int | None, str]]


def describe(layer: QuantumLayer, number: int, path: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The entry in bundle.json, and the two files.

    Raises:
        BundleError: the layer's backend has options that are no plain data.
    """
    specification = layer.backend.specification()
    if specification is None:
        raise BundleError(
            f'`model` must run on backends whose options are plain data; got {layer.backend!r} for the layer "{path}". '
            "Call to_backend with a name first, and again after loading with this backend."
        )
    names = files_of(number)
    content = {"angle_map": layer.angle_map.to_json(), "circuit": layer.circuit.to_json()}
    files = {
        names["circuit"]: program(layer.circuit, layer.angle_map).encode(),
        names["angle_map"]: (canonical_json(content) + "\n").encode(),
    }
    backend = {k: plain(v, f"backend[{k!r}]") for k, v in specification.items() if k not in _PRIVATE}
    weight = next(layer.parameters(), None)
    entry = names | _facts(layer.circuit, layer.angle_map)
    entry |= {
        "backend": backend,
        "shots": layer.shots,
        "gradient": layer.gradient,
        "dtype": None if weight is None else dtype_name(weight),
        "sampling": layer.sampling_state(),
    }
    return entry, files


def files_of(number: int) -> dict[str, str]:
    """The names of the files of a quantum layer."""
    return {"circuit": f"circuit_{number}.qasm", "angle_map": f"angle_map_{number}.json"}


def _facts(circuit: Circuit, angle_map: AngleMap) -> dict[str, Any]:
    """What people want to know of the circuit; checked when it is read."""
    return {
        "n_wires": circuit.n_wires,
        "n_inputs": angle_map.n_inputs,
        "n_outputs": circuit.n_outputs,
        "observables": [str(measurement) for measurement in circuit.measurements],
        "fingerprint": circuit.fingerprint,
    }


def build(
    entry: Value,
    number: int,
    read: Callable[[str], bytes],
    tensors: Mapping[str, torch.Tensor],
    path: str,
    place: Place,
) -> QuantumLayer:
    """The layer of an entry of bundle.json.

    Args:
        entry: what `describe` gave.
        number: of the layer.
        read: the content of a file of the bundle.
        tensors: all weights; those of this layer are under `path`.
        path: of the layer in the model.
        place: from the backend, the shots and the gradient of the entry to where the layer runs.

    Raises:
        BundleError: something does not fit; the message names the field.
    """
    entries = entry.entries(_ENTRIES)
    for name, file in files_of(number).items():
        entries[name].text((file,))
    circuit, angle_map = _read_circuit(parse(read(files_of(number)["angle_map"]), files_of(number)["angle_map"]))
    for name, fact in _facts(circuit, angle_map).items():
        if canonical_json(entries[name].data) != canonical_json(fact):
            raise entries[name].refusal(f"be that of the circuit, {str(fact)[:200]}")
    weights = list(_weights(angle_map, tensors, path, entries["dtype"]))
    check_program(read(files_of(number)["circuit"]), files_of(number)["circuit"], circuit, angle_map)
    backend, shots, gradient = place(entries["backend"], entries["shots"], entries["gradient"])
    sampling = entries["sampling"].entries(("seed", "calls"))
    state = {"seed": sampling["seed"].whole(), "calls": sampling["calls"].whole(most=2**31)}
    given = iter(weights)
    try:
        layer = QuantumLayer.from_circuit(
            circuit,
            angle_map,
            backend=backend,
            shots=shots,
            gradient=gradient,
            seed=state["seed"],
            dtype=weights[0].dtype if weights else None,
            init=lambda shape, generator: next(given),
        )
        layer.load_sampling_state(state)
    except QnnError as error:
        raise BundleError(f"`{entry.name}` must describe a layer that runs here; got: {error}") from error
    return layer


def check_gradient(value: Value) -> str:
    """A gradient method by name."""
    return value.text(_GRADIENTS)


def check_shots(value: Value) -> int | None:
    """Shots per circuit; None is exact."""
    return None if value.data is None else value.whole(1)


def _read_circuit(content: Value) -> tuple[Circuit, AngleMap]:
    """Circuit and angle map, exactly as they would be written, and fitting each other."""
    entries = content.entries(("angle_map", "circuit"))
    entries["circuit"].entries(("n_wires", "n_shared", "n_rows", "operations", "measurements"))["n_wires"].whole(
        1, _MAX_WIRES
    )
    read: list[Any] = []
    for name, cls in (("circuit", Circuit), ("angle_map", AngleMap)):
        value = entries[name]
        try:
            made = cls.from_json(value.data)  # type: ignore[attr-defined]
            same = canonical_json(made.to_json()) == canonical_json(value.data)
        except (QnnError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise value.refusal("be valid", reason(error)) from error
        if not same:
            raise value.refusal("be as it is written", "other types or further entries")
        read.append(made)
    circuit, angle_map = read
    if (circuit.n_shared, circuit.n_rows) != (len(angle_map.shared_index), len(angle_map.rows_index)):
        got = f"{len(angle_map.shared_index)} and {len(angle_map.rows_index)}"
        wanted = f"{circuit.n_shared} shared angles and {circuit.n_rows} of rows, as the circuit"
        raise entries["angle_map"].refusal(f"give {wanted}", got)
    squared = sum(len(m.observable.terms) ** 2 for m in circuit.measurements if isinstance(m, Variance))
    if squared > _MAX_SQUARED_TERMS:
        raise entries["circuit"].refusal("have fewer terms in its variances", f"{squared:,} products of two terms")
    return circuit, angle_map


def _weights(
    angle_map: AngleMap, tensors: Mapping[str, torch.Tensor], path: str, dtype: Value
) -> Iterator[torch.Tensor]:
    """The layer's weights in order; the map is tried on them, in shapes first, so that none is larger than it says."""
    found: dict[str, torch.Tensor] = {}
    wanted = None if dtype.data is None else DTYPES[dtype.text(("float32", "float64"))]
    for name, shape in angle_map.weight_shapes:
        full = f"{path}.{name}" if path else name
        tensor = tensors.get(full)
        if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != wanted:
            got = "none" if tensor is None else f"{dtype_name(tensor)} of shape {tuple(tensor.shape)}"
            raise refusal(f"weights.safetensors: {full}", f"be {dtype.data} of shape {shape}", got)
        found[name] = tensor
    if len(found) != len(angle_map.weight_shapes) or (not found and wanted is not None):
        raise dtype.refusal("fit the weights of the layer")
    _check_map(angle_map, found, f"{path}.angle_map" if path else "angle_map")
    yield from found.values()


def _check_map(angle_map: AngleMap, weights: Mapping[str, torch.Tensor], name: str) -> None:
    if angle_map.n_inputs > _MAX_ELEMENTS:
        raise refusal(name, f"have at most {_MAX_ELEMENTS:,} inputs", f"{angle_map.n_inputs:,}")
    try:
        total = _n_elements(angle_map, weights)
        if total <= _MAX_ELEMENTS:
            with torch.no_grad():
                angle_map.sources(torch.zeros(1, angle_map.n_inputs), weights)
    except Exception as error:  # what torch raises for operands that do not fit is of many kinds
        raise refusal(name, "compute angles", reason(error)) from error
    if total > _MAX_ELEMENTS:
        raise refusal(name, f"compute at most {_MAX_ELEMENTS:,} intermediate values", f"{total:,}")


def _n_elements(angle_map: AngleMap, weights: Mapping[str, torch.Tensor]) -> int:
    """Elements of all intermediate values for one row, found on tensors that have shapes and no memory."""
    meta = [weight.to("meta") for weight in weights.values()]
    row = torch.empty(angle_map.n_inputs, device="meta")
    values: dict[int, Any] = {}
    total = 0
    for index in angle_map.needed(angle_map.shared_extras + angle_map.row_extras):
        node = angle_map.nodes[index]
        if node.op == "input":
            values[index] = row[None] if angle_map.batched else row
        elif node.op == "weight":
            values[index] = meta[node.args[0]]
        else:
            values[index] = run_node(node, values, row)
        parts = values[index] if isinstance(values[index], list | tuple) else [values[index]]
        total += sum(part.numel() for part in parts)
        if total > _MAX_ELEMENTS:
            break
    return total
