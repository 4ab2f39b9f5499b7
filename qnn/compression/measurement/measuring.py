"""What a model costs and what it can do: accuracy with its interval, sizes, latency, gates, circuits and shots."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from safetensors.torch import save
from scipy.stats import binomtest

from qnn.compression.measurement.devices import DEVICE, check_device, circuits_of, gates_on
from qnn.compression.measurement.latencies import latencies_ms
from qnn.compression.options import check_module
from qnn.compression.tuning import reported_part, reported_rows, shape_error
from qnn.errors import ArgumentError, ShapeError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import Int8Conv2d, Int8Linear, QuantumLayer
from qnn.models.forecasts import forecast
from qnn.training import FitConfig
from qnn.training.evaluation import as_tensor
from qnn.training.isolation import module_mode, same_samples

_LEVEL = 0.95


@dataclass(frozen=True)
class Measurement:
    """One model on one task.

    Attributes:
        label: what it is called in tables.
        accuracy: share of the rows that it gets right; None for regression.
        accuracy_low, accuracy_high: Wilson's interval of it at 95 %, for the rows as a sample.
        loss: mean cross-entropy (classification) or mean squared error on the rows, in the unit of the targets.
        n_test: how many rows these are.
        n_weights: scalars of all parameters.
        n_quantum_weights: of those, the angles of circuits.
        bytes: of the parameters and buffers in a safetensors file.
        latency_ms: time of a forward pass of `batch_size` rows, without gradients, in milliseconds, the shortest of
            several, in turns with the models beside it; None where a circuit is a job at a provider, which is not
            submitted to be timed.
        batch_size: rows of that pass.
        gates, depth, two_qubit_gates: of all circuits together, after transpiling to `device`; None without circuits.
        device: to which they are transpiled; None where that was not possible.
        circuits_per_step, shots_per_step: of a training step of `batch_size` rows.
        part: what the rows are: "test" of a task, "validation" or "train"; or "data" where they were given as they
            are, and may be those of the training.
    """

    label: str
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    loss: float | None
    n_test: int
    n_weights: int
    n_quantum_weights: int
    bytes: int
    latency_ms: float | None
    batch_size: int
    gates: int | None = None
    depth: int | None = None
    two_qubit_gates: int | None = None
    device: str | None = None
    circuits_per_step: int = 0
    shots_per_step: int = 0
    part: str = "data"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Measurement))


def measure(
    model: torch.nn.Module,
    data: Any,
    *,
    label: str,
    device: str | None = DEVICE,
    batch_size: int = 32,
    n_bytes: int | None = None,
) -> Measurement:
    """What `model` costs and what it can do on test rows; see `Measuring` for models whose latencies are compared.

    Args:
        model: (N, D) to logits (N, C), or to targets (N,) or (N, K).
        data: a task, whose test part is used, or a pair (x, y); integer y are classes.
        label: what it is called in tables.
        device: a fake device of IBM to which circuits are transpiled, such as "fake_sherbrooke"; None leaves gates out.
        batch_size: rows of the timed pass and of a training step.
        n_bytes: size at rest, where it is not that of the parameters in a safetensors file.

    Raises:
        ArgumentError: no data, or no test rows.
        ShapeError: the model does not take them.
    """
    if data is None:
        raise ArgumentError("`data` must be given to measure a model on; got None. Pass a task or (x, y).")
    measuring = Measuring(data, device=device, batch_size=batch_size)
    measuring.add(label, model, n_bytes=n_bytes)
    return measuring.finish()[0]


class Measuring:
    """Measurements of several models on one task, whose latencies can be compared.

    All but the latencies is found out when a model is added; these are timed at the end, in turns. Until then the
    models must stay as they are: add copies of what is trained on.

    Args:
        data: as for `measure`; None measures nothing.
        device: as for `measure`.
        batch_size: as for `measure`.
        part: what rows that are no task's are; see `Measurement`.

    Example:
        >>> x, y = torch.randn(8, 2), torch.tensor([0, 1] * 4)
        >>> measuring = Measuring((x, y))
        >>> for label, width in (("small", 2), ("large", 64)):
        ...     measuring.add(label, torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(width, 2)))
        >>> [found.n_weights for found in measuring.finish()]
        [12, 322]
    """

    def __init__(
        self, data: Any, *, device: str | None = DEVICE, batch_size: int = 32, part: str | None = None
    ) -> None:
        check_device(device)
        self._rows = None if data is None else reported_rows(data)
        self._part = reported_part(data) if part is None else part
        self._device, self._batch_size = device, batch_size
        self._found: list[Measurement] = []
        self._timed: dict[int, tuple[torch.nn.Module, torch.Tensor]] = {}  # models and batches by their numbers

    def add(self, label: str, model: torch.nn.Module, *, n_bytes: int | None = None) -> None:
        """Measure one more model, but for its latency; `n_bytes` as for `measure`."""
        check_module(model)
        if self._rows is None:
            return
        x, y = self._rows
        layers = [layer for layer in quantum_modules(model).values() if isinstance(layer, QuantumLayer)]
        reference = next((p for p in model.parameters() if p.is_floating_point()), None)
        rows = x if reference is None else x.to(reference.device, reference.dtype)
        batch = repeated(rows, self._batch_size)
        with same_samples(model):
            scores = _scores(model, rows, y)  # first: it says what is wrong with the rows
        used = _step_usage(model, batch, repeated(y, self._batch_size)) if layers else (0, 0)
        with same_samples(model):
            found = Measurement(
                label=label,
                **scores,
                n_weights=count_weights(model),
                n_quantum_weights=sum(p.numel() for layer in layers for p in layer.parameters()),
                bytes=size_at_rest(model) if n_bytes is None else n_bytes,
                latency_ms=None,
                batch_size=self._batch_size,
                **gates_on(circuits_of(model), self._device),
                circuits_per_step=used[0],
                shots_per_step=used[1],
                part=self._part,
            )
        if not any(layer.backend.capabilities.remote for layer in layers):
            self._timed[len(self._found)] = model, batch
        self._found.append(found)

    def finish(self) -> tuple[Measurement, ...]:
        """The measurements in the order in which the models were added, none without data."""
        models, batches = zip(*self._timed.values(), strict=True) if self._timed else ((), ())
        for number, latency in zip(self._timed, latencies_ms(models, batches), strict=True):
            self._found[number] = replace(self._found[number], latency_ms=latency)
        return tuple(self._found)


def _step_usage(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[int, int]:
    """Circuits and shots of a training step on these rows, by a forecast; of a pass where nothing is trained."""
    if any(weight.requires_grad for weight in model.parameters()):
        with torch.no_grad(), module_mode(model, training=False), same_samples(model):
            single = y.is_floating_point() or model(x[:1]).reshape(-1).shape[0] == 1
        loss = "mse" if y.is_floating_point() else ("binary_cross_entropy" if single else "cross_entropy")
        config = FitConfig(loss=loss, restore_best=False, one_class=True, progress=False)
        told = forecast(model, (x.cpu(), y.cpu()), 1, len(x), config=config).per_step
        return told.circuits, told.shots
    plans = [layer.explain(len(x)) for layer in quantum_modules(model).values() if isinstance(layer, QuantumLayer)]
    return sum(plan.circuits_per_step for plan in plans), sum(plan.shots_per_step for plan in plans)


def count_weights(model: torch.nn.Module) -> int:
    """Scalars of all parameters, and of int8 weights, which are buffers."""
    int8 = (module for module in model.modules() if isinstance(module, Int8Linear | Int8Conv2d))
    return sum(p.numel() for p in model.parameters()) + sum(module.weight.numel() for module in int8)


def size_at_rest(model: torch.nn.Module) -> int:
    """Bytes of the parameters and buffers as a safetensors file; tensors that are shared count once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor) and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().cpu().contiguous().clone()
    return len(save(tensors))


def _scores(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    try:
        with module_mode(model, training=False), torch.no_grad():
            outputs = torch.cat([as_tensor(model(part)) for part in x.split(512)]).cpu()
    except (RuntimeError, ShapeError) as error:
        raise shape_error(x, error) from error
    fits = outputs.numel() == y.numel() if y.is_floating_point() else outputs.ndim <= 2 and y.numel() == len(y)
    if not (outputs.ndim and len(outputs) == len(y) and fits):
        raise ShapeError(
            f"`model` must return what fits targets of shape {tuple(y.shape)}; got outputs of shape "
            f"{tuple(outputs.shape)} for rows of shape {tuple(x.shape[1:])}. Prepare `data` as for its training."
        )
    if y.is_floating_point():
        loss = torch.nn.functional.mse_loss(outputs.reshape(y.shape).double(), y.cpu().double())
        return {"accuracy": None, "accuracy_low": None, "accuracy_high": None, "loss": float(loss), "n_test": len(y)}
    outputs, y = class_logits(outputs), y.reshape(-1)
    if not 0 <= int(y.min()) <= int(y.max()) < outputs.shape[1]:
        raise ArgumentError(
            f"`data` must have classes from 0 to {outputs.shape[1] - 1}, as the model has outputs; got "
            f"{int(y.min())} to {int(y.max())}. Use the classes of its training."
        )
    right = int((outputs.argmax(dim=1) == y.cpu()).sum())
    interval = binomtest(right, len(y)).proportion_ci(_LEVEL, method="wilson")
    loss = torch.nn.functional.cross_entropy(outputs.double(), y.cpu())
    found = {"accuracy": right / len(y), "accuracy_low": float(interval.low), "accuracy_high": float(interval.high)}
    return {**found, "loss": float(loss), "n_test": len(y)}


def class_logits(outputs: torch.Tensor) -> torch.Tensor:
    """Logits (N, C) of classes, C at least 2: a single logit is that of the second of two classes."""
    if outputs.ndim > 1 and outputs.shape[1] > 1:
        return outputs
    return torch.nn.functional.pad(outputs.reshape(-1, 1), (1, 0))


def repeated(rows: torch.Tensor, n: int) -> torch.Tensor:
    """`n` rows, from the beginning again where there are fewer."""
    return rows[torch.arange(n) % len(rows)]
