"""A log of JSON lines."""

from __future__ import annotations

import json
from typing import Any

from qnn.training.callbacks.row_log import RowLog


class JSONLog(RowLog):
    """Writes a JSON object per epoch, or per step, as a line of a file (JSONL); see `RowLog` for crashes and resumes.

    NaN and infinity, which JSON does not have, become null. Callbacks that add entries come before this one.

    Args:
        path: the file, such as "runs/a/epochs.jsonl".
        every: "epoch": rows are `state.record`, with what callbacks added. "step": rows are `step` (from 0), `epoch`,
            `loss` and the entries of `state.step_record` (`GradientNorms`, `UsageLog`).

    Example:
        >>> JSONLog("runs/a/steps.jsonl", every="step").path.name
        'steps.jsonl'
    """

    def _line(self, row: dict[str, Any]) -> str:
        return json.dumps(row, allow_nan=False)

    def _is_log(self, first_line: str) -> bool:
        try:
            row = json.loads(first_line)
        except ValueError:
            return False
        return isinstance(row, dict) and "epoch" in row
