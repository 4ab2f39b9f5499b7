"""What an exported network may compute: the same, but for inputs of int8 layers that lie between two integers."""

import pytest
import torch

from qnn.errors import ExportError
from qnn.layers import Int8Linear
from qnn.layers.export_check import compare

ROWS = torch.tensor([[127.0, 10.5, 3.0], [127.0, 20.2, -4.0]])  # in steps: 10.5 rounds to 10, or to 11 a bit further up


def one_layer() -> Int8Linear:
    layer = Int8Linear(3, 2)
    layer.weight = torch.tensor([[1, 50, -3], [7, 100, 20]], dtype=torch.int8)
    layer.scale = torch.tensor([0.01, 0.02])
    return layer


def test_a_rounding_that_the_last_bit_decides_may_go_either_way_and_no_other():
    net = torch.nn.Sequential(one_layer(), torch.nn.LeakyReLU(0.5))
    further = ROWS + torch.tensor([[0.0, 1e-4, 0.0], [0.0, 0.0, 0.0]])
    assert float((net(further) - net(ROWS)).abs().max()) > 1e-3  # one step of the one input
    compare(net, (ROWS,), [net(further).numpy()])
    wrong = net(ROWS)
    wrong[1] += 1e-3  # where nothing is in doubt
    with pytest.raises(ExportError, match=r"agree with torch to 1e-05; got a difference of 0\.001 at 2 rows"):
        compare(net, (ROWS,), [wrong.numpy()])
    assert net[0].shift == 0


def test_more_than_the_step_is_wrong():
    layer = one_layer()
    with pytest.raises(ExportError, match="got a difference of"):
        compare(layer, (ROWS,), [layer(ROWS + torch.tensor([[0.0, 5.0, 0.0]])).numpy()])
