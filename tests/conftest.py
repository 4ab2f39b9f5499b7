"""What holds for all tests."""

import signal
import sys

import pytest

# A shell that starts tests in the background has interrupts ignored; tests that send them need Python's own way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def calibrations_of_a_new_process():
    """What tests calibrate outside any run is their own, as if each were a process."""
    run = sys.modules.get("qnn._run")
    if run is not None:
        run._process.once = run.Once()
