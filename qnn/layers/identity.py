"""What a checkpoint compares of a layer: which circuits it runs, where and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qnn._fingerprint import fingerprint
from qnn.jobs import PATIENCE

if TYPE_CHECKING:
    from qnn.layers.quantum_layer import QuantumLayer


def execution_identity(layer: QuantumLayer) -> dict[str, Any]:
    """Content ids of circuit and angle map, the backend with a content id of its options, shots and gradient method.

    The number of worker processes, and how patiently jobs are waited for, are no part of it: results do not depend on
    them.
    """
    ignored = {"workers", *PATIENCE}
    options = {name: value for name, value in (layer.backend.specification() or {}).items() if name not in ignored}
    return {
        "circuit": layer.circuit.fingerprint,
        "angle map": fingerprint(layer.angle_map.to_json()),
        "backend": f"{layer.backend.name} ({fingerprint(options)})" if options else layer.backend.name,
        "shots": layer.shots,
        "gradient": layer.plan.method,
    }
