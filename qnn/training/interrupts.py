"""Ctrl-C and requests to end are kept until a step is finished, so that what is saved is whole."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PendingInterrupt:
    """Between `open` and `close` the first Ctrl-C (or SIGTERM) only sets `signal`; the second acts at once.

    Outside the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Take over the handlers, but for signals that are ignored."""
        self.signal = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)

    def close(self) -> None:
        """Give the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            self.close()
            signal.raise_signal(number)
            return
        self.signal = number
        print("\nStopping after this step; once more stops at once.", file=sys.stderr, flush=True)
