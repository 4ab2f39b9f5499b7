"""Pruning of the classical parts of a network: weights, neurons and channels, whole layers. Circuits are left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from qnn.compression.measurement.devices import DEVICE
from qnn.compression.measurement.measuring import Measuring
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.networks.channel_pruning import Channels
from qnn.compression.networks.layer_pruning import WholeLayers
from qnn.compression.networks.tracing import example_rows
from qnn.compression.networks.weight_pruning import Masks, check_not_int8, check_plain, plain_copy, prunable
from qnn.compression.shares import Share, checked_share, fractions
from qnn.compression.tuning import ranking_rows, training_rows, tune, tuning_config
from qnn.errors import ArgumentError, DtypeError, unknown_name
from qnn.gradients.quantum_modules import quantum_modules
from qnn.training import FitConfig

METHODS = ("weight", "neuron", "channel", "activation", "whole-layer", "l1")
SCOPES = ("global", "layer")
_MAX_ROWS = 512  # over which activations and losses are averaged
_THRESHOLD = 0.01  # of weights after training with an L1 penalty
_EPOCHS = 20  # of that training


def prune_classical(
    model: torch.nn.Module,
    data: Any = None,
    *,
    method: str = "weight",
    amount: float | int | None = None,
    threshold: float | None = None,
    target: int | None = None,
    scope: str = "global",
    norm: float = 2,
    fine_tune: Any = 0,
    rounds: int = 1,
    schedule: str = "cubic",
    penalty: float | None = None,
    then: str = "weight",
    device: str | None = DEVICE,
) -> tuple[torch.nn.Module, CompressionReport]:
    """A smaller copy of `model`, whose classical layers have lost what matters least.

    Frozen layers (``requires_grad=False``) stay frozen, with their weights; structured pruning takes from them only
    the inputs that a layer in front no longer gives. Layers that share a weight go on sharing it.

    Exactly one of `amount`, `threshold` and `target` says how much goes; "l1" has a threshold of 0.01 by default.

    Args:
        model: any module; it is left as it is. Quantum layers keep their circuits, inputs and outputs.
        data: a task, or a pair (x, y). It is needed to fine-tune, for "activation", "whole-layer" and "l1", and for
            accuracies in the report: on the test part of a task, on the rows themselves of a pair.
        method: what goes: "weight" single weights by magnitude (zeros, no smaller file); "neuron" or "channel", the
            same, by the norm of all weights into and out of one; "activation" neurons and channels by the mean
            |activation| that the next layer sees; "whole-layer" layers whose removal keeps shapes, by the loss that
            it costs; "l1" trains with an L1 penalty first, then prunes what is near zero.
        amount: a share between 0 and 1, or a count, of weights, of neurons and channels, or of removable layers.
        threshold: everything goes whose |weight|, norm, mean activation or rise in loss is below.
        target: scalars that may be left in the whole model (for "weight": that are not pruned).
        scope: "global" ranks all layers together; "layer" takes the same share of each, and a threshold is in units of
            the mean |weight| or score of the layer. Whole layers have no scope.
        norm: order of the norm for "neuron".
        fine_tune: epochs to train after each round (at a learning rate of 0.003), or a `FitConfig`; 0 is none.
        rounds: of pruning and fine-tuning, in which the amount is reached gradually.
        schedule: "cubic" prunes most in the first rounds, "linear" the same in each.
        penalty: L1 penalty of the training that "l1" begins with, 0.001 by default; angles of circuits are held
            meanwhile. It takes the epochs of `fine_tune`, or 20.
        then: what "l1" prunes afterwards, "weight" or "neuron".
        device: to which the report transpiles circuits; see `measure`.

    Returns:
        The new module and the report; the measurements before, after each round and after need data.

    Raises:
        ArgumentError: an amount that leaves nothing, a target that is no smaller model, data that are missing, weights
            that are computed from others.
        UnknownNameError: no such method, scope or schedule.
        ShapeError: data that the model does not take.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        >>> smaller, report = prune_classical(net, method="neuron", amount=0.5)
        >>> smaller[0].out_features, net[0].out_features
        (8, 16)
    """
    _check_names(model, method, scope, then, norm)
    if method == "l1" and amount is None and threshold is None and target is None:
        threshold = _THRESHOLD
    _check_used(method, scope, norm, penalty, then)
    share, steps = checked_share(amount, threshold, target), fractions(rounds, schedule)
    config = tuning_config(fine_tune, data, model)
    if method != "whole-layer" and not prunable(model):
        check_not_int8(model)
    if method != "whole-layer":
        check_plain(model)
    new = plain_copy(model)
    kind = then if method == "l1" else "neuron" if method == "channel" else method
    pruner = _pruner(new, data, kind, share, scope, norm)  # what cannot be done is refused before any training
    measuring = Measuring(data, device=device)
    measuring.add("before", model)
    n_steps, facts = 0, dict[str, Any]()
    if method == "l1":
        n_steps, facts = _sparse_training(new, data, config, 0.001 if penalty is None else penalty)
    n_steps += _prune_in_rounds(pruner, new, data, config, steps, measuring)
    details = {**pruner.facts(), **facts, **_sizes(model, new), "rounds": len(steps), "training_steps": n_steps}
    title = f"{method} pruning of classical layers, {share}, {scope}"
    return new, CompressionReport(title, measuring.finish(), details)


def _pruner(
    model: torch.nn.Module, data: Any, kind: str, share: Share, scope: str, norm: float
) -> Masks | Channels | WholeLayers:
    if kind == "weight":
        return Masks(model, share, scope)
    if kind == "neuron":
        rows = example_rows(model) if data is None else training_rows(data)[0][:2]
        return Channels(model, rows, share, scope, "norm", norm)
    if data is None:
        raise ArgumentError(f'`data` must be given for method="{kind}"; got None. Pass a task or (x, y).')
    if kind == "activation":
        return Channels(model, training_rows(data)[0][:_MAX_ROWS], share, scope, "activation", norm)
    x, y = ranking_rows(data)
    return WholeLayers(model, x[:_MAX_ROWS], y[:_MAX_ROWS], share)


def _prune_in_rounds(
    pruner: Masks | Channels | WholeLayers,
    model: torch.nn.Module,
    data: Any,
    config: FitConfig | None,
    fractions_done: list[float],
    measuring: Measuring,
) -> int:
    """Prune `model` in place, tune it after each round and measure it; the number of optimisation steps."""
    n_steps = 0
    for number, fraction in enumerate(fractions_done, start=1):
        if isinstance(pruner, Masks):
            pruner.extend(fraction)
        else:
            pruner.prune(fraction)
        n_steps += tune(model, data, config, number - 1)
        if number < len(fractions_done):
            measuring.add(f"round {number}", plain_copy(model))
    if isinstance(pruner, Masks):
        pruner.remove()
    measuring.add("after", model)
    return n_steps


def _sparse_training(model: torch.nn.Module, data: Any, config: Any, penalty: float) -> tuple[int, dict[str, Any]]:
    """Train with an L1 penalty, the angles of circuits held: it would pull them to 0, which is no smaller circuit."""
    if data is None:
        raise ArgumentError('`data` must be given for method="l1", which trains; got None. Pass a task or (x, y).')
    config = tuning_config(_EPOCHS, data, model) if config is None else config
    angles = [p for layer in quantum_modules(model).values() for p in layer.parameters() if p.requires_grad]
    for weight in angles:
        weight.requires_grad_(False)
    try:
        steps = tune(model, data, replace(config, l1_penalty=penalty))
    finally:
        for weight in angles:
            weight.requires_grad_(True)
    return steps, {"l1_penalty": penalty}


def _sizes(model: torch.nn.Module, new: torch.nn.Module) -> dict[str, int]:
    before, after = (sum(p.numel() for p in module.parameters()) for module in (model, new))
    return {"weights_before": before, "weights_after": after}


def _check_names(model: Any, method: Any, scope: Any, then: Any, norm: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    for kind, value, known in (("method of pruning", method, METHODS), ("scope", scope, SCOPES)):
        if value not in known:
            raise unknown_name(kind, value, known)
    if then not in ("weight", "neuron"):
        raise unknown_name("value of `then`", then, ("weight", "neuron"))
    if isinstance(norm, bool) or not isinstance(norm, int | float) or not 0 < norm < float("inf"):
        raise ArgumentError(f"`norm` must be a finite number above 0; got {norm!r}. Use norm=2.")


def _check_used(method: str, scope: str, norm: float, penalty: float | None, then: str) -> None:
    """Refuse what would have no effect."""
    if penalty is not None and (isinstance(penalty, bool) or not isinstance(penalty, int | float)):
        raise DtypeError(f"`penalty` must be a number; got {penalty!r}. Use penalty=0.001.")
    if penalty is not None and not 0 <= penalty < float("inf"):
        raise ArgumentError(f"`penalty` must be finite, at least 0; got {penalty}. Use penalty=0.001.")
    by_norm = method in ("neuron", "channel") or (method == "l1" and then == "neuron")
    for name, unused in (
        ("penalty", penalty is not None and method != "l1"),
        ("then", then != "weight" and method != "l1"),
        ("norm", norm != 2 and not by_norm),
        ("scope", scope != "global" and method == "whole-layer"),
    ):
        if unused:
            raise ArgumentError(
                f'`{name}` must be left out for method="{method}"; got a value. It has no effect there.'
            )
