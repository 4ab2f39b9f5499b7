"""What training on a table is going to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qnn.models.forecasts import Forecast, forecast
from qnn.models.forecasts.rehearsal import rehearsal
from qnn.models.tables.train import places, planned, predicted_parts
from qnn.training.callbacks.checkpoint import LAST


def forecast_table(
    data: Any,
    target: str | None = None,
    *,
    out: str | Path | None = None,
    checkpoint: str | Path | bool = True,
    overwrite: bool = False,
    scaling: str = "standard",
    split_seed: int = 0,
    seed: int = 0,
    n_hidden: int | Sequence[int] | None = None,
    **options: Any,
) -> Forecast:
    """What `qnn.train_table` with the same arguments uses, its scores on each part included.

    The table is read and prepared; nothing is executed, submitted or written.

    Raises:
        TableError, ArgumentError, UnknownNameError: as `train_table`.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1, 1, 40)
        >>> found = forecast_table({"x": x, "side": np.where(x < 0, "left", "right")}, "side", n_qubits=2, epochs=30)
        >>> found.jobs, found.circuits
        (63, 1000)
    """
    _, folder = places(out, checkpoint, overwrite)
    run = planned(data, target, scaling=scaling, split_seed=split_seed, seed=seed, n_hidden=n_hidden, options=options)
    found = forecast(run.network, run.prepared, config=run.config)
    with rehearsal(run.network) as stage:
        for _ in predicted_parts(stage.model, run.prepared):
            pass
        afterwards = stage.take()
    notes = []
    if folder is not None and (folder / LAST).exists():
        notes.append(f'Training goes on from "{folder}": part of this has been used before.')
    return found.plus(afterwards, *notes)
