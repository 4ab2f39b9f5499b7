"""What can be a pipeline, where it can be cut, and what goes between the stages."""

import copy

import pytest
import torch
from torch import nn

from qnn import QuantumLayer
from qnn.errors import ArgumentError, DtypeError, ShapeError
from qnn.training.stages import check_stages, checked_cuts, checked_model, passed_on


def linear():
    return nn.Linear(2, 2)


class Scaled(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2 + 1


class Named(nn.Sequential):
    """As its parts."""


def test_models_that_are_more_than_their_parts_are_refused():
    checked_model(Named(linear(), linear()))
    with pytest.raises(DtypeError, match=r"`model` must be a torch.nn.Sequential; got Linear"):
        checked_model(linear())
    with pytest.raises(DtypeError, match=r"got Scaled with a `forward` of its own. Put what it adds into a part"):
        checked_model(Scaled(linear(), linear()))
    patched = nn.Sequential(linear(), linear())
    patched.forward = lambda x: x
    with pytest.raises(DtypeError, match="got Sequential with a `forward` of its own"):
        checked_model(patched)
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        hooked = nn.Sequential(linear(), linear())
        getattr(hooked, register)(lambda *_: None)
        with pytest.raises(ArgumentError, match=r"must have no hooks as a whole.* Register them on the parts"):
            checked_model(hooked)
    own = Named(linear(), linear())
    own.register_buffer("scale", torch.ones(1))
    with pytest.raises(ArgumentError, match='its tensors in its parts for a pipeline; got "scale" beside'):
        checked_model(own)


def test_stages_that_cannot_be_trained_apart_are_refused():
    one = linear()
    for model, told in (((one, nn.Tanh()), "stage 1 has parts 1 to 1 and none"), ((one, one), "stages 0 and 1 do")):
        with pytest.raises(ArgumentError, match=told):
            check_stages(nn.Sequential(*model), (0, 1, 2))


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (nn.Dropout(0.5), "not draw random numbers.* got Dropout.* in stage 1"),
        (nn.RReLU(), "not draw random numbers.* got RReLU"),
        (nn.GRU(2, 2, 2, dropout=0.1), "not draw random numbers.* got GRU"),
        (nn.MultiheadAttention(2, 1, dropout=0.1), "not draw random numbers.* got Multihead"),
        (nn.BatchNorm1d(2), "treat rows one by one.* got BatchNorm1d.* in stage 1. Use torch.nn.LayerNorm"),
        (nn.BatchNorm2d(2, track_running_stats=False), "treat rows one by one.* got BatchNorm2d"),
        (nn.SyncBatchNorm(2), "treat rows one by one.* got SyncBatchNorm"),
        (nn.InstanceNorm1d(2, track_running_stats=True), "treat rows one by one.* got InstanceNorm1d"),
        (nn.utils.parametrizations.spectral_norm(linear()), "not change with every call.* got spectral"),
    ],
)
def test_parts_that_see_other_rows_or_draw_are_refused(part, told):
    with pytest.raises(ArgumentError, match=told):
        check_stages(nn.Sequential(linear(), nn.Sequential(part, linear())), (0, 1, 2))


def test_parts_that_see_one_row_are_not():
    parts = nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm1d(2), nn.Dropout(0.0), nn.GRU(2, 2), linear()
    check_stages(nn.Sequential(linear(), nn.Sequential(*parts)), (0, 1, 2))


def test_cuts():
    model = nn.Sequential(nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 2), nn.Linear(2, 2))
    assert checked_cuts(model, None, 2) == (1,)
    assert checked_cuts(model, None, 4) == (1, 2, 3)
    assert checked_cuts(model, [3], 2) == (3,)
    for cuts in ([0], [4], [1, 2], [], [1.5]):
        with pytest.raises(ArgumentError, match="`cuts` must be 1 rising numbers between 1 and 3"):
            checked_cuts(model, cuts, 2)


def test_every_process_knows_all_shapes_and_what_does_not_fit():
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2), QuantumLayer(2, 1, seed=0), nn.Linear(2, 3))
    parts = copy.deepcopy(model).to("meta")
    found = passed_on(parts, (0, 1, 3, 5), torch.zeros(8, 6), training=True)
    assert [tuple(t.shape) for t in found] == [(8, 6), (8, 4), (8, 2), (8, 3)]
    assert [t.requires_grad for t in found] == [False, True, True, True]
    assert not any(t.requires_grad for t in passed_on(parts, (0, 1, 5), torch.zeros(8, 6), training=False))
    with pytest.raises(
        ShapeError, match=r"`data` must have rows that the model takes.*got rows of shape \(5,\): .* Prepare"
    ):
        passed_on(parts, (0, 1, 5), torch.zeros(8, 5), training=True)
    with pytest.raises(ShapeError, match="`inputs` must end in 2 features"):
        passed_on([*parts[:2], *parts[3:]], (0, 2, 4), torch.zeros(8, 6), training=True)
