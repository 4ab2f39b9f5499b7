"""The circuit by hand in C, compiled on first use where a compiler is present: for NumPy arrays and for torch."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

# Linked apart from compiling: with -ffast-math a linker adds code that flushes subnormal numbers in the whole process.
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC", "-c")
LINK = ("-shared", "-fPIC")
SOURCES = {"best": "kernel.c", "gates": "kernel_gates.c"}


class NoCompilerError(RuntimeError):
    """There is no C compiler, or it refused."""


def compiler() -> str | None:
    return next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc"))), None)


def compiler_version() -> str | None:
    found = compiler()
    if not found:
        return None
    return subprocess.run([found, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def _library(kind: str) -> ctypes.CDLL:
    """Compile once for this source, compiler and processor; kept in the user's cache folder."""
    source = Path(__file__).with_name(SOURCES[kind])
    found, version = compiler(), compiler_version()
    if not found:
        raise NoCompilerError("no C compiler: neither $CC nor cc nor gcc is on the path")
    cpu = Path("/proc/cpuinfo")
    flags = (
        next((line for line in cpu.read_text().splitlines() if line.startswith("flags")), "") if cpu.exists() else ""
    )
    shared = source.with_name("kernel_shared.h").read_text()
    identity = [
        source.read_text(),
        shared,
        *FLAGS,
        *LINK,
        found,
        str(version),
        platform.machine(),
        platform.processor(),
        flags,
    ]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "qnn-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"kernel-{kind}-{digest}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / "kernel.so"
            for threading in (["-fopenmp"], []):  # without OpenMP it still runs, on one thread
                part = fresh.with_suffix(".o")
                for command in (
                    [found, *FLAGS, *threading, str(source), "-o", str(part)],
                    [found, *LINK, *threading, str(part), "-o", str(fresh), "-lm"],
                ):
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        break
                else:
                    break
            else:
                raise NoCompilerError(f"{found} refused {source.name}: {done.stderr[:500]}")
            fresh.replace(target)
    return ctypes.CDLL(str(target))


class CKernel:
    """Forward and backward of the benchmark circuit.

    `kind="best"` uses all that can be known about the circuit; `"gates"` runs it gate by gate.
    """

    def __init__(self, n_qubits: int, n_layers: int, *, threads: int = 1, kind: str = "best") -> None:
        self._library = _library(kind)
        self._n, self._layers, self._threads = n_qubits, n_layers, threads
        self._library.kernel_keep_bytes.restype = ctypes.c_size_t
        self._library.kernel_keep_bytes.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_int]
        sizes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_int]
        self._library.kernel_forward.argtypes = sizes + [ctypes.c_void_p] * 4
        self._library.kernel_backward.argtypes = sizes + [ctypes.c_void_p] * 6

    def forward(self, inputs: np.ndarray, weights: np.ndarray, *, keep: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Values (N, n), and what backward needs, or None to have states computed again."""
        sizes = self._sizes(inputs)
        values = np.empty(inputs.shape, dtype=np.float32)
        kept = np.empty(self._library.kernel_keep_bytes(*sizes), dtype=np.uint8) if keep else None
        pointers = [inputs.ctypes.data, weights.ctypes.data, values.ctypes.data, kept.ctypes.data if keep else None]
        self._check(self._library.kernel_forward(*sizes, *pointers))
        return values, kept

    def backward(
        self, inputs: np.ndarray, weights: np.ndarray, cotangent: np.ndarray, kept: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of inputs (N, n) and weights (L, n)."""
        sizes = self._sizes(inputs)
        gradients = np.empty(inputs.shape, dtype=np.float32), np.empty(weights.shape, dtype=np.float32)
        arrays = (inputs, weights, cotangent, kept, *gradients)
        pointers = [None if array is None else array.ctypes.data for array in arrays]
        self._check(self._library.kernel_backward(*sizes, *pointers))
        return gradients

    def _sizes(self, inputs: np.ndarray) -> tuple[int, int, int, int]:
        return self._n, self._layers, len(inputs), self._threads

    @staticmethod
    def _check(status: int) -> None:
        if status:
            raise MemoryError("the C kernel could not allocate its states")


def torch_function(kernel: CKernel):
    """`f(inputs, weights) -> values` on torch tensors, with gradients by the kernel."""
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, inputs, weights):
            values, kept = kernel.forward(inputs.detach().numpy(), weights.detach().numpy(), keep=True)
            ctx.save_for_backward(inputs, weights)
            ctx.kept = kept
            return torch.from_numpy(values)

        @staticmethod
        def backward(ctx, cotangent):
            inputs, weights = (tensor.detach().numpy() for tensor in ctx.saved_tensors)
            gradients = kernel.backward(inputs, weights, cotangent.contiguous().numpy(), ctx.kept)
            return tuple(map(torch.from_numpy, gradients))

    return Function.apply
