"""`qnn jobs`: what was submitted to providers, and what became of it."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from qnn.errors import ArgumentError, QnnError

if TYPE_CHECKING:
    from qnn.jobs import JobRecord, Journal

_DAY_S = 86400.0
_SHORT = 10  # digits of an id in a list
_COLUMNS = ("id", "state", "backend", "remote_id", "run", "step", "n_circuits", "shots", "seconds", "prepared_at")
_LONGEST = 28  # characters of a cell
_FORMATS = ("csv", "jsonl")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `jobs` to the command line."""
    parser = subparsers.add_parser(
        "jobs",
        help="list, await, cancel or export the jobs that were submitted to providers",
        description="What was submitted to providers, and what became of it, from the journal of jobs.",
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    list_ = _action(actions, "list", _list, "show jobs, oldest first")
    list_.add_argument("--json", action="store_true", help="print JSON")
    show = _action(actions, "show", _show, "show all that is known of some jobs", wants_ids=True)
    show.add_argument("--json", action="store_true", help="print JSON")
    wait = _action(actions, "wait", _wait, "wait for jobs under way, and keep their results")
    wait.add_argument("--timeout-s", type=float, metavar="S", help="seconds to wait (default: as long as it takes)")
    cancel = _action(actions, "cancel", _cancel, "cancel jobs that have not ended")
    cancel.add_argument(
        "--forget",
        action="store_true",
        help="do not ask the provider; a run that goes on submits them anew, and they may be paid for twice",
    )
    export = _action(actions, "export", _export, "write jobs as a table")
    export.add_argument("--format", choices=_FORMATS, help="default: by the name of the file, else csv")
    export.add_argument("--out", type=Path, metavar="FILE", help="write a file instead of to the terminal")
    prune = _action(
        actions, "prune", _prune, "forget jobs that have ended; a run that goes on pays again for those it needs"
    )
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="only those that ended so long ago")
    prune.add_argument("--results-only", action="store_true", help="keep the rows, forget the results")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    from qnn.jobs import Journal

    journal = Journal(arguments.journal)
    if arguments.journal is not None and not arguments.journal.exists():  # of a folder the journal itself tells
        raise ArgumentError(f'`--journal` must be a journal; there is no file "{arguments.journal}". Check the path.')
    code: int = arguments.perform(arguments, journal, _chosen(arguments, journal))
    return code


def _action(
    actions: argparse._SubParsersAction, name: str, perform: Any, summary: str, wants_ids: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("ids", nargs="+" if wants_ids else "*", metavar="ID", help="ids, or how they begin")
    parser.add_argument(
        "--run", dest="of_run", metavar="RUN", help="only jobs of this run, or of those whose id begins so"
    )
    parser.add_argument("--state", action="append", metavar="STATE", help="only jobs in this state; may be repeated")
    parser.add_argument("--backend", metavar="NAME", help="only jobs of this backend, or of those whose name begins so")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="the journal (default: $QNN_JOURNAL, or the user's)"
    )
    parser.set_defaults(perform=perform)
    return parser


def _chosen(arguments: argparse.Namespace, journal: Journal) -> list[JobRecord]:
    """The jobs that the arguments name.

    Raises:
        ArgumentError: an id that no job has, or no such state.
    """
    from qnn.errors import unknown_name
    from qnn.jobs import STATES

    for state in arguments.state or ():
        if state not in STATES:
            raise unknown_name("state", state, STATES)
    for option, given in (("--run", arguments.of_run), ("--backend", arguments.backend)):
        if given == "":
            raise ArgumentError(f'`{option}` must be how something begins; got "". Leave it out for all jobs.')
    found = journal.jobs(
        id=arguments.ids or None, run=arguments.of_run, state=arguments.state, backend=arguments.backend
    )
    for name in arguments.ids:
        if not name:
            raise ArgumentError('`ID` must be the id of a job, or how it begins; got "". See `qnn jobs list`.')
        if not any(job.id.startswith(name) for job in found):
            raise ArgumentError(
                f'`ID` must be the id of a job, or how it begins; no job in "{journal.path}" begins with "{name}" and '
                "fits the other options. See `qnn jobs list`."
            )
    return found


def _list(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    if arguments.json:
        print(json.dumps([job.as_dict() for job in jobs], indent=2))
        return 0
    if not jobs:
        print(f'No such jobs in "{journal.path}".')
        return 0
    rows = [[_cell(name, getattr(job, name)) for name in _COLUMNS] for job in jobs]
    heads = ["id", "state", "backend", "provider's id", "run", "step", "circuits", "shots", "est. s", "prepared (UTC)"]
    print(_table(heads, rows))
    counts = {state: sum(job.state == state for job in jobs) for state in dict.fromkeys(job.state for job in jobs)}
    print(
        f"\n{len(jobs)} jobs ({', '.join(f'{n} {state}' for state, n in counts.items())}), "
        f"{sum(job.n_circuits for job in jobs):,} circuits, {sum(job.shots for job in jobs):,} shots"
    )
    return 0


def _show(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    if arguments.json:
        print(json.dumps([job.as_dict() for job in jobs], indent=2))
        return 0
    for job in jobs:
        facts = job.as_dict()
        if job.state == "done":
            result = journal.result(job)
            facts["result"] = "not kept" if result is None else ", ".join(f"{a.dtype} {a.shape}" for a in result)
        width = max(map(len, facts))
        shown = [(name, _moment(v) if name.endswith("_at") and v is not None else v) for name, v in facts.items()]
        print("\n".join(f"{name:<{width}}  {'' if v is None else v}".rstrip() for name, v in shown), end="\n\n")
    return 0


def _wait(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    from qnn.jobs import await_job

    under_way = [job for job in jobs if job.state in ("prepared", "submitted")]
    until = None if arguments.timeout_s is None else monotonic() + arguments.timeout_s

    def fetch(job: JobRecord) -> JobRecord:
        left = None if until is None else max(0.01, until - monotonic())
        return await_job(journal, job, _service(job), timeout_s=left)

    code = _each(under_way, fetch)
    print(f"{len(under_way)} jobs were under way.")
    return code


def _cancel(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    from qnn.jobs import give_up

    if not _narrowed(arguments):
        raise ArgumentError("`ID` must be given to cancel; got none. Name jobs, or give --run, --state or --backend.")
    under_way = [job for job in jobs if job.state in ("prepared", "submitted")]
    code = _each(under_way, lambda job: give_up(journal, job, None if arguments.forget else _service(job)))
    if not under_way:
        print("None of these jobs was under way." if jobs else f'No such jobs in "{journal.path}".')
    return code


def _narrowed(arguments: argparse.Namespace) -> bool:
    """Whether the arguments name some jobs."""
    return bool(arguments.ids or arguments.of_run or arguments.state or arguments.backend)


def _each(jobs: Sequence[JobRecord], action: Callable[[JobRecord], JobRecord]) -> int:
    """Do it with every job and say what became of it; 2 where one of them failed."""
    code = 0
    for job in jobs:
        try:
            ended = action(job)
            print(f"{ended.id[:_SHORT]}  {ended.state}" + (f"  {ended.error}" if ended.error else ""))
        except QnnError as error:
            print(f"{job.id[:_SHORT]}  {error}", file=sys.stderr)
            code = 2
    return code


def _export(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    from qnn._files import write_atomic

    if arguments.out is not None and arguments.out.is_dir():
        raise ArgumentError(
            f'`--out` must be a file; got the folder "{arguments.out}". Write {arguments.out / "jobs.csv"}.'
        )
    kind = arguments.format or _format_of(arguments.out)
    text = _as_csv(jobs) if kind == "csv" else "".join(json.dumps(job.as_dict()) + "\n" for job in jobs)
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        print(f'{len(jobs)} jobs in "{write_atomic(arguments.out, text)}"')
    return 0


def _format_of(out: Path | None) -> str:
    """The format that a file's name asks for; of the terminal, and of a name without an ending, the first.

    Raises:
        ArgumentError: another ending.
    """
    ending = "" if out is None else out.suffix.lstrip(".").lower()
    if ending and ending not in _FORMATS:
        raise ArgumentError(
            f'`--out` must end in .{" or .".join(_FORMATS)}, or come with --format; got "{out}". '
            f"Write {Path(str(out)).with_suffix('.csv')}."
        )
    return ending or _FORMATS[0]


def _prune(arguments: argparse.Namespace, journal: Journal, jobs: list[JobRecord]) -> int:
    if arguments.older_than is None and not _narrowed(arguments):
        raise ArgumentError(
            "`ID` or `--older-than` must be given to prune, since runs that go on need results of jobs that have "
            "ended; got none. Use --older-than 30, or --run, --state or --backend."
        )
    if arguments.older_than is not None:
        if not arguments.older_than >= 0:
            raise ArgumentError(f"`--older-than` must be days from 0 up; got {arguments.older_than}. Use 30.")
        limit = datetime.now(UTC).timestamp() - arguments.older_than * _DAY_S
        jobs = [job for job in jobs if job.finished_at is not None and job.finished_at < limit]
    what = "results" if arguments.results_only else "jobs"
    print(f"{journal.prune(jobs, results_only=arguments.results_only)} {what} forgotten.")
    return 0


def _service(job: JobRecord) -> Any:
    """The way to the job's provider.

    Raises:
        ArgumentError: the journal does not know how its backend was made.
    """
    from qnn.backends.registry import from_specification

    service = None if job.specification is None else from_specification(json.loads(job.specification)).service()
    if service is None:
        raise ArgumentError(
            f"`ID` must be a job of a backend that is given by plain options; job {job.id[:_SHORT]} of "
            f'"{job.backend}" is not. Start its run again in Python.'
        )
    return service


def _as_csv(jobs: Sequence[JobRecord]) -> str:
    from dataclasses import fields

    from qnn.jobs import JobRecord

    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(JobRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(job.as_dict() for job in jobs)
    return text.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "id":
        return str(value)[:_SHORT]
    if name == "step" and value < 0:  # evaluations, calibrations, work outside a training
        return "-"
    if name.endswith("_at"):
        return _moment(value)
    if isinstance(value, float):
        return f"{value:,.3g}"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    right = {"step", "circuits", "shots", "est. s"}
    return "\n".join(
        "  ".join(
            c.rjust(w) if h in right else c.ljust(w) for c, w, h in zip(line, widths, heads, strict=True)
        ).rstrip()
        for line in (heads, *rows)
    )
