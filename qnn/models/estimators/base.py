"""What the estimators by training have in common: parameters, training, outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from qnn.backends.base import Backend
from qnn.errors import ArgumentError
from qnn.models.optimizers import optimizer_fields
from qnn.models.outputs import outputs_of
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.training import Callback, EarlyStopping, FitConfig, History, fit
from qnn.training.config import merge_config
from qnn.training.optimizers import make_optimizer


class QNNEstimator(BaseEstimator):
    """A `QuantumNeuralNetwork` trained by `qnn.fit`, with scikit-learn's manners.

    Inputs go in as they are: put a scaler in front, in a pipeline.

    Args:
        n_qubits: width of the quantum layers.
        n_layers: layers of the ansatz in each of them.
        n_hidden: width, or widths, of classical hidden layers between features and angles; None for none.
        n_quantum: number of quantum layers in a row.
        encoding: as for `QuantumLayer`.
        ansatz: as for `QuantumLayer`.
        reupload: repeat the encoding before every layer of the ansatz.
        backend: name or `Backend`.
        shots: shots per circuit; None is exact. Predictions then vary with the place of a row in `X`, not from call to
            call.
        mitigation: of the backend's errors, "readout", "zne", "readout+zne" or a dictionary of options, see
            `qnn.backends.Mitigated`; None is none.
        gradient: gradient method.
        layer_options: further options of `QuantumLayer` and of the backend by name, such as
            ``{"noise": "fake_manila"}`` or ``{"observables": "probs"}``; None is none.
        dtype: torch.float32 or torch.float64; None is float32 for float32 features, float64 for others.
        epochs: passes over the training rows.
        batch_size: rows of a step; None is all.
        optimizer: a name of `qnn.FitConfig` or of `qnn.gradients.QUANTUM_OPTIMIZERS`, or a callable that makes an
            optimizer of a list of parameters.
        learning_rate: step size of optimizers by name.
        fit_options: further fields of `qnn.FitConfig` by name, such as ``{"l2_penalty": 1e-3, "loss": "huber"}``; None
            is none.
        early_stopping: stop when the monitored loss no longer falls, and bring back the weights of the best epoch.
        validation_fraction: share of the rows kept apart for that, in each class alike; they count alike whatever their
            weights. None monitors the training loss.
        n_iter_no_change: epochs without falling after which early stopping stops.
        tol: what counts as falling.
        callbacks: of `qnn.fit`; None is none.
        warm_start: `fit` goes on from the weights of the last one, with a new optimizer.
        verbose: show a progress bar.
        random_state: int, `numpy.random.RandomState` or None: initial weights, order of the rows, split, shots.

    Attributes:
        module_: the trained `QuantumNeuralNetwork`, a torch module.
        n_iter_: epochs made so far, those of warm starts and `partial_fit` included.
        loss_curve_: training loss of each of them.
        history_: the `qnn.training.History` of the last call.
        n_features_in_: number of features.
        feature_names_in_: their names, where `X` had any.
    """

    module_: QuantumNeuralNetwork
    history_: History
    loss_curve_: list[float]
    n_iter_: int
    _seed: int
    _n_steps: int
    _optimizer: torch.optim.Optimizer | None

    def __init__(
        self,
        n_qubits: int = 4,
        n_layers: int = 3,
        n_hidden: int | Sequence[int] | None = None,
        *,
        n_quantum: int = 1,
        encoding: str | Callable[[Any, Any], Any] = "angle",
        ansatz: str | Callable[[Any, Any], Any] = "h_rx_cnot",
        reupload: bool = False,
        backend: str | Backend = "statevector",
        shots: int | None = None,
        mitigation: str | Mapping[str, Any] | None = None,
        gradient: str = "auto",
        layer_options: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        epochs: int = 50,
        batch_size: int | None = 32,
        optimizer: str | Callable[[Any], Any] = "adam",
        learning_rate: float = 0.02,
        fit_options: Mapping[str, Any] | None = None,
        early_stopping: bool = False,
        validation_fraction: float | None = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        callbacks: Sequence[Callback] | None = None,
        warm_start: bool = False,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.n_hidden = n_hidden
        self.n_quantum = n_quantum
        self.encoding = encoding
        self.ansatz = ansatz
        self.reupload = reupload
        self.backend = backend
        self.shots = shots
        self.mitigation = mitigation
        self.gradient = gradient
        self.layer_options = layer_options
        self.dtype = dtype
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.fit_options = fit_options
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """With shots, what is predicted for a row depends on its place."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.shots is not None
        return tags

    def _goes_on(self) -> bool:
        """Whether `fit` starts from the weights that are there."""
        return bool(self.warm_start) and hasattr(self, "module_")

    def _train(
        self,
        X: np.ndarray,
        targets: np.ndarray,
        weight: np.ndarray | None,
        *,
        n_outputs: int,
        loss: str,
        anew: bool,
        strata: np.ndarray | None = None,
        one_epoch: bool = False,
    ) -> None:
        """Train on checked rows.

        Args:
            X: shape (N, D).
            targets: shape (N,) or (N, K), as the loss wants them.
            weight: shape (N,), or None.
            n_outputs: outputs of the network.
            loss: of `qnn.FitConfig`, unless `fit_options` says otherwise.
            anew: start from new weights.
            strata: shape (N,), classes that both parts of a split shall have alike; None for none.
            one_epoch: make a single pass with the optimizer of the last one, and keep nothing apart.
        """
        if anew:
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            module, made, losses = self._module(X, n_outputs, seed), 0, []
        else:
            seed, module, made, losses = self._seed, self.module_, self._n_steps, self.loss_curve_
        config = self._config(loss, module, seed, made)
        callbacks, kept = [*(self.callbacks or ())], None
        data: tuple[Any, ...] = (X, targets)
        if one_epoch:
            kept = None if anew else self._optimizer
            if kept is None:
                kept = make_optimizer([w for w in module.parameters() if w.requires_grad], config)
            config = replace(config, learning_rate=FitConfig.learning_rate, momentum=0.0, weight_decay=0.0)
            config = replace(config, optimizer=kept, epochs=1, restore_best=False, one_class=True)
        elif self.early_stopping:
            data, weight = self._parts(X, targets, weight, strata, seed)
            callbacks.append(EarlyStopping(patience=self.n_iter_no_change, min_delta=self.tol))
        tensors = tuple(torch.from_numpy(np.array(part)) for part in data)
        history = fit(module, tensors, config, callbacks=callbacks, sample_weight=weight)
        self._seed, self.module_, self._n_steps, self._optimizer = seed, module, made + history.steps, kept
        self.history_ = history
        self.loss_curve_ = [*losses, *(epoch["train_loss"] for epoch in history.epochs)]
        self.n_iter_ = len(self.loss_curve_)

    def _module(self, X: np.ndarray, n_outputs: int, seed: int) -> QuantumNeuralNetwork:
        dtype = self.dtype
        if dtype is None:
            dtype = torch.float32 if X.dtype == np.float32 else torch.float64
        named = ("n_qubits", "n_layers", "n_quantum", "encoding", "ansatz", "reupload", "backend", "shots", "gradient")
        own = {name: getattr(self, name) for name in named} | {"seed": seed, "dtype": dtype}
        if self.mitigation is not None:
            own["mitigation"] = self.mitigation
        further = _further("layer_options", self.layer_options, own)
        return QuantumNeuralNetwork(X.shape[1], self.n_hidden, n_outputs, **own, **further)

    def _config(self, loss: str, module: torch.nn.Module, seed: int, first_step: int) -> FitConfig:
        """How to train; later calls have an order of rows and shots of their own."""
        defaults = {"loss": loss, "restore_best": bool(self.early_stopping)}
        own = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            **self._optimizer_fields(module, seed),
            "progress": bool(self.verbose),
            "seed": seed + first_step,
            "first_step": first_step,
        }
        return merge_config(None, defaults | _further("fit_options", self.fit_options, (*own, "learning_rate")) | own)

    def _optimizer_fields(self, module: torch.nn.Module, seed: int) -> dict[str, Any]:
        """What `qnn.fit` takes: a name or a callable; an object for a quantum optimizer."""
        if isinstance(self.optimizer, torch.optim.Optimizer):
            raise ArgumentError(
                "`optimizer` must be a name or a callable that makes one; got an optimizer of other parameters. "
                "Write for example functools.partial(torch.optim.Adam, lr=0.01)."
            )
        return optimizer_fields(self.optimizer, module, self.learning_rate, seed)

    def _parts(
        self, X: np.ndarray, targets: np.ndarray, weight: np.ndarray | None, strata: np.ndarray | None, seed: int
    ) -> tuple[tuple[np.ndarray, ...], Any]:
        """(x, y), or (x, y, x_validation, y_validation), and the weights of these parts."""
        if self.validation_fraction is None:
            return (X, targets), weight
        try:
            rows, held_out = train_test_split(
                np.arange(len(X)), test_size=float(self.validation_fraction), stratify=strata, random_state=seed
            )
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"`validation_fraction` must leave rows for training and for validation, of every class; got "
                f"{self.validation_fraction!r} of {len(X)} rows: {error} Use validation_fraction=None to do without."
            ) from error
        parts = (X[rows], targets[rows], X[held_out], targets[held_out])
        return parts, None if weight is None else (weight[rows], weight[held_out])

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        """The network's outputs, shape (N, C), float64."""
        return outputs_of(self.module_, torch.from_numpy(np.array(X))).numpy().astype(np.float64)


def _further(name: str, options: Mapping[str, Any] | None, own: Any) -> dict[str, Any]:
    """Options by name that are no parameters of their own."""
    further = dict(options or {})
    for option in own:
        if option in further:
            renamed = {"seed": "random_state", "first_step": "random_state", "progress": "verbose"}
            raise ArgumentError(
                f"`{name}` must not hold `{option}`, which the estimator sets; got {further[option]!r}. "
                f"Use its parameter `{renamed.get(option, option)}`."
            )
    return further
