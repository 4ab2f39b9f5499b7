"""Contestants in turn, each in its own process: first everyone's results are compared, then rounds are timed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from engine.contestants import CONTESTANTS
from engine.workload import Point

TOLERANCE = 1e-4
FOLDER = Path(__file__).parents[1]


def thread_settings(threads: int) -> dict[str, str]:
    """Environment variables by which every library here is told how many threads to use."""
    count = str(threads)
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"
    xla = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={count}"
    return dict.fromkeys(names, count) | {"XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu", "NPROC": count}


class Seat:
    """A contestant's process, started when first asked and after it had to be ended."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self._threads = name, threads
        self._process: subprocess.Popen | None = None
        self._replies: queue.Queue[str] = queue.Queue()

    def ask(self, limit_s: float, **command: object) -> dict:
        if self._process is None:
            path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
            environment = os.environ | thread_settings(self._threads) | {"PYTHONPATH": path}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.worker", self.name, str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            self._replies = queue.Queue()
            threading.Thread(target=self._listen, args=(self._process, self._replies), daemon=True).start()
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._replies.get(timeout=limit_s)
        except queue.Empty:
            self.leave()
            return {"ok": False, "error": f"longer than {limit_s:g} s", "missing": False}
        except BrokenPipeError:
            line = ""
        if not line:
            self.leave()
            return {"ok": False, "error": "its process died (out of memory?)", "missing": False}
        return json.loads(line)

    @staticmethod
    def _listen(process: subprocess.Popen, replies: queue.Queue[str]) -> None:
        for line in process.stdout:
            replies.put(line)
        replies.put("")

    def leave(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def summary(rounds: Sequence[Sequence[float]]) -> dict:
    """Seconds a step: the median of the rounds' medians, their quartiles, the least of all."""
    medians = [median(times) for times in rounds]
    low, _, high = quantiles(medians, n=4, method="inclusive") if len(medians) > 1 else (medians[0],) * 3
    return {
        "median_s": median(medians),
        "q25_s": low,
        "q75_s": high,
        "min_s": min(map(min, rounds)),
        "rounds_s": medians,
        "n_steps": sum(map(len, rounds)),
    }


def differences(arrays: dict[str, Path]) -> tuple[str | None, dict[str, float]]:
    """The largest difference of each contestant from the first one, over values and gradients."""
    loaded = {name: np.load(path) for name, path in arrays.items()}
    if not loaded:
        return None, {}
    first = next(iter(loaded))
    reference = loaded[first]
    return first, {
        name: max(float(np.abs(mine[key] - reference[key]).max(initial=0)) for key in ("values", "inputs", "weights"))
        for name, mine in loaded.items()
    }


class Race:
    """Runs points one after another with the same processes."""

    def __init__(self, names: Sequence[str], threads: int, *, limit_s: float = 120.0) -> None:
        self._seats = {name: Seat(name, threads) for name in names}
        self._limit = limit_s
        self.missing: dict[str, str] = {}

    def run(self, point: Point, *, rounds: int, slice_s: float, skip: Callable[[str], bool] = lambda _: False) -> dict:
        """One point's record: agreement and times of everyone who is there and fast enough."""
        errors: dict[str, str] = {}
        opened: dict[str, dict] = {}
        with tempfile.TemporaryDirectory() as folder:
            arrays = {}
            for name, seat in self._seats.items():
                if name in self.missing or skip(name):
                    continue
                path = Path(folder) / f"{name}.npz"
                reply = seat.ask(self._limit, do="open", point=list(asdict(point).values()), arrays=str(path))
                if reply["ok"]:
                    opened[name], arrays[name] = reply, path
                elif reply["missing"]:
                    self.missing[name] = reply["error"]
                else:
                    errors[name] = reply["error"]
            reference, apart = differences(arrays)
        for name in [name for name in opened if not apart[name] <= TOLERANCE]:
            errors[name] = f"differs by {apart[name]:.1e} from {reference}"
            del opened[name]
        times: dict[str, list[list[float]]] = {name: [] for name in opened}
        for _ in range(rounds):
            for name in list(times):
                reply = self._seats[name].ask(self._limit, do="time", seconds=slice_s)
                if reply["ok"]:
                    times[name].append(reply["times_s"])
                else:
                    errors[name] = reply["error"]
                    del times[name]
        results = {
            name: summary(rows)
            | {key: opened[name][key] for key in ("first_s", "versions")}
            | {"difference": apart[name]}
            for name, rows in times.items()
        }
        return {"point": asdict(point), "reference": reference, "results": results, "errors": errors}

    def close(self) -> None:
        for seat in self._seats.values():
            seat.leave()


def default_names() -> list[str]:
    return list(CONTESTANTS)
