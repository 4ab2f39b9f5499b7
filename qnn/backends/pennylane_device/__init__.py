"""PennyLane devices: `qml.device("qnn.statevector")` and `qml.device("qnn.aer")`.

The other direction, PennyLane's devices as backends of ours, is `qnn.backends.pennylane`.
"""

from __future__ import annotations

from typing import Any

from qnn.backends.pennylane_device.statevector import StatevectorDevice

__all__ = ["AerDevice", "StatevectorDevice"]


def __getattr__(name: str) -> Any:
    if name == "AerDevice":  # Qiskit is imported when it is used
        from qnn.backends.pennylane_device.aer import AerDevice

        return AerDevice
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
