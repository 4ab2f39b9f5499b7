"""What a trained network gives for rows without targets."""

from __future__ import annotations

import torch

from qnn._seeding import step_scope
from qnn.training.evaluation import CHUNK_ROWS
from qnn.training.isolation import module_mode, own_randomness, reference_tensor

_FIRST_STEP = -2  # step numbers of evaluations: -2, -3, … (see qnn._seeding)


@torch.no_grad()
def outputs_of(
    network: torch.nn.Module, x: torch.Tensor, *, seed: int = 0, positions: torch.Tensor | None = None
) -> torch.Tensor:
    """The outputs of `network`, as `qnn.evaluate` finds them: in eval mode, and with nothing left behind.

    Args:
        network: runs where its first parameter is, in its dtype.
        x: shape (N, D).
        seed: number of the evaluation, for networks that sample.
        positions: shape (N,), numbers of the rows, on which their shots depend; None counts from 0.

    Returns:
        Shape (N, C), on the CPU.
    """
    like, found = reference_tensor(network), []
    numbers = torch.arange(len(x)) if positions is None else positions
    with module_mode(network, training=False), own_randomness(seed, like.device):
        for rows, part in zip(x.split(CHUNK_ROWS), numbers.split(CHUNK_ROWS), strict=True):
            with step_scope(_FIRST_STEP - seed, part):
                found.append(network(rows.to(like.device, like.dtype)).cpu())
    return torch.cat(found)
