"""A model with what it needs to predict from tables: preparation, target, and the distributions of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qnn.errors import BundleError, TableError
from qnn.models.bundle import Bundle, read_bundle, save
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.models.tables.profile import CategoryProfile, NumberProfile, Profile, profile_from_json
from qnn.models.tables.scores import Scores
from qnn.tasks.tables import Preparation, Table, Target

KIND = "table"
PREDICTED = "prediction"  # the name under which reports speak of what is predicted


@dataclass(eq=False)
class TableModel:
    """A trained model of a table.

    Attributes:
        model: features (B, D) to logits (B, C), or to (B, 1) scaled values.
        preparation: from columns to features.
        target: what is predicted.
        profiles: the distribution of each column in the training part.
        labels: the distribution of the target in the training part.
        predicted: the distribution of the predictions on held-out rows (on training rows where none were held out);
            None for a model that was changed without rows at hand.
        config: what it was trained with, plain data.
        metrics: plain data: scores of each part, sizes, history, and the usage of training and scoring together.
        notes: what was noticed in the table.
        scores: of each part, after training; empty for a model that was read, which has them in `metrics`.
    """

    model: QuantumNeuralNetwork
    preparation: Preparation
    target: Target
    profiles: tuple[Profile, ...]
    labels: Profile
    predicted: Profile | None
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scores: dict[str, Scores] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write a bundle; `TableModel.load` reads it, and `qnn.load` the network alone."""
        task = {
            "kind": KIND,
            "target": self.target.to_json(),
            "profiles": [profile.to_json() for profile in self.profiles],
            "labels": self.labels.to_json(),
            "predicted": None if self.predicted is None else self.predicted.to_json(),
            "notes": list(self.notes),
        }
        scaling = {"columns": self.preparation.to_json()}
        return save(self.model, path, scaling=scaling, task=task, config=self.config, metrics=self.metrics)

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> TableModel:
        """The model of a bundle that `save` wrote; `options` as for `qnn.load`.

        Raises:
            BundleError: it is no bundle, or not one of a table; the message names the field.
        """
        return cls.of(read_bundle(path, **options))

    @classmethod
    def of(cls, bundle: Bundle) -> TableModel:
        """The same, of a bundle that has been read."""
        path = bundle.path
        if not isinstance(bundle.model, QuantumNeuralNetwork):
            raise BundleError(f"`model` of {path} must be a QuantumNeuralNetwork; got {type(bundle.model).__name__}.")
        task, scaling = bundle.task or {}, bundle.scaling or {}
        if task.get("kind") != KIND:
            raise BundleError(
                f"`task` of {path} must be that of a table; got a bundle saved without one. "
                "Train one with qnn.train_table, or load the network with qnn.load."
            )
        try:
            preparation = Preparation.from_json(scaling.get("columns"))
            target = Target.from_json(task.get("target"))
            entries = task.get("profiles")
            profiles = tuple(
                profile_from_json(entry, f"profile {number}")
                for number, entry in enumerate(entries if isinstance(entries, list) else [], 1)
            )
            labels = profile_from_json(task.get("labels"), "the profile of the target")
            unknown = "predicted" in task and task["predicted"] is None
            predicted = None if unknown else profile_from_json(task.get("predicted"), "the profile of predictions")
        except TableError as error:
            raise BundleError(f"`task` and `scaling` of {path} must be those of a table: {error}") from error
        made = cls(bundle.model, preparation, target, profiles, labels, predicted, bundle.config or {})
        made.metrics = bundle.metrics or {}
        made._check(path)
        return made

    def values(self, table: Table, profile: Profile) -> np.ndarray:
        """The column of a profile: (N,) float64 with NaN for what is no number, or labels (N,) object."""
        column = table.column(profile.name)
        if isinstance(profile, CategoryProfile):
            return column.labels()
        return column.as_numbers()

    def _check(self, path: str | Path) -> None:
        """Refuse a network that does not take the features, or give the outputs, and profiles that are not theirs."""
        kinds = {encoder.name: encoder.to_json()["kind"] for encoder in self.preparation.encoders}
        found = {profile.name: profile.to_json()["kind"] for profile in self.profiles}
        regression = self.target.task == "regression"
        if kinds != found or any(
            isinstance(profile, NumberProfile) != regression
            for profile in (self.labels, self.predicted)
            if profile is not None
        ):
            raise BundleError(f"`task` of {path} must have a profile for each column and for predictions. Save again.")
        wanted = (len(self.preparation.feature_names), 1 if regression else len(self.target.classes))
        found_sizes = (getattr(self.model, "n_inputs", None), getattr(self.model, "n_outputs", None))
        if wanted != found_sizes:
            raise BundleError(
                f"`model` of {path} must have {wanted[0]} inputs and {wanted[1]} outputs, as its table has; got "
                f"{found_sizes[0]} and {found_sizes[1]}. Save again."
            )
