"""What a run must remember so that it goes on as if it had never stopped, and whether it fits the run at hand."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import torch

from qnn._meter import Usage
from qnn._run import Once
from qnn.errors import CheckpointError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.data import Rows
from qnn.training.isolation import generator_states, reference_tensor, restore_generators

_MAY_CHANGE = ("epochs", "progress", "device", "one_class", "data_parallel")  # what a resumed run may set differently


def capture(state: FitState, run: dict[str, Any], *, within_epoch: bool) -> dict[str, Any]:
    """Everything, as plain data and tensors; every process must call it.

    Args:
        state: at a joint after a step (`within_epoch`) or after an epoch.
        run: its identity, as it was before the first step.
        within_epoch: whether the current epoch is not finished.
    """
    device = reference_tensor(state.model).device
    return {
        "run": run,
        "run_id": state.run.id,
        "once": dict(state.run.once.counted),
        "epoch": state.epoch,
        "position": state.position,
        "step": state.step + within_epoch,  # `step` goes up after `on_step_end`
        "stop": state.stop and not within_epoch,
        "stop_reason": state.stop_reason if state.stop and not within_epoch else None,
        "model": dict(state.model.state_dict()),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": None if state.scheduler is None else state.scheduler.state_dict(),
        "sampling": {n: m.sampling_state() for n, m in state.model.named_modules() if hasattr(m, "sampling_state")},
        "order": state.order.state_dict(within_epoch),
        "generators": state.world.gather(generator_states(device)),
        "metrics": state.metrics.state_dict(),
        "usage": state.usage.as_dict(),
        "epoch_usage": state.epoch_usage.as_dict(),
        "epoch_wall_s": time.perf_counter() - state.epoch_started,
        "history": state.history.as_dict(),
        "callbacks": {name: callback.state_dict() for name, callback in _named(state.callbacks)},
    }


def restore(state: FitState, run: dict[str, Any], saved: dict[str, Any], where: object) -> None:
    """Go on from what `capture` gave.

    Raises:
        CheckpointError: it is of another model, other data or other options; the message says what differs.
    """
    _check(saved, run, where)
    try:
        state.model.load_state_dict(saved["model"])
        state.optimizer.load_state_dict(saved["optimizer"])
        if state.scheduler is not None:
            state.scheduler.load_state_dict(saved["scheduler"])
        modules = dict(state.model.named_modules())
        for name, sampling in saved["sampling"].items():
            modules[name].load_sampling_state(sampling)
        state.epoch, state.position, state.step = saved["epoch"], saved["position"], saved["step"]
        state.stop, state.stop_reason = saved["stop"], saved["stop_reason"]
        state.order.load_state_dict(saved["order"])
        states = saved["generators"]
        restore_generators(states[min(state.rank, len(states) - 1)], reference_tensor(state.model).device)
        state.metrics.load_state_dict(saved["metrics"])
        state.usage = state.used_before = Usage(**saved["usage"])
        state.epoch_usage = Usage(**saved["epoch_usage"])
        state.epoch_started = time.perf_counter() - saved["epoch_wall_s"]
        state.history.load(saved["history"])
        state.run.id, state.run.once = saved["run_id"], Once(saved.get("once"))
        for name, callback in _named(state.callbacks):
            if name in saved["callbacks"]:
                callback.load_state_dict(saved["callbacks"][name])
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise CheckpointError(
            f'"{where}" must be a checkpoint of this run; going on from it failed: {error!r}. '
            "Use the same model, optimizer and callbacks, or another folder to start anew."
        ) from error


def identity(state: FitState) -> dict[str, Any]:
    """What must be the same for a checkpoint to fit: options, tensors of the model, where circuits run, rows."""
    fixed_length = isinstance(state.config.scheduler, str)  # the named schedules end with the last epoch
    may_change = [name for name in _MAY_CHANGE if not (fixed_length and name == "epochs")]
    options = {name: value for name, value in state.config.as_dict().items() if name not in may_change}
    tensors = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in state.model.state_dict().items()}
    modules = {name: f"{type(m).__name__}({m.extra_repr()})" for name, m in state.model.named_modules() if name}
    data = {"training rows": _rows_digest(state.train), "validation rows": _rows_digest(state.validation)}
    circuits = {
        f"{what} of {name}" if name else what: value
        for name, module in state.model.named_modules()
        if hasattr(module, "execution_identity")
        for what, value in module.execution_identity().items()
    }
    return {"model": tensors, "circuits": circuits, "modules": modules, "options": options, "data": data}


def _check(saved: dict[str, Any], ours: dict[str, Any], where: object) -> None:
    """Raise with the first thing that differs."""
    for part in ("model", "circuits", "modules", "options", "data"):
        before, now = saved.get("run", {}).get(part, {}), ours[part]
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                raise CheckpointError(
                    f'"{where}" must be a checkpoint of the same {part}; `{name}` was {before.get(name)!r} there '
                    f"and is {now.get(name)!r} now. Use what it was made with, or another folder to start anew."
                )


def _named(callbacks: list[Callback]) -> list[tuple[str, Callback]]:
    """Callbacks that a checkpoint keeps, by class and by number among those of their class."""
    seen: dict[str, int] = {}
    named = []
    for callback in callbacks:
        kind = type(callback).__name__
        seen[kind] = seen.get(kind, 0) + 1
        named.append((f"{kind} {seen[kind]}", callback))
    return named


def _rows_digest(rows: Rows | None) -> str | None:
    """A digest of inputs, targets and weights."""
    if rows is None:
        return None
    digest = hashlib.sha256()
    for tensor in (rows.x, rows.y, rows.weight):
        if tensor is not None:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()[:16]
