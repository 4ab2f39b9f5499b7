"""Models whose parts are in different processes: stages of a pipeline, by torch's own schedule, in the one loop.

Rows go through the stages in microbatches, so that stages work at the same time; gradients come back the same way
(GPipe, arXiv:1811.06965). Each process holds the weights, and the optimizer's state, of its stage only.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from qnn._integers import whole
from qnn._seeding import StepScope, current_scope, step_scope
from qnn.errors import ArgumentError
from qnn.training.losses import OwnLoss
from qnn.training.optimizers import needs_closure
from qnn.training.processes import Stages, World, join_world
from qnn.training.stages import check_stages, checked_cuts, checked_model, passed_on

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
        DtypeError: `model` is no Sequential, or has a forward of its own.
        ArgumentError: the processes are fewer than two or more than the parts, cuts that cannot be, or parts that
            would compute something else than in one process, as dropout and batch normalisation.

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
        model = checked_model(model)
        if (whole(microbatches) or 0) < 1:
            raise ArgumentError(f"`microbatches` must be a whole number above 0; got {microbatches!r}. Use 4.")
        group = join_world(True, torch.device("cpu" if device is None else device))
        self.n_stages, self.rank, self.microbatches = group.size, group.rank, int(microbatches)
        self.cuts = checked_cuts(model, cuts, self.n_stages)
        self._bounds = (0, *self.cuts, len(model))
        check_stages(model, self._bounds)
        start, stop = self._bounds[self.rank : self.rank + 2]
        parts = list(zip(model._modules, model, strict=True))[start:stop]  # with their names in the model
        self.stage = torch.nn.Sequential(copy.deepcopy(OrderedDict(parts)))
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

    def outputs_like(self, x: Tensor) -> Tensor:
        """Outputs (B, C) without values, in every process, so that all of them see what does not fit.

        Raises:
            ShapeError: some stage does not take what it would be given.
        """
        return self._passed_on(x, torch.is_grad_enabled())[-1]

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
        made.load_state_dict({name: tensor for part in found for name, tensor in part.items()})
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
            given, returned = self._passed_on(x[: len(x) // parts], training)[self.rank : self.rank + 2]
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

    def _passed_on(self, x: Tensor, training: bool) -> list[Tensor]:
        """Into each stage, and out of the last, for rows `x`."""
        return passed_on(copy.deepcopy(self._whole[0]).to("meta"), self._bounds, x, training=training)

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
