"""Forks beside threads: the child does not wait for a lock that only its parent's thread would give back."""

import os
import threading
from contextlib import contextmanager

import pytest

from qnn import _meter
from qnn._forking import ForkLock, Gate
from qnn._run import Once
from qnn.backends import requests
from qnn.gradients import operator


@contextmanager
def elsewhere(block):
    """A thread that is in the block until this one ends."""
    began, end = threading.Event(), threading.Event()

    def stay():
        with block:
            began.set()
            end.wait(60)

    thread = threading.Thread(target=stay)
    thread.start()
    assert began.wait(60)
    try:
        yield end
    finally:
        end.set()
        thread.join()


def forked(work, patience_s=20.0):
    """Whether `work` is true in a child; a child that hangs ends by itself."""
    if (child := os.fork()) == 0:
        threading.Timer(patience_s, os._exit, (3,)).start()
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads, which are what is tested
def test_a_lock_that_a_thread_holds_is_free_in_a_child_and_held_in_the_parent():
    budget, once = _meter.Budget(max_jobs=1), Once()
    made = [ForkLock(), budget._lock, once._lock, _meter._counting, requests._counting, operator._counting]

    def all_free():
        for lock in made:
            with lock:
                pass
        return True

    for lock in made:
        assert isinstance(lock, ForkLock)
        with elsewhere(lock):
            assert lock._lock.locked()
            if lock is made[0]:
                assert forked(all_free)
            assert lock._lock.locked()
    with made[0]:
        assert made[0]._lock.locked()


def test_a_fork_waits_for_those_inside_and_lets_nobody_in():
    gate = Gate(60.0)
    gate.close(), gate.open()  # nobody is there
    with elsewhere(gate.inside()) as end, elsewhere(gate.inside()):
        threading.Timer(0.05, end.set).start()
        with gate.inside(), gate.inside():  # blocks nest, and the forking thread's own do not matter
            gate.patience_s = 0.2
            gate.close()  # in vain, the second thread stays: the process forks all the same
            assert end.is_set() and len(gate._inside) == 2
            entered = threading.Event()

            def enter():
                with gate.inside():
                    entered.set()

            late = threading.Thread(target=enter)
            late.start()
            assert not entered.wait(0.05)
            gate.open()
            assert entered.wait(60)
            late.join()
    assert not gate._inside


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_finds_a_gate_open():
    gate = Gate(0.05)
    with elsewhere(gate.inside()):

        def enters():
            with gate.inside():
                return len(gate._inside) == 1

        assert forked(enters)
        assert len(gate._inside) == 1
        gate.close()
        gate.open()
