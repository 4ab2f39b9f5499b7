"""The fake cloud in a process forked from the test's own, and what to ask of it in the end."""

import os
import signal
from contextlib import contextmanager

from qnn import _worker_process
from qnn.fakecloud import Admin
from qnn.fakecloud.requests import Cloud
from qnn.fakecloud.server import Server
from qnn.fakecloud.settings import Settings
from qnn.fakecloud.store import Store

_SERVICE = {"latency_s": 0.002, "seconds_per_job": 0.004, "workers": 2, "tag_lag_s": 0.02}
_TOKEN = "only-for-this-test"


@contextmanager
def provider():
    """The fake cloud in a forked process, which has loaded the simulator already."""
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _worker_process.prepare(parent)
        server = Server(Cloud(Settings(), {}, Store(None)), _TOKEN, 0)
        os.write(writing, server.url.encode())
        os.close(writing)
        server.serve_forever(poll_interval=0.1)
    os.close(writing)
    try:
        with open(reading) as told:
            yield Admin(told.read(), _TOKEN)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def behave(cloud, seed=0, faults=None, **changes):
    """Settings and faults for the next case; faults begin anew."""
    cloud.set(faults=None)
    cloud.set(**{**_SERVICE, "seed": seed, "down_s": 0.0, **changes}, faults=faults or {})


def wrong_with(rows, cloud):
    """Which jobs were submitted twice, lost, or are unknown at the end."""
    known = cloud.tags()
    accepted = {row.tag: known.get(row.tag, 0) for row in rows}
    twice = [f"{tag} was accepted {n} times: {requests_for(tag, cloud)}" for tag, n in accepted.items() if n != 1]
    return [f"{job.tag} is {job.state}" for job in rows if job.state != "done"] + twice


def requests_for(tag, cloud):
    """What the provider was asked about a tag, and what it answered."""
    asked = [line for line in cloud.log() if line["tag"] == tag]
    return [f"{line['at'] - asked[0]['at']:.3f} s {line['method']} {line['status']} {line['fault']}" for line in asked]
