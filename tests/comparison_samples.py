"""Studies and records made by hand, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qnn.comparison.budget import Budget
from qnn.comparison.records import CURVES, Record
from qnn.comparison.study import Cell, Contestant, Study, Table

CONTESTANTS = {
    "hybrid@statevector": Contestant("hybrid@statevector", "hybrid", "statevector", None, None, "auto", 4, 3),
    "hybrid@aer": Contestant("hybrid@aer", "hybrid", "aer", None, 1024, "parameter-shift", 4, 3),
    "mlp-matched": Contestant("mlp-matched", "classical", n_qubits=4, n_layers=3),
    "mlp": Contestant("mlp", "classical"),
    "logistic": Contestant("logistic", "classical"),
}
BUDGET = Budget(n_train=100, epochs=4, batch_size=32, learning_rates=(0.003, 0.01))


def make_study(
    names: tuple[str, ...] = ("hybrid@statevector", "mlp-matched", "mlp"),
    *,
    n_seeds: int = 3,
    tasks: tuple[str, ...] = ("digits",),
    tables: tuple[str, ...] = ("full data",),
    shuffle_labels: bool = False,
) -> Study:
    contestants = tuple(CONTESTANTS[name] for name in names)
    quantum = next((c.name for c in contestants if c.quantum), None)
    classical = next((c.name for c in contestants if not c.quantum), None)
    made = tuple(Table(name, contestants, BUDGET, quantum, classical) for name in tables)
    return Study(tasks, made, tuple(range(n_seeds)), 0, shuffle_labels, "qnn compare --task digits")


def make_records(study: Study, accuracies: Mapping[str, float], *, n_test: int = 360, seed: int = 0) -> list[Record]:
    """Records whose test rows are right by chance, with a difficulty of each row that all contestants share."""
    generator = np.random.default_rng(seed)
    difficulty = {task: generator.random(n_test) for task in study.tasks}
    records = []
    for cell in study.cells():
        drawn = 0.7 * difficulty[cell.task] + 0.3 * generator.random(n_test)
        right = drawn < np.quantile(drawn, accuracies[cell.contestant.name])
        records.append(make_record(cell, right))
    return records


def make_record(cell: Cell, right: np.ndarray) -> Record:
    contestant = cell.contestant
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
        n_train=100,
        n_validation=50,
        n_test=len(right),
        n_classes=10,
        epochs=cell.budget.epochs,
        batch_size=cell.budget.batch_size,
        learning_rate=0.01,
        tuning_trials=cell.budget.tuning_trials,
        steps=16,
        best_epoch=4,
        test_accuracy=float(right.mean()),
        train_accuracy=0.95,
        validation_accuracy=0.9,
        chance_accuracy=0.1,
        test_loss=0.3,
        validation_loss=0.35,
        n_weights=322,
        n_quantum_weights=12 if contestant.quantum else 0,
        circuits=17_000 if contestant.quantum else 0,
        total_shots=17_000 * (contestant.shots or 0),
        jobs=70 if contestant.quantum else 0,
        test_correct="".join("01"[int(r)] for r in right),
        curves={name: [1.0, 0.8, 0.5, 0.4] for name in CURVES},
        measured={
            "device": "cpu (Example 1000)",
            "wall_s": 3.0 if contestant.quantum else 0.25,
            "peak_memory_bytes": 3 * 2**20,
            "versions": {"python": "3.11.0", "torch": "2.6.0"},
        },
    )
