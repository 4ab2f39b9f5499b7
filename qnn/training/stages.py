"""Which models can be cut into the stages of a pipeline, where, and what goes from one stage to the next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from qnn._integers import whole
from qnn._seeding import step_scope
from qnn.errors import ArgumentError, DtypeError, QnnError, ShapeError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def checked_model(model: nn.Module) -> nn.Sequential:
    """The model; refuses models that are more than their parts, one after the other: stages call the parts alone.

    Raises:
        DtypeError: no `torch.nn.Sequential`, or one with a forward of its own.
        ArgumentError: hooks or tensors of the whole.
    """
    if not isinstance(model, nn.Sequential):
        raise DtypeError(f"`model` must be a torch.nn.Sequential; got {type(model).__name__}. Put its parts into one.")
    for name in ("forward", "__call__"):
        if getattr(type(model), name) is not getattr(nn.Sequential, name) or name in vars(model):
            raise DtypeError(
                f"`model` must compute its parts one after the other, as torch.nn.Sequential does; got "
                f"{type(model).__name__} with a `{name}` of its own. Put what it adds into a part of a Sequential."
            )
    if any(getattr(model, hooks) for hooks in _HOOKS):
        raise ArgumentError(
            "`model` must have no hooks as a whole, since every process calls some of its parts; got some. "
            "Register them on the parts."
        )
    own = [*model._parameters, *model._buffers]
    if own:
        raise ArgumentError(
            f'`model` must have its tensors in its parts for a pipeline; got "{own[0]}" beside them. '
            "Put it into the part that uses it."
        )
    return model


def checked_cuts(model: nn.Sequential, cuts: Sequence[int] | None, n_stages: int) -> tuple[int, ...]:
    """Numbers of the parts at which stages after the first begin; those of about equally many weights for None.

    Raises:
        ArgumentError: numbers or processes that do not fit the model.
    """
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


def check_stages(model: nn.Sequential, bounds: Sequence[int]) -> None:
    """Refuse, in every process alike, stages that cannot be trained apart, or not microbatch by microbatch.

    Raises:
        ArgumentError: a stage without trainable weights, weights of two stages, parts that draw random numbers or that
            see more than one row.
    """
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
            _check_part(part, stage)


def _check_part(part: nn.Module, stage: int) -> None:
    """Refuse a module that would compute something else than in one process."""
    if _draws(part):
        raise ArgumentError(
            f"`model` must not draw random numbers by itself in a pipeline, where stages would draw others "
            f"than one process; got {part} in stage {stage}. Leave it out."
        )
    tracking = isinstance(part, nn.modules.instancenorm._InstanceNorm) and part.track_running_stats
    if isinstance(part, nn.modules.batchnorm._BatchNorm) or tracking:
        raise ArgumentError(
            f"`model` must treat rows one by one in a pipeline, whose microbatches have other statistics than the "
            f"batch; got {part} in stage {stage}. Use torch.nn.LayerNorm or torch.nn.GroupNorm."
        )
    if isinstance(part, nn.utils.parametrizations._SpectralNorm):
        raise ArgumentError(
            f"`model` must not change with every call in a pipeline, which calls it for each microbatch; got spectral "
            f"normalisation in stage {stage}. Leave it out."
        )


def _draws(part: nn.Module) -> bool:
    """Whether a module of torch draws random numbers in training."""
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.p > 0
    if isinstance(part, nn.RNNBase | nn.MultiheadAttention):
        return part.dropout > 0
    return isinstance(part, nn.RReLU)


def _even_cuts(model: nn.Sequential, n_stages: int) -> tuple[int, ...]:
    """Cuts after which stages have about equally many weights, and at least one part."""
    sizes = [sum(p.numel() for p in part.parameters()) for part in model]
    cuts: list[int] = []
    for stage in range(1, n_stages):
        least, most = (cuts[-1] if cuts else 0) + 1, len(model) - (n_stages - stage)
        aim = sum(sizes) * stage / n_stages
        cuts.append(min(range(least, most + 1), key=lambda cut: abs(sum(sizes[:cut]) - aim)))
    return tuple(cuts)


def passed_on(parts: Iterable[nn.Module], bounds: Sequence[int], x: Tensor, *, training: bool) -> list[Tensor]:
    """What comes into each stage, and at last what leaves the last: tensors without values.

    Every process finds all of it, so that rows which some stage does not take stop all processes.

    Args:
        parts: of the whole model, on the device "meta".
        bounds: numbers of the first parts of the stages, and of all parts.
        x: (B, ...), rows.
        training: whether gradients go back.

    Raises:
        ShapeError: the model does not take the rows.
    """
    modules, found = list(parts), [torch.empty_like(x, device="meta")]
    with step_scope(-1), torch.set_grad_enabled(training):
        for start, stop in itertools.pairwise(bounds):
            value = found.pop().detach().requires_grad_(training and start > 0)
            found.append(value)
            try:
                for part in modules[start:stop]:
                    value = part(value)
            except QnnError:
                raise
            except (RuntimeError, ValueError, IndexError) as error:
                raise ShapeError(
                    f"`data` must have rows that the model takes; got rows of shape {tuple(x.shape[1:])}: {error} "
                    "Prepare them as the first part of the model wants them."
                ) from error
            found.append(value)
    return found
