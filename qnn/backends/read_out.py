"""The one read-out that is not linear: variances from the expectation values of O and O².

`Circuit.linear` is what runs; its values are the M outputs, with <O> in the place of each variance, and behind them
<O²> for each. Since the step from there is plain torch outside the operator, every gradient method carries over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qnn.backends.base import Estimate
from qnn.circuits.settings import MeasurementPlan


def outputs(values: torch.Tensor, columns: Sequence[int], *, exact: bool) -> torch.Tensor:
    """Outputs (N, M) from the values (N, M + V) of the linear circuit.

    With shots <O²> - <O>² comes from the same shots. Its mean is below the variance by that of <O>'s estimate, as
    for the sample variance with divisor `shots`; where words of O need several bases it may be negative.

    Args:
        values: values of `Circuit.linear`, in any dtype and on any device.
        columns: the V outputs that are variances, `Circuit.variance_columns`.
        exact: whether a variance below zero is rounding, and to be 0.
    """
    if not columns:
        return values
    n_outputs = values.shape[1] - len(columns)
    order = list(range(n_outputs))
    for i, column in enumerate(columns):
        order[column] = n_outputs + i
    variances = values[:, n_outputs:] - values.index_select(1, _places(columns, values)) ** 2
    if exact:  # a step up to 0 that leaves the derivative alone
        variances = variances + (-variances.detach()).clamp(min=0.0)
    return torch.cat([values[:, :n_outputs], variances], dim=1).index_select(1, _places(order, values))


def _places(columns: Sequence[int], values: torch.Tensor) -> torch.Tensor:
    return torch.tensor(columns, dtype=torch.int64, device=values.device)


def estimate(found: Estimate, plan: MeasurementPlan, columns: Sequence[int]) -> Estimate:
    """The estimate of the outputs from that of the linear circuit.

    Args:
        found: estimate whose rows have M + V values.
        plan: the plan of `Circuit.linear`.
        columns: the V outputs that are variances.
    """
    if not columns:
        return found
    values = outputs(found.values, columns, exact=found.shots is None)
    variance = None
    if found.variance is not None and found.counts is not None and found.shots is not None:
        variance = found.variance[:, : values.shape[1]].clone()
        frequencies = [counts.numpy() / found.shots for counts in found.counts]
        for i, column in enumerate(columns, start=values.shape[1]):
            spread = _variance_of_variance(plan, frequencies, column, i, found.shots)
            variance[:, column] = torch.from_numpy(spread).to(variance)
    elif found.variance is not None:  # no counts: the largest spread of q - m² that those of q and m allow
        sigma = found.variance.sqrt()
        variance = found.variance[:, : values.shape[1]].clone()
        for i, column in enumerate(columns, start=values.shape[1]):
            variance[:, column] = (sigma[:, i] + 2 * found.values[:, column].abs() * sigma[:, column]) ** 2
    return Estimate(values, variance, found.shots, found.counts)


def _variance_of_variance(
    plan: MeasurementPlan, frequencies: Sequence[np.ndarray], mean: int, square: int, shots: int
) -> np.ndarray:
    """Var(q - m²) for the shot estimates m of <O> and q of <O²>, shape (N,).

    With δ = m - <O> = Σ_s δ_s, independent between settings, q - m² is linear in g = q - 2<O>m but for δ²:
    Var = Var(g) - 2 Cov(g, δ²) + Var(δ²), each by the central moments of one shot. Taken at the observed frequencies it
    is too large by 4 Var(m)², up to three times, where <O> is zero within its error.
    """
    expected = plan.values(frequencies)[:, mean, None]
    total, second = np.zeros((2, len(expected)))
    for setting, p in zip(plan.settings, frequencies, strict=True):
        weights = setting.weights[:, [mean, square]].toarray()
        f = weights[:, 0] - p @ weights[:, :1]
        g = weights[:, 1] - p @ weights[:, 1:] - 2 * expected * f
        moment = lambda values, p=p: (p * values).sum(axis=1)
        second += moment(f**2) / shots
        total += moment(g**2) / shots - 2 * moment(g * f**2) / shots**2
        total += (moment(f**4) - 3 * moment(f**2) ** 2) / shots**3
    return np.maximum(total + 2 * second**2, 0.0)
