"""Running a study: tune, run what is missing, write each result down at once, go on after any interruption.

A group is a (table, task, contestant). Its tuning trials are runs with the first seed, one for each
learning rate; the best by validation accuracy decides the rate for all seeds, and that trial is the
first seed's cell. Trials go to trials.jsonl, cells to records.jsonl; what is in them is not run again.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from qnn._fingerprint import fingerprint
from qnn._meter import is_limited
from qnn.comparison.cell_run import run_cell
from qnn.comparison.engines.crew import hire
from qnn.comparison.engines.engine import Engine
from qnn.comparison.engines.messages import request, response
from qnn.comparison.folder import RunFolder
from qnn.comparison.records import Record, read_records, record_from_dict
from qnn.comparison.study import Cell, Study
from qnn.errors import ArgumentError, EngineError, RecordError, StudyError, TrainingError, WorkerLostWarning

ATTEMPTS = 3  # of a cell whose worker is lost each time; the last loss is an error

Submit = Callable[["Run"], Future[Any]]


_LOCAL = Engine("local")


@dataclass(frozen=True)
class Run:
    """One training: a cell with a learning rate."""

    cell: Cell
    learning_rate: float
    trial: bool

    @property
    def id(self) -> str:
        """Content id."""
        return fingerprint({"cell": self.cell.id, "learning_rate": self.learning_rate})


def run_study(
    study: Study, folder: RunFolder, *, jobs: int | None, progress: bool, engine: Engine = _LOCAL
) -> list[Record]:
    """Run what is missing of `study` in the opened `folder`.

    Args:
        study: what to run.
        folder: opened for this study.
        jobs: workers; None is one for each CPU of the engine, 0 runs in this process. The result does not depend on it.
        progress: show a progress bar on stderr.
        engine: where the workers are. The result does not depend on it.

    Returns:
        The records of all cells in canonical order, as they are in records.jsonl now.

    Raises:
        StudyError: a cell cannot be trained.
        ArgumentError: workers under a budget.
        EngineError: the engine is out of reach, or loses the worker of one cell again and again.
        StorageError: a record could not be written.
        KeyboardInterrupt: on Ctrl-C; the same call goes on.
    """
    if is_limited():
        if jobs not in (None, 0):
            raise ArgumentError(
                f"`jobs` must be 0 under a budget, which other processes do not see; got {jobs}. Leave it out."
            )
        jobs = 0
    _Campaign(study, folder).run(jobs, progress, engine)
    return read_records(folder.records.path)


class _Campaign:
    """The state of one `run_study`: what is done, and what follows from it."""

    def __init__(self, study: Study, folder: RunFolder) -> None:
        self.study, self.folder = study, folder
        self.records = _by_id(folder.records.read(), "cell", folder.records.path)
        self.trials = _by_id(folder.trials.read(), "run", folder.trials.path)
        self.groups = {self._group_id(cell): cell for cell in study.cells() if cell.seed == study.seeds[0]}

    def run(self, jobs: int | None, progress: bool, engine: Engine) -> None:
        """Work until every cell has its record, then put both files in canonical order."""
        ready = deque(run for cell in self._longest_first() for run in self._next_runs(cell))
        missing = self._total() - self._done()
        with tqdm(total=self._total(), initial=self._done(), unit="run", disable=not progress, desc="compare") as bar:
            if ready and jobs == 0:
                self._work_off(ready, lambda run: _run_here(run, self._jobs_of(run)), 1, bar)
            elif ready:
                with hire(engine, jobs, missing) as crew:
                    self._work_off(
                        ready,
                        lambda run: crew.submit(request(run.cell, run.learning_rate, self._jobs_of(run))),
                        crew.slots,
                        bar,
                    )
        self._sort_files()

    def _work_off(self, ready: deque[Run], submit: Submit, slots: int, bar: tqdm) -> None:
        """Run all that is ready and all that becomes ready by it; write down each result as it comes."""
        running: dict[Future, Run] = {}
        lost: Counter[Run] = Counter()
        while ready or running:
            while ready and len(running) < slots:
                run = ready.popleft()
                bar.set_postfix_str(run.cell.label)
                running[submit(run)] = run
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run = running.pop(future)
                if (error := future.exception()) is not None:
                    lost[run] += 1
                    _report_loss(run, lost[run], error)
                    ready.appendleft(run)
                    continue
                self._write(run, _outcome(run, future.result()))
                bar.update()
                if run.trial and not any(
                    other.trial and other.cell == run.cell for other in (*ready, *running.values())
                ):
                    ready.extendleft(reversed(self._next_runs(run.cell)))

    def _next_runs(self, cell: Cell) -> list[Run]:
        """What can be started now for the group whose first cell this is."""
        cells = [self._with_seed(cell, seed) for seed in self.study.seeds]
        if all(other.id in self.records for other in cells):
            return []
        trials = [Run(cell, rate, trial=True) for rate in cell.budget.learning_rates]
        missing = [run for run in trials if run.id not in self.trials]
        if missing:
            return missing
        best = self._best(cell, trials)
        if cell.id not in self.records:
            self._keep(self.trials[best.id]["record"])
        return [Run(other, best.learning_rate, trial=False) for other in cells[1:] if other.id not in self.records]

    def _best(self, cell: Cell, trials: list[Run]) -> Run:
        """The trial with the highest validation accuracy; of equals the lowest loss, then the lowest rate."""

        def rank(run: Run) -> tuple[float, float, float]:
            record = self.trials[run.id]["record"]
            if record is None:
                return (math.inf, math.inf, run.learning_rate)
            return (-record["validation_accuracy"], record["validation_loss"], run.learning_rate)

        best = min(trials, key=rank)
        if self.trials[best.id]["record"] is None:
            raise StudyError(
                f"Every learning rate must not fail; all {len(trials)} failed for {cell.label}: "
                f"{self.trials[best.id]['failure']} Leave the contestant out, or give it smaller learning rates."
            )
        return best

    def _write(self, run: Run, outcome: dict[str, Any] | TrainingError) -> None:
        """Store what a run gave; a trial may fail, a cell may not."""
        failure = str(outcome) if isinstance(outcome, TrainingError) else None
        record = None if isinstance(outcome, TrainingError) else outcome
        if run.trial:
            row = {"run": run.id, "learning_rate": run.learning_rate, "failure": failure, "record": record}
            self.folder.trials.append(row)
            self.trials[run.id] = row
        elif record is None:
            raise StudyError(f"{run.cell.label} must train; it failed: {failure}")
        else:
            self._keep(record)

    def _keep(self, record: dict[str, Any]) -> None:
        self.folder.records.append(record)
        self.records[record["cell"]] = record

    def _sort_files(self) -> None:
        """Canonical order, so that two runs of one study give the same files."""
        cells = self.study.cells()
        trials = [Run(cell, rate, True).id for cell in self.groups.values() for rate in cell.budget.learning_rates]
        self.folder.trials.rewrite(self.trials[name] for name in trials if name in self.trials)
        self.folder.records.rewrite(self.records[cell.id] for cell in cells)

    def _jobs_of(self, run: Run) -> str:
        """The run that a training's jobs at providers belong to: the same when the study goes on in this folder."""
        return f"{self.folder.run_id}/{run.id}"

    def _longest_first(self) -> list[Cell]:
        """Groups in the order in which to start them, so that no long one is left for the end."""
        return sorted(self.groups.values(), key=lambda cell: -_cost(cell))

    def _total(self) -> int:
        """Trainings in the whole study: trials, and one for each further seed."""
        return sum(cell.budget.tuning_trials + len(self.study.seeds) - 1 for cell in self.groups.values())

    def _done(self) -> int:
        seeds = self.study.seeds[1:]
        further = sum(self._with_seed(cell, s).id in self.records for cell in self.groups.values() for s in seeds)
        return min(self._total(), len(self.trials) + further)

    def _with_seed(self, cell: Cell, seed: int) -> Cell:
        table = next(table for table in self.study.tables if table.name == cell.table)
        return self.study.cell(table, cell.task, cell.contestant, seed)

    @staticmethod
    def _group_id(cell: Cell) -> tuple[str, str, str]:
        return cell.table, cell.task, cell.contestant.name


def _run_here(run: Run, jobs: str) -> Future[Any]:
    """Train in this process, now; whatever is wrong with the cell is raised as it is."""
    future: Future[Any] = Future()
    try:
        future.set_result(run_cell(run.cell, run.learning_rate, jobs).as_dict())
    except TrainingError as error:
        future.set_result(error)
    return future


def _outcome(run: Run, answer: Any) -> dict[str, Any] | TrainingError:
    """The record, or the error of a training that diverged; a worker's answer is text."""
    if not isinstance(answer, str):
        return answer
    outcome = response(answer, run.cell.label)
    if isinstance(outcome, dict):
        record_from_dict(outcome, f"the record of {run.cell.label}")
    return outcome


def _report_loss(run: Run, times: int, error: BaseException) -> None:
    """Warn that a run has to be done again; at the last attempt, raise."""
    reason = (str(error).strip() or repr(error)).splitlines()[0][:300]
    if times >= ATTEMPTS:
        raise EngineError(
            f"The worker of a cell must not be lost {ATTEMPTS} times; it was, for {run.cell.label} (last: "
            f"{type(error).__name__}: {reason}). Often that is memory: try fewer jobs. What is done is kept, and the "
            "same call goes on."
        ) from error
    warnings.warn(
        f"A worker was lost while it ran {run.cell.label} ({type(error).__name__}: {reason}); it is run again, "
        f"attempt {times + 1} of {ATTEMPTS}.",
        WorkerLostWarning,
        stacklevel=2,
    )


def _cost(cell: Cell) -> float:
    """A rough measure of the time a cell takes, for the order of starting only."""
    contestant = cell.contestant
    row = 1000.0 if contestant.noise else 100.0 if contestant.sampled else 1.0
    return row * (cell.budget.n_train or 1000) * cell.budget.epochs


def _by_id(rows: list[dict[str, Any]], key: str, path: object) -> dict[str, dict[str, Any]]:
    """Stored rows by their content id, each checked; of two alike the first counts."""
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        where = f'line {number} of "{path}"'
        record = row if key == "cell" else row.get("record", 0) if isinstance(row, dict) else 0
        if record is not None:
            record_from_dict(record, where)
        if key not in row:
            raise RecordError(
                f"{where} must have the field `{key}`; it is missing. Move the file away and run the study again."
            )
        found.setdefault(row[key], row)
    return found
