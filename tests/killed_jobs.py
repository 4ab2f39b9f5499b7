"""A training at a provider, killed with SIGKILL at random moments and started again each time, beside one left alone.

    python tests/killed_jobs.py --kills 100

The provider is the fake cloud, a process of its own, with latency, a queue, refusals, lost answers, late lists and
failing looks. It and each attempt are processes forked from one that has imported everything; requests that fail for
now are repeated sooner than elsewhere. Prints one line a case; ends with 1 if weights or history differ in a single
bit, or if a job was submitted twice, lost, or computed and not used.
"""

import argparse
import json
import random
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import torch
from forked_cloud import behave, provider, wrong_with
from killed_call import at_every_moment
from killed_training import in_child

import qnn
from qnn.backends import FakeCloud
from qnn.errors import ChangedRunWarning
from qnn.jobs import Journal, retrying
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
BEGIN, END = "<!-- torture -->", "<!-- /torture -->"
retrying._FIRST_PAUSE_S = 0.05


def training(cloud, case, scratch, journal=None):
    """A function (case, folder) that trains; the folder holds checkpoint and journal, None is a new one.

    A journal that is given is used by all.
    """

    def train(_, folder=None):
        torch.set_num_threads(1)
        warnings.simplefilter("error", ChangedRunWarning)  # nothing has changed
        options = dict(CASES[case][1])
        where = Path(tempfile.mkdtemp(dir=scratch)) if folder is None else folder
        backend = FakeCloud(
            cloud.url, cloud.token, journal=journal or where / "jobs.sqlite3", poll_interval_s=0.005, lookup_s=0.5,
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
    """What is wrong with the jobs of a run that ended, and how many there were."""
    rows = Journal(folder / "jobs.sqlite3").jobs()
    return wrong_with(rows, cloud), len(rows)


def torture(cloud, case, kills, seed=0):
    """Kill runs of a case `kills` times: kills, how many after the first job, jobs, what is wrong."""
    moments, done, within, attempts, checked, wrong = random.Random(seed), 0, 0, 0, 0, []
    behave(cloud)
    with tempfile.TemporaryDirectory() as scratch:
        train = training(cloud, case, scratch)
        result, whole = Path(scratch) / "whole.json", Path(scratch) / "whole"
        in_child(case, None, result, train=train)  # the service compiles its kernels
        behave(cloud, seed, CASES[case][0])
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
                within += not finished and any(job.remote_id for job in Journal(folder / "jobs.sqlite3").jobs())
            if json.loads(result.read_text()) != alone:
                wrong.append(f"run {attempts} differs")
            problems, again = jobs_of(folder, cloud)
            wrong += problems + ([f"{again} jobs instead of {n_jobs}"] if again != n_jobs else [])
            known += again
            checked += 1
        accepted = Counter(cloud.tags())
        if accepted.total() != known:
            wrong.append(f"the provider has {accepted.total()} jobs, the journals know {known}")
    return done, within, known - before, wrong


def two_at_once(cloud, kills, seed=0):
    """Two different trainings in two processes on one journal, killed in turns: kills, jobs, what is wrong."""
    cases, moments, done, wrong = list(CASES)[:2], random.Random(seed), 0, []
    behave(cloud, seed, FAULTS)
    with tempfile.TemporaryDirectory() as scratch:
        alone = {}
        for case in cases:
            result = Path(scratch) / "alone.json"
            in_child(case, None, result, train=training(cloud, case, scratch))
            alone[case] = json.loads(result.read_text())
        before = sum(cloud.tags().values())
        journal = Path(scratch) / "shared.sqlite3"
        left = {case: Path(scratch) / f"run {number}" for number, case in enumerate(cases)}
        for folder in left.values():
            folder.mkdir()
        while left:
            limit = moments.uniform(0.1, 0.5) if done < kills else None
            with ThreadPoolExecutor(2) as pool:  # each waits for a child of its own
                ended = {
                    case: pool.submit(
                        in_child, case, folder, folder / "result.json", limit,
                        train=training(cloud, case, scratch, journal),
                    )
                    for case, folder in left.items()
                }  # fmt: skip
            done += sum(not future.result()[0] for future in ended.values())
            for case in [case for case, future in ended.items() if future.result()[0]]:
                told = json.loads((left.pop(case) / "result.json").read_text())
                wrong += [] if told == alone[case] else [f"{case} differs"]
        rows = Journal(journal).jobs()
        wrong += wrong_with(rows, cloud)
        accepted = sum(cloud.tags().values()) - before
        if accepted != len(rows) or len({job.run for job in rows}) != 2:
            wrong.append(f"{accepted} jobs at the provider, {len(rows)} in the journal")
    return done, len(rows), wrong


def down(cloud, seconds):
    """A provider that is away for a while in the middle of a training: what is wrong."""
    case, wrong = next(iter(CASES)), []
    behave(cloud)
    with tempfile.TemporaryDirectory() as scratch:
        train, result = training(cloud, case, scratch), Path(scratch) / "result.json"
        in_child(case, None, result, train=train)
        alone, folder = json.loads(result.read_text()), Path(scratch) / "run"
        folder.mkdir()
        away = Timer(0.15, lambda: cloud.set(down_s=float(seconds), outage="closed"))
        away.start()
        _, took = in_child(case, folder, result, train=train)
        away.join()
        wrong += [] if json.loads(result.read_text()) == alone else ["it differs"]
        wrong += jobs_of(folder, cloud)[0]
        wrong += [] if took > seconds else [f"it took {took:.1f} s"]
    return wrong


def main(words=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="a document whose block of results is replaced")
    parser.add_argument("--down-s", type=float, default=60.0, help="how long the provider is away")
    arguments = parser.parse_args(words)
    lines = []

    def tell(line):
        print(line, flush=True)
        lines.append(line)

    qnn.QuantumLayer(2, 1).explain()  # compiled once, before any fork
    share, failed, late = -(-arguments.kills // len(CASES)), False, 0
    with provider() as cloud:
        for case in CASES:
            done, within, jobs, wrong = torture(cloud, case, share, arguments.seed)
            told = f"killed {done} times, {within} of them after the first job; {jobs} jobs, each submitted once"
            tell(f"{case}: {wrong if wrong else told}")
            failed |= bool(wrong)
            late += within
        done, jobs, wrong = two_at_once(cloud, max(2, share // 2), arguments.seed)
        tell(f"two trainings on one journal: {wrong or f'killed {done} times; {jobs} jobs, each submitted once'}")
        moments, cut_off = at_every_moment(cloud, every=max(1, 80 // arguments.kills))
        tell(
            f"one script, ended at {moments} of its writes and requests: {cut_off or 'the same results, each job once'}"
        )
        wrong_when_down = down(cloud, arguments.down_s)
        tell(f"provider away for {arguments.down_s:g} s: {wrong_when_down or 'the same weights and jobs'}")
    if arguments.write:
        text = arguments.write.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        told = "\n".join(lines)
        arguments.write.write_text(f"{before}{BEGIN}\n```text\n{told}\n```\n{END}{after}")
    return int(failed or 2 * late < arguments.kills or bool(wrong or cut_off or wrong_when_down))


if __name__ == "__main__":
    sys.exit(main())
