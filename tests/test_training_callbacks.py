import doctest
import importlib

import pytest
import torch

from qnn.errors import DtypeError
from qnn.training import Callback, fit

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])
JOINTS = ["on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end"]


class Diary(Callback):
    def __init__(self):
        self.entries = []


for _joint in JOINTS:
    setattr(Diary, _joint, lambda self, state, joint=_joint: self.entries.append((joint, state.epoch, state.step)))


def test_every_joint_is_notified_in_order():
    diary = Diary()
    fit(torch.nn.Linear(4, 2), (X, Y), epochs=2, batch_size=2, callbacks=[diary], progress=False)
    assert diary.entries == [
        ("on_fit_start", 0, 0),
        ("on_epoch_start", 1, 0),
        ("on_step_end", 1, 0),
        ("on_step_end", 1, 1),
        ("on_epoch_end", 1, 2),
        ("on_epoch_start", 2, 2),
        ("on_step_end", 2, 2),
        ("on_step_end", 2, 3),
        ("on_epoch_end", 2, 4),
        ("on_fit_end", 2, 4),
    ]


def test_callbacks_run_in_the_order_given_after_the_history():
    order = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, state):
            order.append((self.name, len(state.history.epochs)))

    fit(torch.nn.Linear(4, 2), (X, Y), epochs=1, callbacks=(Named("a"), Named("b")), progress=False)
    assert order == [("a", 1), ("b", 1)]


def test_a_callback_can_stop_training():
    class StopAfter(Callback):
        def on_epoch_end(self, state):
            state.stop = state.epoch == 3

    history = fit(torch.nn.Linear(4, 2), (X, Y), epochs=50, callbacks=[StopAfter()], progress=False)
    assert len(history.epochs) == 3


def test_a_callback_can_add_to_the_record():
    class Norm(Callback):
        def on_epoch_end(self, state):
            state.record["norm"] = state.model.weight.norm().item()

    history = fit(torch.nn.Linear(4, 2), (X, Y), epochs=2, callbacks=[Norm()], progress=False)
    assert len({epoch["norm"] for epoch in history.epochs}) == 2


def test_what_is_no_callback_is_refused():
    with pytest.raises(DtypeError, match=r"`callbacks` must be a sequence; got one Diary\. Put it in a list"):
        fit(torch.nn.Linear(4, 2), (X, Y), callbacks=Diary())  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"`callbacks` must hold Callback objects; got <built-in function print>"):
        fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[print])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "module",
    ["training.config", "training.callbacks.base", "training.evaluation", "training.loop", "tasks.data",
     "tasks.catalogue", "baselines.mlp", "baselines.catalogue"],
)  # fmt: skip
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(f"qnn.{module}"))
    assert result.attempted > 0 and result.failed == 0
