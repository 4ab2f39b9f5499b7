"""Running one cell: build, train, measure, and make the record. Works in any process, depends on no other cell."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qnn._run import run_scope
from qnn.baselines import count_weights
from qnn.comparison.budget import Budget
from qnn.comparison.contestants import build_model, count_quantum_weights
from qnn.comparison.measure import PeakMemory, device_name, training_device, versions
from qnn.comparison.records import CURVES, Record
from qnn.comparison.study import Cell
from qnn.layers import QuantumLayer
from qnn.tasks import TaskData, load_task
from qnn.training import FitConfig, evaluate, fit


def run_cell(cell: Cell, learning_rate: float, run: str | None = None) -> Record:
    """Train and test one contestant.

    Everything but `measured` is a function of the arguments alone.

    Args:
        cell: what to run.
        learning_rate: one of the grid of the cell's budget.
        run: id of the run that its jobs at providers belong to, so that a cell which is run again finds those it paid
            for; None draws one.

    Raises:
        TrainingError: the loss is not finite.
    """
    task = load_cell_task(cell)
    with run_scope(run), _one_thread():
        model = build_model(cell.contestant, task, cell.seed)
        device = torch.device(training_device(cell.contestant.quantum))
        model.to(device)
        config = _config(cell, learning_rate, device)
        with run_scope():  # which calibrates for itself: the training counts its own
            _warm_up(model, task, config)
        memory, started = PeakMemory(device), time.perf_counter()
        history = fit(model, task, config)
        wall_s, peak = time.perf_counter() - started, memory.read()
        epochs = cell.budget.epochs  # evaluations in training are numbered 1 to epochs
        test = evaluate(model, task.test, seed=epochs + 1)
        train = evaluate(model, task.train, seed=epochs + 2)
        validation = evaluate(model, task.validation, seed=epochs + 3)
    correct = (test.predictions.cpu() == task.test.y.cpu()).tolist()
    contestant, budget = cell.contestant, cell.budget
    return Record(
        cell=cell.id,
        table=cell.table,
        task=cell.task,
        model=contestant.name,
        backend=contestant.backend,
        shots=contestant.shots,
        noise=contestant.noise,
        mitigation=contestant.mitigation,
        gradient=contestant.gradient,
        seed=cell.seed,
        split_seed=cell.split_seed,
        shuffle_labels=cell.shuffle_labels,
        n_train=len(task.train),
        n_validation=len(task.validation),
        n_test=len(task.test),
        n_classes=task.n_classes,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=learning_rate,
        tuning_trials=budget.tuning_trials,
        steps=history.steps,
        best_epoch=history.best_epoch or 0,
        test_accuracy=sum(correct) / len(correct),
        train_accuracy=float(train.accuracy or 0.0),
        validation_accuracy=float(validation.accuracy or 0.0),
        chance_accuracy=_chance_accuracy(task),
        test_loss=float(test.loss),
        validation_loss=float(validation.loss),
        n_weights=count_weights(model),
        n_quantum_weights=count_quantum_weights(model),
        circuits=history.usage.circuits,
        total_shots=history.usage.shots,
        jobs=history.usage.jobs,
        test_correct="".join("01"[right] for right in correct),
        curves={name: [float(epoch[name]) for epoch in history.epochs] for name in CURVES},
        measured={
            "device": device_name(device),
            "wall_s": wall_s,
            "peak_memory_bytes": peak,
            "versions": dict(versions()),
        },
    )


def load_cell_task(cell: Cell) -> TaskData:
    """The rows of a cell: its split, its reduced training part, its labels shuffled or not."""
    task = load_task(cell.task, seed=cell.split_seed, shuffle_labels=cell.shuffle_labels)
    wanted = cell.budget.n_train
    if wanted is None or wanted >= len(task.train):
        return task
    return load_task(cell.task, n_train=wanted, seed=cell.split_seed, shuffle_labels=cell.shuffle_labels)


def _chance_accuracy(task: TaskData) -> float:
    """Test accuracy of always answering the most frequent training label."""
    favourite = int(torch.bincount(task.train.y).argmax())
    return (task.test.y == favourite).sum().item() / len(task.test)


def _config(cell: Cell, learning_rate: float, device: torch.device) -> FitConfig:
    budget: Budget = cell.budget
    return FitConfig(
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        optimizer=budget.optimizer,
        learning_rate=learning_rate,
        seed=cell.seed,
        restore_best=True,
        progress=False,
        device=device.type,
    )


def _warm_up(model: torch.nn.Module, task: TaskData, config: FitConfig) -> None:
    """Train a copy on two rows, so that compilers and late imports are not counted as training.

    Not where that would be a job that somebody pays for.
    """
    if any(layer.backend.capabilities.remote for layer in model.modules() if isinstance(layer, QuantumLayer)):
        return
    rows = task.train.x[:2], task.train.y[:2]
    fit(copy.deepcopy(model), (*rows, *rows), config, epochs=1, one_class=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: the order of sums, and so the result, does not depend on the machine's load or on --jobs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
