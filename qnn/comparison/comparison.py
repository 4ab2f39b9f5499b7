"""`qnn.compare`: from options to a finished study, its verdict, its pictures and its report."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn.comparison.define import define_study
from qnn.comparison.engines.engine import Engine
from qnn.comparison.folder import RunFolder
from qnn.comparison.records import Record, read_records
from qnn.comparison.report import Report
from qnn.comparison.runner import run_study
from qnn.comparison.study import Study
from qnn.comparison.verdict import Verdict
from qnn.errors import ArgumentError, unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Comparison:
    """A finished study. In a notebook it shows itself as its report.

    Attributes:
        study: what was compared.
        records: one for every cell, in canonical order.
        out: the run folder.
    """

    def __init__(self, study: Study, records: Sequence[Record], out: str | Path) -> None:
        self.study, self.records, self.out = study, list(records), Path(out)
        self._report = Report(study, records, out)

    @classmethod
    def load(cls, out: str | Path) -> Comparison:
        """The study that a run folder holds, read from its files.

        Raises:
            MissingDependencyError: the engine, or a contestant, needs a package that is not installed.
        EngineError: the engine is out of reach, or loses the worker of one cell again and again.
        StudyError: the folder holds no study, or one that is not finished.
            RecordError: a record cannot be read.
        """
        folder = RunFolder(out)
        study = folder.read_study()
        return cls(study, folder.finished(study, read_records(folder.records.path)), out)

    @property
    def verdict(self) -> str:
        """The verdict of the first table, one sentence a task."""
        return self._report.headline

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdict of every table and task."""
        return self._report.verdicts

    @property
    def figures(self) -> dict[str, Figure]:
        """Matplotlib figures: "accuracy", "curves", "cost"."""
        return self._report.figures

    def table(self) -> str:
        """The tables as Markdown."""
        return self._report.markdown()

    def write(self) -> None:
        """Write table.md, the pictures and report.html into the run folder.

        Raises:
            StorageError: a file could not be written.
        """
        self._report.write(self.out)

    def __repr__(self) -> str:
        return f"Comparison({str(self.out)!r}, {len(self.records)} records): {self.verdict}"

    def _repr_html_(self) -> str:
        return self._report.embedded()


def compare(
    task: str | Sequence[str] = "digits",
    models: str | Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    engine: str = "local",
    progress: bool = True,
    **options: Any,
) -> Comparison:
    """Train quantum and classical models on equal budgets and say which is better, with intervals.

    Results are stored as they come: after Ctrl-C, a crash or a full disk the same call goes on where
    it stopped. Nothing but `measured` blocks depends on `jobs` and `engine`, or differs between two runs. A worker
    that is lost costs a warning: its cell is run again, three times at most.

    Args:
        task: names of tasks (see `qnn.tasks.list_tasks`), a list or comma-separated.
        models: names of contestants, a list or comma-separated: "hybrid@statevector", "hybrid@aer" (shots),
            "hybrid@aer+fake_manila" (shots and a device's noise), "logistic", "mlp", "mlp-matched", "cnn".
            None compares all of these. The first quantum one is what the verdict is about; it is compared with
            "mlp-matched", or else with the first classical one.
        out: the run folder; None is "runs/TASKS-ID" with the study's content id.
        jobs: workers, each with one thread; None is one per CPU core of the engine, 0 runs in this process.
        engine: where the workers are: "local" (processes), "ray" or "ray://host:10001", "spark" or "spark://host:7077",
            "dask" or "dask://host:8786" (untested). Without an address, the cluster that this process is connected to,
            or else (Ray, Spark) one on this machine. See docs/engines.md.
        progress: show a progress bar on stderr.
        **options: of the study, see `define_study`: seeds (how many), epochs, reduced_epochs, batch_size,
            reduced_batch_size, n_train, reduced_train, shots (of all hybrids that can sample, but
            "hybrid@statevector"), mitigation (of errors of all that have shots or noise), tuning_trials, n_qubits,
            n_layers, split_seed, shuffle_labels.

    Returns:
        The finished comparison; its files are in the run folder.

    Raises:
        ArgumentError, UnknownNameError: an option cannot be used.
        MissingDependencyError: the engine, or a contestant, needs a package that is not installed.
        EngineError: the engine is out of reach, or loses the worker of one cell again and again.
        StudyError: the folder holds another study, or a contestant cannot be trained.
        StorageError: a file could not be written.

    Cost:
        (tuning trials + seeds - 1) trainings for each contestant, task and table.
    """
    if jobs is not None and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 0):
        raise ArgumentError(
            f"`jobs` must be a number of processes, 0 or more; got {jobs!r}. Leave it out for one per core."
        )
    where = Engine.parse(engine)
    if jobs == 0 and where.kind != "local":
        raise ArgumentError(f'`jobs` must be 1 or more with engine="{where}"; got 0. Leave it out for all CPUs there.')
    _check_known(options)
    study = define_study(task, models, **options)
    path = Path(out) if out is not None else default_out(study)
    with RunFolder(path).open(study) as folder:
        records = run_study(study, folder, jobs=jobs, progress=progress, engine=where)
        comparison = Comparison(study, records, path)
        comparison.write()
    return comparison


def _check_known(options: dict[str, Any]) -> None:
    """Refuse options that a comparison does not have."""
    known = [*inspect.signature(define_study).parameters, *inspect.signature(compare).parameters]
    known.remove("options")
    for name in options:
        if name not in known:
            raise unknown_name("option of a comparison", name, set(known))


def default_out(study: Study) -> Path:
    """The run folder of a study that was given none: the same study finds it again."""
    return Path("runs") / f"{'-'.join(study.tasks)}-{study.id[:8]}"
