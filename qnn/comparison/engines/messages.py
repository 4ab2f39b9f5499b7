"""What travels between the process that runs a study and a worker: JSON text, both ways, and nothing else.

A worker gets the description of a cell and a learning rate; it must have qnn, of the same version. Back come a
record, or the error of a training that diverged, or any other error by class and message.
"""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import asdict
from typing import Any

import qnn
from qnn import errors
from qnn._worker_process import ONE_THREAD
from qnn.comparison.study import Cell
from qnn.errors import StudyError, TrainingError


def request(cell: Cell, learning_rate: float, run: str | None = None) -> str:
    """What a worker is sent; `run` is the run that its jobs at providers belong to."""
    wanted = {"qnn": qnn.__version__, "cell": asdict(cell), "learning_rate": learning_rate, "run": run}
    return json.dumps(wanted)


def serve(text: str) -> str:
    """In a worker: run what was requested, with one thread, and answer. An error of the cell is an answer, too."""
    try:
        answer = _serve(json.loads(text))
    except TrainingError as error:
        answer = {"diverged": str(error)}
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
    return json.dumps(answer)


def response(text: str, label: str) -> dict[str, Any] | TrainingError:
    """The record that a worker answered with, or the error of a training that diverged.

    Args:
        text: the answer.
        label: of the cell, for errors.

    Raises:
        QnnError: what the worker raised, if it was one of ours.
        StudyError: it raised anything else.
    """
    answer = json.loads(text)
    if "record" in answer:
        record: dict[str, Any] = answer["record"]
        return record
    if "diverged" in answer:
        return TrainingError(answer["diverged"])
    known = getattr(errors, answer["error"], None)
    if isinstance(known, type) and issubclass(known, errors.QnnError):
        error: Exception = known(answer["message"])
    else:
        error = StudyError(f"{label} must train; it failed: {answer['error']}: {answer['message']}")
    error.add_note(f"In the worker:\n{answer['traceback']}")
    raise error


def _serve(wanted: dict[str, Any]) -> dict[str, Any]:
    if wanted["qnn"] != qnn.__version__:
        raise StudyError(
            f"A worker must have the same qnn as the process that runs the study, {wanted['qnn']}; it has "
            f"{qnn.__version__}. Install the same on both."
        )
    os.environ.update(ONE_THREAD)  # for libraries that are loaded only now
    from threadpoolctl import threadpool_limits

    from qnn.comparison.cell_run import run_cell

    with threadpool_limits(1):  # and of those that were there before
        cell = Cell.from_dict(wanted["cell"])
        return {"record": run_cell(cell, wanted["learning_rate"], wanted.get("run")).as_dict()}
