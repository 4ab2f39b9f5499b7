"""Models whose parts are in different processes: stages of a pipeline, by torch's own schedule, in the one loop.

Rows go through the stages in microbatches, so that stages work at the same time; gradients come back the same way
(GPipe, arXiv:1811.06965). Each process holds the weights, and the optimizer's state, of its stage only.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from qnn._integers import whole
from qnn._seeding import StepScope, current_scope, step_scope
from qnn.errors import ArgumentError, DtypeError
from qnn.training.losses import OwnLoss
from qnn.training.optimizers import needs_closure
from qnn.training.processes import Stages, World, join_world

ShareOfLoss = Callable[[Tensor, Tensor], Tensor]  # (outputs, numbers of rows in the batch) -> scalar


class Pipeline(torch.nn.Module):
    """The stage of a model that belongs to this process.

    Every process makes it of the same model, and calls `qnn.fit` with the same data; started by ``torchrun
    --nproc-per-node=2``, say. All see the outputs and the loss of the last stage. What rows sample depends on their
    place in the data, as without stages.

    Args:
        model: a `torch.nn.Sequential`; a `QuantumLayer` is one of its parts. Each process keeps a copy of its stage.
        cuts: numbers of the parts at which a new stage begins, one less than there are processes; None makes stages of
            about equally many weights.
        microbatches: into how many parts a batch is split at most; batches that it does not divide take fewer.
        device: where this process computes; None is where the stage's first weight is.

    Raises:
        DtypeError: `model` is no Sequential.
        ArgumentError: the processes are fewer than two or more than the parts, or cuts that cannot be.

    Example:
        A program of two processes::

            pipeline = qnn.training.Pipeline(torch.nn.Sequential(trunk, layer, head), cuts=[1])
            qnn.fit(pipeline, data, epochs=10)
            qnn.save(pipeline.whole(), "trained")     # in one of them
    """

    def __init__(
        self,
        model: torch.nn.Module,
        cuts: Sequence[int] | None = None,
        *,
        microbatches: int = 4,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, torch.nn.Sequential):
            raise DtypeError(
                f"`model` must be a torch.nn.Sequential; got {type(model).__name__}. Put its parts into one."
            )
        if (whole(microbatches) or 0) < 1:
            raise ArgumentError(f"`microbatches` must be a whole number above 0; got {microbatches!r}. Use 4.")
        group = join_world(True, torch.device("cpu" if device is None else device))
        self.n_stages, self.rank, self.microbatches = group.size, group.rank, int(microbatches)
        self.cuts = _checked_cuts(model, cuts, self.n_stages)
        _check_stages(model, (0, *self.cuts, len(model)))
        start, stop = (0, *self.cuts, len(model))[self.rank : self.rank + 2]
        self.stage = torch.nn.Sequential(*(copy.deepcopy(part) for part in list(model)[start:stop]))
        self._whole = [model]  # in a list: no part of this module
        if device is not None:
            self.stage.to(device)
        first = next((t for t in (*self.stage.parameters(), *self.stage.buffers())), torch.empty(0))
        self.device = first.device
        self._schedules: dict[tuple[Any, ...], Any] = {}

    @property
    def world(self) -> World:
        """How the loop sees it: every process has all rows; the first one prints and writes."""
        return Stages(self.rank, 1)

    def clip(self, weights: Sequence[Tensor], max_norm: float) -> None:
        """Scale the gradients down where the norm over all stages is longer, as `clip_grad_norm_` does."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        (total,) = self.world.sum([sum(float(g.double().square().sum()) for g in gradients)])
        scale = min(1.0, max_norm / (total**0.5 + 1e-6))
        for gradient in gradients:
            gradient.mul_(scale)

    def check(self, loss: Any, optimizer: torch.optim.Optimizer) -> None:
        """Refuse what cannot be trained in stages, in every process alike.

        Raises:
            ArgumentError: a loss whose parts do not add up, or an optimizer that searches.
        """
        if isinstance(loss, OwnLoss):
            raise ArgumentError(
                "`loss` must be a named one for a pipeline, whose microbatches must add up; got a function. "
                'Use loss="cross_entropy", say.'
            )
        if needs_closure(optimizer):
            raise ArgumentError(
                "`optimizer` must not search for a pipeline, which evaluates once a step; got "
                f'{type(optimizer).__name__}. Use optimizer="adam".'
            )

    def forward(self, x: Tensor) -> Tensor:
        """The model's outputs (B, C), in every process; without gradients."""
        if torch.is_grad_enabled() and self.training:
            raise ArgumentError(
                "A pipeline must be trained by `qnn.fit`; its outputs have no gradients. Use torch.no_grad()."
            )
        with torch.no_grad():
            return self._all_have(self._scheduled(x, None).eval(*self._first(x)), len(x), x.dtype)

    def forward_backward(self, x: Tensor, share_of_loss: ShareOfLoss) -> tuple[Tensor, Tensor]:
        """Outputs (B, C) and loss in every process; gradients of the stage's weights are added.

        Args:
            x: (B, ...), the same rows in every process.
            share_of_loss: what some rows, given their outputs and their numbers in the batch, add to the loss.
        """
        schedule = self._scheduled(x, share_of_loss)
        losses: list[Tensor] = []
        if self._is_last:
            outputs = schedule.step(*self._first(x), target=torch.arange(len(x), device=self.device), losses=losses)
        else:
            outputs = schedule.step(*self._first(x))
        loss = torch.stack(losses).sum().detach().reshape(1, 1) if self._is_last else None
        with torch.no_grad():
            return self._all_have(outputs, len(x), x.dtype), self._all_have(loss, 1, x.dtype)[0, 0]

    def whole(self) -> torch.nn.Sequential:
        """A copy of the whole model with the present weights; every process must call it."""
        found: list[Any] = [None] * self.n_stages
        dist.all_gather_object(found, {name: t.detach().cpu() for name, t in self.stage.state_dict().items()})
        made = copy.deepcopy(self._whole[0])
        starts = (0, *self.cuts)
        state = {}
        for start, part in zip(starts, found, strict=True):
            for name, tensor in part.items():
                number, _, rest = name.partition(".")
                state[f"{int(number) + start}.{rest}"] = tensor
        made.load_state_dict(state)
        return made

    @property
    def _is_last(self) -> bool:
        return self.rank == self.n_stages - 1

    def _first(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.to(self.device),) if self.rank == 0 else ()

    def _scheduled(self, x: Tensor, share_of_loss: ShareOfLoss | None) -> Any:
        """The schedule for batches of this shape; buffers between processes have fixed shapes."""
        from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

        parts = max(n for n in range(1, self.microbatches + 1) if len(x) % n == 0)
        training = share_of_loss is not None
        key = (tuple(x.shape), x.dtype, training)
        if key not in self._schedules:
            stage = _Positioned(self.stage, len(x), parts)
            given, returned = self._shapes(x[: len(x) // parts], training)
            held = PipelineStage(
                stage, self.rank, self.n_stages, self.device, input_args=given, output_args=returned
            )  # with shapes, else torch would run a batch for them
            losses = _Held() if training else None
            self._schedules[key] = ScheduleGPipe(held, parts, loss_fn=losses, scale_grads=False), losses, stage
        schedule, losses, stage = self._schedules[key]
        stage.begin()
        if losses is not None:
            losses.function = share_of_loss
        return schedule

    def _shapes(self, x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """What comes into this stage for microbatch `x`, and what leaves it: tensors without values."""
        with step_scope(-1), torch.set_grad_enabled(training):
            parts = list(copy.deepcopy(self._whole[0]).to("meta").children())
            start, stop = (0, *self.cuts, len(parts))[self.rank : self.rank + 2]
            given = torch.empty_like(x, device="meta")
            for part in parts[:start]:
                given = part(given)
            given = given.detach().requires_grad_(training and self.rank > 0)
            returned = given
            for part in parts[start:stop]:
                returned = part(returned)
        return given, returned

    def _all_have(self, found: Tensor | None, n_rows: int, dtype: torch.dtype) -> Tensor:
        """What the last stage has, in every process."""
        shape: list[Any] = [None if found is None else (found.shape, found.dtype)]
        dist.broadcast_object_list(shape, src=self.n_stages - 1)
        size, kind = shape[0]
        result = torch.empty(size, dtype=kind, device=self.device) if found is None else found.detach().contiguous()
        dist.broadcast(result, src=self.n_stages - 1)
        return result


class _Held:
    """A loss function that can be replaced."""

    function: ShareOfLoss

    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor:
        return self.function(outputs, rows)


class _Positioned(torch.nn.Module):
    """A stage that tells its layers which rows of the data a microbatch holds."""

    def __init__(self, stage: torch.nn.Module, n_rows: int, parts: int) -> None:
        super().__init__()
        self.stage, self._size = stage, n_rows // parts
        self.begin()

    def begin(self) -> None:
        """A new batch."""
        self._next = 0

    def forward(self, x: Tensor) -> Tensor:
        """The stage's outputs for the next microbatch."""
        scope = current_scope()
        if scope is None:
            return self.stage(x)
        with self._scope_of_part(scope):
            self._next += 1
            return self.stage(x)

    def _scope_of_part(self, scope: StepScope) -> Any:
        positions = torch.arange((self._next + 1) * self._size) if scope.positions is None else scope.positions
        part = positions[self._next * self._size : (self._next + 1) * self._size]
        return step_scope(scope.step, part)


def _checked_cuts(model: torch.nn.Sequential, cuts: Sequence[int] | None, n_stages: int) -> tuple[int, ...]:
    if n_stages < 2 or n_stages > len(model):
        raise ArgumentError(
            f"A pipeline must have two processes or more, and at most one for each of the {len(model)} parts of "
            f"`model`; got {n_stages}. Start the program by torchrun --nproc-per-node=2."
        )
    if cuts is None:
        return _even_cuts(model, n_stages)
    numbers = tuple(whole(cut) or 0 for cut in cuts)
    if len(numbers) != n_stages - 1 or sorted({0, *numbers, len(model)}) != [0, *numbers, len(model)]:
        raise ArgumentError(
            f"`cuts` must be {n_stages - 1} rising numbers between 1 and {len(model) - 1}; got {list(cuts)}. "
            "Leave it out for stages of equal size."
        )
    return numbers


def _check_stages(model: torch.nn.Sequential, bounds: Sequence[int]) -> None:
    """Refuse, in every process alike, stages that cannot be trained apart."""
    seen: dict[int, int] = {}
    for stage, (start, stop) in enumerate(itertools.pairwise(bounds)):
        parts = list(model)[start:stop]
        weights = [weight for part in parts for weight in part.parameters()]
        if not any(weight.requires_grad for weight in weights):
            raise ArgumentError(
                f"`cuts` must leave a trainable weight in every stage; stage {stage} has parts {start} to {stop - 1} "
                "and none. Cut elsewhere."
            )
        for weight in weights:
            if seen.setdefault(id(weight), stage) != stage:
                raise ArgumentError(
                    f"`model` must not share weights between stages; stages {seen[id(weight)]} and {stage} do. Cut "
                    "elsewhere."
                )
        for part in (inner for outer in parts for inner in outer.modules()):
            if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.p > 0:
                raise ArgumentError(
                    f"`model` must not draw random numbers by itself in a pipeline, where stages would draw others "
                    f"than one process; got {part} in stage {stage}. Leave it out."
                )


def _even_cuts(model: torch.nn.Sequential, n_stages: int) -> tuple[int, ...]:
    """Cuts after which stages have about equally many weights, and at least one part."""
    sizes = [sum(p.numel() for p in part.parameters()) for part in model]
    cuts: list[int] = []
    for stage in range(1, n_stages):
        least, most = (cuts[-1] if cuts else 0) + 1, len(model) - (n_stages - stage)
        aim = sum(sizes) * stage / n_stages
        cuts.append(min(range(least, most + 1), key=lambda cut: abs(sum(sizes[:cut]) - aim)))
    return tuple(cuts)
