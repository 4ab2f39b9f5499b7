"""A script that ends at one write or request after the other, and is started again each time.

Where random kills miss a moment, this one counts them all: before and after each request to the provider, and before,
within and after each transaction of the journal.
"""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from forked_cloud import behave, wrong_with

import qnn
from qnn import _meter
from qnn.backends import FakeCloud
from qnn.backends.fakecloud.service import FakeCloudService
from qnn.jobs import Journal, run_scope


class Moments:
    """Counts what a process does, and ends it at the given count; None never does."""

    def __init__(self, last):
        self.last, self.count = last, 0

    def __call__(self):
        self.count += 1
        if self.count == self.last:
            os._exit(9)

    def watch(self):
        """Count the writes and requests of this process from now on."""
        writing, exchanged = Journal._writing, FakeCloudService._exchanged

        @contextmanager
        def counted_writing(journal):
            self()
            with writing(journal) as connection:
                yield connection
                self()
            self()

        def counted_request(service, *request):
            self()
            answer = exchanged(service, *request)
            self()
            return answer

        Journal._writing, FakeCloudService._exchanged = counted_writing, counted_request


def script(cloud, folder):
    """Sampled calls of two jobs each, and an exact one: values, what was used, and what a budget says of it."""
    place = {"journal": folder / "jobs.sqlite3", "poll_interval_s": 0.005, "lookup_s": 0.5}
    x = torch.linspace(0, 1, 12).reshape(6, 2)
    with (
        run_scope(f"{folder.parent.name}, {folder.name}"),
        qnn.budget(max_jobs=100) as left,
        _meter.measure() as used,
        torch.no_grad(),
    ):
        split = FakeCloud(cloud.url, cloud.token, max_executions=100, **place)
        sampling = qnn.QuantumLayer(2, 1, seed=3, backend=split, shots=20)
        exact = qnn.QuantumLayer(2, 1, seed=3, backend=FakeCloud(cloud.url, cloud.token, **place))
        values = [layer(x).tolist() for layer in (sampling, sampling, exact)]
    return [values, used.as_dict(), left.used]


def ended(cloud, folder, last=None):
    """What the script says in a process that ends at moment `last`, and how many moments there were; None if it did."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        moments = Moments(last)
        moments.watch()
        torch.set_num_threads(1)
        told = script(cloud, folder)
        os.write(writing, json.dumps([told, moments.count]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return json.loads(told) if told else None


def at_every_moment(cloud, every=1):
    """Moments at which the script was ended and started again, and what is wrong."""
    behave(cloud, latency_s=0.0, seconds_per_job=0.001)
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        alone, n_moments = ended(cloud, whole)
        moments = range(1, n_moments + 1, every)
        for last in moments:
            folder = Path(scratch) / f"ended at {last}"
            folder.mkdir()
            before = sum(cloud.tags().values())
            found = ended(cloud, folder, last) or ended(cloud, folder)  # polls differ: it may come to its end before
            rows = Journal(folder / "jobs.sqlite3").jobs()
            accepted = sum(cloud.tags().values()) - before
            problems = wrong_with(rows, cloud) + ([] if accepted == len(rows) == 5 else [f"{accepted} jobs, not 5"])
            problems += [] if found is not None and found[0] == alone else ["another result"]
            wrong += [f"moment {last}: {problem}" for problem in problems]
    return len(moments), wrong
