"""Measuring a cell's own cost: the device it ran on, the memory it needed, the versions it used."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("torch", "numpy", "numba", "qiskit", "qiskit-aer", "pennylane", "qnn")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def training_device(quantum: bool) -> str:
    """Where a contestant is trained: classical models on CUDA when present, quantum circuits on the CPU."""
    return "cuda" if not quantum and torch.cuda.is_available() else "cpu"


def device_name(device: torch.device) -> str:
    """The device with the model name of the processor behind it, such as "cpu (AMD EPYC 7B13)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class PeakMemory:
    """Peak memory of what follows, above what is in use now.

    On CUDA this is device memory. On Linux the kernel's high-water mark of resident memory is reset
    first, so that earlier work in the same process does not count; elsewhere only growth beyond the
    process's previous peak is seen.

    Args:
        device: where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        gc.collect(1)  # what the cell before left; a full collection would take half a second
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)
            self._start = torch.cuda.memory_allocated(self._cuda)
            return
        _return_free_memory()
        self._resettable = _reset_high_water_mark()
        self._start = _status_bytes("VmRSS") if self._resettable else _lifetime_peak()

    def read(self) -> int:
        """Bytes at the peak above the start."""
        if self._cuda is not None:
            return max(0, torch.cuda.max_memory_allocated(self._cuda) - self._start)
        peak = _status_bytes("VmHWM") if self._resettable else _lifetime_peak()
        return max(0, peak - self._start)


def _return_free_memory() -> None:
    """Give freed heap back to the system (glibc), so that its reuse shows as growth."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _reset_high_water_mark() -> bool:
    """Set the kernel's peak of resident memory to its present value; False where that is not possible."""
    try:
        _CLEAR_REFS.write_text("5")
        return _STATUS.exists()
    except OSError:
        return False


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _lifetime_peak() -> int:
    """Highest resident memory since the process began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
