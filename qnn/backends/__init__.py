"""Places where circuits run, behind one interface.

Vendor packages are imported when their backend is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qnn.backends.base import Angles, Backend, Capabilities, Estimate, Executable
from qnn.backends.registry import from_specification, list_backends, resolve

if TYPE_CHECKING:
    from qnn.backends.aer import Aer
    from qnn.backends.braket import Braket
    from qnn.backends.fakecloud import FakeCloud
    from qnn.backends.ibm import IBM
    from qnn.backends.mitigation import Mitigated
    from qnn.backends.pennylane import PennyLane
    from qnn.backends.statevector import Statevector
    from qnn.backends.workers import Workers

__all__ = [
    "IBM",
    "Aer",
    "Angles",
    "Backend",
    "Braket",
    "Capabilities",
    "Estimate",
    "Executable",
    "FakeCloud",
    "Mitigated",
    "PennyLane",
    "Statevector",
    "Workers",
    "from_specification",
    "list_backends",
    "resolve",
]

_LAZY = {
    "Aer": "aer",
    "Braket": "braket",
    "FakeCloud": "fakecloud",
    "IBM": "ibm",
    "Mitigated": "mitigation",
    "PennyLane": "pennylane",
    "Statevector": "statevector",
    "Workers": "workers",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
