"""The meter: blocks nest, close after errors, and follow the context into threads that inherit it."""

import contextvars
import threading

import pytest

from qnn import _meter


def test_blocks_nest_and_each_sees_what_happens_within() -> None:
    _meter.record(circuits=100)  # nobody looks
    with _meter.measure() as outer:
        _meter.record(circuits=1, shots=10, jobs=1)
        with _meter.measure() as inner:
            _meter.record(circuits=2, shots=20)
        _meter.record(jobs=3)
    _meter.record(circuits=100)
    assert outer.as_dict() == {"circuits": 3, "shots": 30, "jobs": 4}
    assert inner.as_dict() == {"circuits": 2, "shots": 20, "jobs": 0}


def test_a_block_closes_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), _meter.measure() as usage:
        1 / 0  # noqa: B018
    _meter.record(circuits=1)
    assert usage == _meter.Usage()


def test_threads_count_where_they_inherit_the_context() -> None:
    with _meter.measure() as usage:
        context = contextvars.copy_context()
        threads = [
            threading.Thread(target=context.copy().run, args=(lambda: _meter.record(circuits=1),)) for _ in range(4)
        ]
        threads.append(threading.Thread(target=lambda: _meter.record(circuits=100)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert usage.circuits == 4
