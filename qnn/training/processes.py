"""Several processes that train one model: each takes a share of every batch, and all make the same step.

Gradients are averaged by torch's DistributedDataParallel, over gloo on CPUs and NCCL on GPUs. What a row samples is a
function of its position in the data, so neither values nor gradients depend on who computes them, but for the order of
sums.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from qnn.errors import TrainingError


@dataclass(frozen=True)
class World:
    """The processes that train together; by default only this one."""

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is nobody to agree with."""
        return self.size == 1

    def share(self, rows: Tensor) -> Tensor:
        """The contiguous part of `rows` that this process takes; shares differ by at most one row, and may be empty."""
        return rows if self.size == 1 else rows.tensor_split(self.size)[self.rank]

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """The module to call in training: as it is, or one that averages gradients over the processes."""
        if self.size == 1:
            return model
        self._same_sampling(model)
        # Otherwise torch orders gradients anew after the first step, and a resumed run would differ in the last bits.
        return DistributedDataParallel(model, find_unused_parameters=True)

    def sum(self, values: Sequence[float]) -> Sequence[float]:
        """Each number summed over the processes."""
        if self.alone:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return flag if self.alone else self.sum([float(flag)])[0] > 0

    def gather_rows(self, part: Tensor) -> Tensor:
        """The shares of all processes, one after the other, in each of them."""
        if self.size == 1:
            return part
        sizes = torch.zeros(self.size, dtype=torch.int64, device=_device())
        sizes[self.rank] = len(part)
        dist.all_reduce(sizes)
        most = int(sizes.max())
        padded = part.new_zeros((most, *part.shape[1:])).to(_device())
        padded[: len(part)] = part
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(gathered, padded)
        return torch.cat([rows[:n] for rows, n in zip(gathered, sizes.tolist(), strict=True)]).to(part.device)

    def gather(self, value: Any) -> list[Any]:
        """A small object of each process, in the order of their ranks."""
        if self.alone:
            return [value]
        found: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(found, value)
        return found

    def attempt(self, action: Callable[[], Any]) -> None:
        """Do `action` in the first process; where it fails, all processes stop.

        Raises:
            TrainingError: in the others; the first raises its own error.
        """
        error: BaseException | None = None
        if self.rank == 0:
            try:
                action()
            except Exception as problem:
                error = problem
        if self.any(error is not None):
            raise error or TrainingError("The first process failed to write; see its error. This one stops with it.")

    def _same_sampling(self, model: torch.nn.Module) -> None:
        """Every process samples by the roots of the first."""
        states = {name: m.sampling_state() for name, m in model.named_modules() if hasattr(m, "sampling_state")}
        first = self.gather(states)[0]
        for name, module in model.named_modules():
            if name in first:
                module.load_sampling_state(first[name])


ALONE = World()


@dataclass(frozen=True)
class Stages(World):
    """Processes that hold the stages of one model: each has all rows, and what one decides holds for all."""

    @property
    def alone(self) -> bool:
        """There are others, although rows are not shared."""
        return False


def join_world(wanted: bool, device: torch.device) -> World:
    """The processes started by torchrun, or those of the present group; this one alone where there are no others.

    Args:
        wanted: whether to share the work at all.
        device: where this process computes; decides how they talk.
    """
    if not wanted or not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
            return ALONE
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return World(dist.get_rank(), dist.get_world_size())


def local_device(name: str | None) -> str | None:
    """`name`, or for "cuda" the GPU that torchrun assigns to this process."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if name == "cuda" and rank is not None else name


def _device() -> torch.device:
    """Where the tensors that processes exchange must be."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
