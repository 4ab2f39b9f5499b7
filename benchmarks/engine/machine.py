"""What the machine can do at best: peak of float32 arithmetic (sgemm), stream bandwidth, and what it is."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from engine.race import FOLDER, thread_settings
from engine.workload import Point, counted_operations

_MEASURE = """
import json, os, sys, time
threads = int(sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
import numpy as np, torch
torch.set_num_threads(threads)

def best(action, repeat):
    action()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)

n = 1536
a = np.random.default_rng(0).random((n, n), dtype=np.float32)
out, ta = np.empty_like(a), torch.from_numpy(a)
tout = torch.empty_like(ta)
sgemm = {"numpy": best(lambda: np.matmul(a, a, out=out), 5), "torch": best(lambda: torch.mm(ta, ta, out=tout), 5)}
size = 1 << 26
x, y = torch.ones(size), torch.zeros(size)
copy = best(lambda: y.copy_(x), 5)
print(json.dumps({
    "sgemm_gflops": {name: 2 * n**3 / seconds / 1e9 for name, seconds in sgemm.items()},
    "stream_gb_per_s": 2 * 4 * size / copy / 1e9,
}))
"""


def roofline(threads: int) -> dict:
    """Peak GFLOP/s of single precision (the better of NumPy's and torch's matrix product) and GB/s of a copy."""
    environment = os.environ | thread_settings(threads)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # meant for another processor, they would lower the peak
        environment.pop(name, None)
    command = [sys.executable, "-c", _MEASURE, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=FOLDER, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    return measured | {"peak_gflops": max(measured["sgemm_gflops"].values())}


def least_seconds(point: Point, peak: dict, cache_bytes: int) -> float:
    """The counted arithmetic at the peak of sgemm, or where a row's two states exceed the cache, their traffic.

    Traffic: backward reads and writes both states once a layer, forward one of them.
    """
    arithmetic = counted_operations(point) / (peak["peak_gflops"] * 1e9)
    states = point.two_states_bytes
    streams = 3 * states * (point.n_layers + 1) if states / point.batch > cache_bytes else 0
    return max(arithmetic, streams / (peak["stream_gb_per_s"] * 1e9))


def cache_bytes() -> int:
    """The largest cache, 32 MiB where the system does not say."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0))
    return max(sizes, default=32 << 20)


def description(threads: int) -> dict:
    from engine.kernel import compiler_version

    cpuinfo, name = Path("/proc/cpuinfo"), platform.processor()
    if cpuinfo.exists():
        name = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), name
        )
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=FOLDER)
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": compiler_version(),
        "commit": commit.stdout.strip() or None,
        "load": list(os.getloadavg()),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "last_level_cache_bytes": cache_bytes(),
    }
