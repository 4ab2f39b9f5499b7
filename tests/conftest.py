"""What holds for all tests."""

import signal

# A shell that starts tests in the background has interrupts ignored; tests that send them need Python's own way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
