"""A training at a provider, killed with SIGKILL at random moments and started again each time, beside one left alone.

    python tests/killed_jobs.py --kills 100

The provider is the fake cloud, a process of its own, with latency, a queue, refusals, lost answers, late lists and
failing looks. Each attempt is a process forked from one that has imported everything. Prints one line a case; ends with
1 if weights or history differ in a single bit, or if a job was submitted twice, lost, or computed and not used.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from killed_training import in_child

import qnn
from qnn import fakecloud
from qnn.backends import FakeCloud
from qnn.jobs import Journal
from qnn.training import Checkpoint, fit

FAULTS = {
    "submit_429": 0.05, "submit_503": 0.03, "submit_lost": 0.03, "submit_answer_lost": 0.05, "find_503": 0.05,
    "poll_503": 0.05, "poll_lost": 0.03, "poll_backwards": 0.05, "result_503": 0.05, "result_lost": 0.03,
}  # fmt: skip
#: How the provider behaves, and how the layer is built.
CASES = {
    "shots": ({}, {"shots": 20, "gradient": "parameter-shift"}),
    "shots, three jobs a call, with faults": (FAULTS, {"shots": 20, "gradient": "spsa", "max_executions": 250}),
    "exact, with faults": (FAULTS, {"gradient": "parameter-shift"}),
}
_SERVICE = {"latency_s": 0.002, "seconds_per_job": 0.004, "workers": 2, "tag_lag_s": 0.02}


def training(cloud, case, scratch):
    """A function (case, folder) that trains; the folder holds checkpoint and journal, None is a new one."""

    def train(_, folder=None):
        torch.set_num_threads(1)
        options = dict(CASES[case][1])
        where = Path(tempfile.mkdtemp(dir=scratch)) if folder is None else folder
        backend = FakeCloud(
            cloud.url, cloud.token, journal=where / "jobs.sqlite3", poll_interval_s=0.005, lookup_s=0.1,
            max_executions=options.pop("max_executions", 10**7),
        )  # fmt: skip
        torch.manual_seed(0)
        x = torch.randn(16, 3)
        y = (x[:, 0] * x[:, 1] > 0).long()
        model = torch.nn.Sequential(
            torch.nn.Linear(3, 2), qnn.QuantumLayer(2, 1, seed=3, backend=backend, **options), torch.nn.Linear(2, 2)
        )
        history = fit(
            model, (x, y, x[:6], y[:6]), epochs=3, batch_size=6, learning_rate=0.05, progress=False,
            checkpoint=Checkpoint(where / "checkpoint", every_steps=4),
        )  # fmt: skip
        weights = torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]).numpy().tobytes().hex()
        told = history.as_dict()
        for epoch in told["epochs"]:
            del epoch["wall_s"]
        return {"weights": weights, "history": told}

    return train


def jobs_of(folder, cloud):
    """What is wrong with the jobs of a run that ended: submitted twice, lost, or unknown; and how many there were."""
    rows = Journal(folder / "jobs.sqlite3").jobs()
    accepted = cloud.tags()
    wrong = [f"{job.tag} is {job.state}" for job in rows if job.state != "done"]
    wrong += [f"{job.tag} was accepted {accepted.get(job.tag, 0)} times" for job in rows if accepted.get(job.tag) != 1]
    return wrong, len(rows)


def torture(case, kills, seed=0, **service):
    """Kill runs of a case `kills` times: kills, how many after the first job, jobs, what is wrong."""
    moments, done, within, attempts, checked, wrong = random.Random(seed), 0, 0, 0, 0, []
    faults = CASES[case][0]
    with (
        tempfile.TemporaryDirectory() as scratch,
        fakecloud.start(**{**_SERVICE, **service}, seed=seed, faults=faults) as cloud,
    ):
        train = training(cloud, case, scratch)
        qnn.QuantumLayer(2, 1, backend=FakeCloud(cloud.url, cloud.token)).explain()  # compiled once, before any fork
        result, whole = Path(scratch) / "whole.json", Path(scratch) / "whole"
        in_child(case, None, result, train=train)  # the service compiles its kernels
        before = sum(cloud.tags().values())
        whole.mkdir()
        _, took = in_child(case, whole, result, train=train)
        alone = json.loads(result.read_text())
        problems, n_jobs = jobs_of(whole, cloud)
        wrong += problems
        assert alone["history"]["usage"]["jobs"] == n_jobs, "the history counts other jobs than the journal"
        known = before + n_jobs
        while done < kills:
            folder, result = Path(scratch) / f"run{attempts}", Path(scratch) / f"run{attempts}.json"
            folder.mkdir()
            finished = False
            while not finished:
                attempts += 1
                limit = moments.uniform(0, 0.6 * took) if done < kills else None
                finished, _ = in_child(case, folder, result, limit, train=train)
                done += not finished
                within += not finished and (folder / "jobs.sqlite3").exists()
            if json.loads(result.read_text()) != alone:
                wrong.append(f"run {attempts} differs")
            problems, again = jobs_of(folder, cloud)
            wrong += problems + ([f"{again} jobs instead of {n_jobs}"] if again != n_jobs else [])
            known += again
            checked += 1
        accepted = Counter(cloud.tags())
        if accepted.total() != known:
            wrong.append(f"the provider has {accepted.total()} jobs, the journals know {known}")
    return done, within, known, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    share, failed, late = -(-arguments.kills // len(CASES)), False, 0
    for case in CASES:
        done, within, jobs, wrong = torture(case, share, arguments.seed)
        told = f"killed {done} times, {within} of them after the first job; {jobs} jobs, each submitted once"
        print(f"{case}: {wrong if wrong else told}", flush=True)
        failed |= bool(wrong)
        late += within
    return int(failed or 2 * late < arguments.kills)


if __name__ == "__main__":
    sys.exit(main())
