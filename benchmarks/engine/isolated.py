"""What has to be measured in a fresh process: peak memory, the first call, and a register of 24 qubits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median

from engine.race import FOLDER, thread_settings
from engine.workload import Point

_MEMORY = """
import json, sys
import torch
from qnn import QuantumLayer
n, layers, batch, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

QuantumLayer(3, 2)(torch.rand(1, 3, requires_grad=True)).sum().backward()  # loads the kernels
layer, inputs = QuantumLayer(n, layers), torch.rand(batch, n, requires_grad=True)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")  # the high-water mark starts here
idle = status("VmRSS")
layer(inputs).sum().backward()
print(json.dumps({"idle_bytes": idle, "peak_bytes": status("VmHWM"), "above_idle_bytes": status("VmHWM") - idle}))
"""

_FIRST_CALL = """
import json, time
start = time.perf_counter()
import torch
import qnn
imported = time.perf_counter()
inputs = torch.rand(32, 4, requires_grad=True)
begin = time.perf_counter()
qnn.QuantumLayer(4, 3)(inputs).sum().backward()
print(json.dumps({"import_s": imported - start, "first_call_s": time.perf_counter() - begin}))
"""

_RUNS = """
import json, sys, time
import torch
from qnn import QuantumLayer
n, layers, batch, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
layer, inputs = QuantumLayer(n, layers), torch.rand(batch, n, requires_grad=True)
start = time.perf_counter()
values = layer(inputs)
values.sum().backward()
seconds = time.perf_counter() - start
finite = all(bool(t.isfinite().all()) for t in (values, inputs.grad, layer.weights.grad))
print(json.dumps({"seconds": seconds, "finite": finite and float(values.abs().max()) <= 1.00001}))
"""


def _run(script: str, arguments: list[int], threads: int, **environment: str) -> dict:
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    settings = os.environ | thread_settings(threads) | environment
    done = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=FOLDER)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1][:300]
        return {"error": last if done.returncode > 0 else f"ended by signal {-done.returncode}: {last}"}
    return json.loads(done.stdout.splitlines()[-1])


def memory(point: Point, threads: int) -> dict:
    """Peak resident memory of one forward and backward pass above the process before it (Linux)."""
    if not os.path.exists("/proc/self/clear_refs"):
        return {"unavailable": "the high-water mark of memory can be reset on Linux only"}
    return _run(_MEMORY, [point.n_qubits, point.n_layers, point.batch, threads], threads)


def first_call(threads: int, *, warm_runs: int = 3) -> dict:
    """Seconds of a layer's construction and first step, with an empty cache of compiled kernels and with a warm one."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _run(_FIRST_CALL, [], threads, NUMBA_CACHE_DIR=cache)
        warm = [_run(_FIRST_CALL, [], threads, NUMBA_CACHE_DIR=cache) for _ in range(warm_runs)]
    error = next((run["error"] for run in [cold, *warm] if "error" in run), None)
    if error:
        return {"error": error}
    return {
        "cold_s": cold["first_call_s"],
        "warm_s": median(run["first_call_s"] for run in warm),
        "import_s": median(run["import_s"] for run in warm),
        "warm_runs_s": [run["first_call_s"] for run in warm],
    }


def runs(point: Point, threads: int) -> dict:
    """One forward and backward pass of a large register: seconds, and whether everything is finite and within range."""
    return _run(_RUNS, [point.n_qubits, point.n_layers, point.batch, threads], threads)
