"""Losses: their values, the targets they accept, and what they say of wrong ones."""

import pytest
import torch

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError
from qnn.training import evaluate, fit
from qnn.training.losses import LOSSES, loss_named

OUTPUTS = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 0.1]])
LABELS = torch.tensor([0, 1, 1])
REAL = torch.tensor([[0.0, 1.0], [2.5, -0.3], [4.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "outputs", "y", "expected"),
    [
        ("cross_entropy", OUTPUTS, LABELS, -torch.log_softmax(OUTPUTS, 1)[range(3), LABELS].mean()),
        (
            "binary_cross_entropy", OUTPUTS[:, :1], LABELS,
            -torch.log(torch.sigmoid(OUTPUTS[:, 0] * torch.tensor([-1, 1, 1]))).mean(),
        ),
        ("mse", OUTPUTS, REAL, (OUTPUTS - REAL).square().mean()),
        ("mae", OUTPUTS, REAL, (OUTPUTS - REAL).abs().mean()),
        ("huber", OUTPUTS[:, :1], REAL[:, 0], torch.tensor([0.125, 0.125, 4.2]).mean()),
    ],
)  # fmt: skip
def test_values_and_their_rows(name, outputs, y, expected):
    loss = LOSSES[name]
    assert loss(outputs, y).item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.rows(outputs, y).mean().item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.rows(outputs, y).shape == (3,)


def test_one_logit_tells_two_classes_apart():
    x = torch.linspace(-1, 1, 20)[:, None]
    y = (x[:, 0] > 0.2).long()
    model = torch.nn.Linear(1, 1)
    fit(model, (x, y), loss="binary_cross_entropy", epochs=200, learning_rate=0.2, progress=False)
    assert evaluate(model, (x, y), loss="binary_cross_entropy").accuracy == 1.0


def test_a_loss_of_ones_own_trains_like_the_named_one():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    y = x[:, :1] - x[:, 1:]
    found = []
    for loss in ("mse", torch.nn.MSELoss(), lambda outputs, y: (outputs - y).square().mean()):
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1)
        fit(model, (x, y), loss=loss, epochs=3, progress=False)
        found.append(model.weight.detach().clone())
    assert torch.allclose(found[0], found[1]) and torch.allclose(found[0], found[2], atol=1e-6)
    assert torch.allclose(loss_named(torch.nn.MSELoss()).rows(y, 0 * y), y.square()[:, 0])


def test_accuracy_goes_by_weight():
    x, y = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([1, 0, 0])
    model = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    still = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30, "progress": False}
    for weight, expected in (((1.0, 1.0, 1.0), 2 / 3), ((1.0, 6.0, 1.0), 0.25)):
        record = fit(model, (x, y, x, y), sample_weight=(torch.tensor(weight), torch.tensor(weight)), **still).epochs[0]
        assert record["train_accuracy"] == pytest.approx(expected)
        assert record["validation_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("loss", "model", "y", "error", "match"),
    [
        ("binary_cross_entropy", torch.nn.Linear(1, 2), [0, 1], ShapeError, r"shape \(2, 1\), one logit a row"),
        ("binary_cross_entropy", torch.nn.Linear(1, 1), [0, 2], ArgumentError, r"labels 0 to 1, .* got 2 in row 1"),
        ("binary_cross_entropy", torch.nn.Linear(1, 1), [0.0, 1.0], DtypeError, r"must hold integer class labels"),
        ("mae", torch.nn.Linear(1, 2), [0.5, 1.0], ShapeError, r'must return shape \(2, 1\) .* for loss="mae"'),
        (lambda o, y: o, torch.nn.Linear(1, 1), [0.5, 1.0], ShapeError, r"`loss` must return a tensor with one value"),
        (torch.nn.MSELoss(), torch.nn.Linear(1, 1), [0.5, float("nan")], NotFiniteError, r"NaN or infinity in row 1"),
        (3, torch.nn.Linear(1, 1), [0.5, 1.0], DtypeError, r"`loss` must be a name or a function"),
        (torch.nn.MSELoss, torch.nn.Linear(1, 1), [0.5, 1.0], DtypeError, r"`loss` must be a name or a function"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(loss, model, y, error, match):
    with pytest.raises(error, match=match):
        fit(model, (torch.zeros(2, 1), torch.tensor(y)), loss=loss, progress=False)
