"""What one step does: optimizers as torch has them, penalties, clipping, weights of rows, against loops by hand."""

import functools
import warnings
from typing import Any

import pytest
import torch

from qnn.errors import (
    ArgumentError,
    DtypeError,
    NoEffectWarning,
    NotFiniteError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)
from qnn.training import Callback, FitConfig, fit

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()
QUIET: dict[str, Any] = {"progress": False, "restore_best": False}
cross_entropy = torch.nn.functional.cross_entropy


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def weights(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def by_hand(make, *, epochs=3, batch_size=10, loss=None, after=None, scheduler=None, per_step=False):
    """The textbook loop, with a closure for every optimizer."""
    model = network()
    optimizer = make(list(model.parameters()))
    schedule = scheduler and scheduler(optimizer)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=order).split(batch_size):

            def closure(rows=rows):
                optimizer.zero_grad()
                value = (loss or (lambda m, x, y, r: cross_entropy(m(x), y)))(model, X[rows], Y[rows], rows)
                value.backward()
                if after:
                    after(model)
                return value

            optimizer.step(closure)
            if schedule and per_step:
                schedule.step()
        if schedule and not per_step:
            schedule.step()
    return weights(model)


def fitted(**options):
    model = network()
    fit(model, (X, Y), **{"epochs": 3, "batch_size": 10, "learning_rate": 0.05, **QUIET, **options})
    return weights(model)


OPT = torch.optim


@pytest.mark.parametrize(
    ("options", "make"),
    [
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda w: OPT.AdamW(w, lr=0.05, weight_decay=0.1)),
        ({"optimizer": "rmsprop"}, lambda w: OPT.RMSprop(w, lr=0.05)),
        (
            {"optimizer": "rmsprop", "momentum": 0.5, "weight_decay": 0.1},
            lambda w: OPT.RMSprop(w, lr=0.05, momentum=0.5, weight_decay=0.1),
        ),
        ({"optimizer": "lbfgs"}, lambda w: OPT.LBFGS(w, lr=0.05, line_search_fn="strong_wolfe")),
        (
            {"optimizer": functools.partial(OPT.Adagrad, lr=0.1), "learning_rate": 0.01},
            lambda w: OPT.Adagrad(w, lr=0.1),
        ),
        (
            {"optimizer": functools.partial(OPT.LBFGS, max_iter=3), "learning_rate": 0.01},
            lambda w: OPT.LBFGS(w, max_iter=3),
        ),
    ],
    ids=["adamw", "rmsprop", "rmsprop-momentum", "lbfgs", "callable", "own lbfgs"],
)
def test_optimizers_are_torchs_to_the_bit(options, make):
    assert torch.equal(fitted(**options), by_hand(make))


def test_an_optimizer_can_be_given_as_it_is():
    model = network()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.3)  # one layer only: the others stay
    before = model[2].weight.detach().clone()
    fit(model, (X, Y), optimizer=optimizer, epochs=1, **QUIET)
    assert torch.equal(model[2].weight, before) and not torch.equal(model[0].weight, network()[0].weight)
    with pytest.raises(ArgumentError, match="`optimizer` must hold parameters of the model; got one that holds none"):
        fit(network(), (X, Y), optimizer=optimizer, **QUIET)
    with pytest.raises(DtypeError, match=r"`optimizer` must give a torch\.optim\.Optimizer when called"):
        fit(network(), (X, Y), optimizer=lambda weights: None, **QUIET)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("name", ["cosine", "exponential", "callable"])
def test_the_learning_rate_follows_the_schedule(name, per_step):
    times = 9 if per_step else 3
    make = {
        "cosine": lambda o: OPT.lr_scheduler.CosineAnnealingLR(o, times),
        "exponential": lambda o: OPT.lr_scheduler.ExponentialLR(o, 0.01 ** (1 / times)),
        "callable": lambda o: OPT.lr_scheduler.StepLR(o, 2),
    }[name]
    expected = by_hand(lambda w: OPT.Adam(w, lr=0.05), scheduler=make, per_step=per_step)
    scheduler = make if name == "callable" else name
    step = "step" if per_step else "epoch"
    assert torch.equal(fitted(scheduler=scheduler, scheduler_step=step), expected)


def test_a_plateau_lowers_the_rate():
    plateau = functools.partial(OPT.lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.5)
    noisy = {"learning_rate": 5.0, "epochs": 8, "optimizer": "sgd", "scheduler": plateau, **QUIET}
    rates = [e["learning_rate"] for e in fit(network(), (X, Y, X, Y), **noisy).epochs]
    assert rates[0] == 5.0 and rates[-1] < 5.0


def test_penalties_are_added_to_what_is_minimised_and_not_to_what_is_reported():
    def penalised(model, x, y, rows):
        w = list(model.parameters())
        return (
            cross_entropy(model(x), y) + 0.03 * sum(p.abs().sum() for p in w) + 0.2 * sum(p.square().sum() for p in w)
        )

    expected = by_hand(lambda w: OPT.SGD(w, lr=0.05), loss=penalised)
    got = fitted(optimizer="sgd", l1_penalty=0.03, l2_penalty=0.2)
    assert torch.allclose(got, expected, atol=1e-6)
    still = fit(network(), (X, Y), optimizer="sgd", learning_rate=1e-30, l1_penalty=1.0, epochs=1, **QUIET)
    assert still.epochs[0]["train_loss"] == pytest.approx(cross_entropy(network()(X), Y).item(), rel=1e-5)


def test_gradients_are_clipped_to_the_norm():
    def clip(model):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)

    assert torch.equal(
        fitted(optimizer="sgd", max_gradient_norm=0.05), by_hand(lambda w: OPT.SGD(w, lr=0.05), after=clip)
    )


def test_a_row_of_weight_two_is_a_row_twice_and_of_weight_zero_none():
    weight = torch.ones(30, dtype=torch.float64)
    weight[3], weight[5] = 2, 0
    rows = [*(r for r in range(30) if r != 5), 3]
    options: dict[str, Any] = {"optimizer": "sgd", "batch_size": None, "epochs": 5, **QUIET}
    one, other = network(), network()
    fit(one, (X, Y), sample_weight=weight, **options)
    fit(other, (X[rows], Y[rows]), **options)
    assert torch.allclose(weights(one), weights(other), atol=1e-6)
    assert not torch.allclose(weights(one), fitted(**options), atol=1e-6)


def test_weights_count_between_batches_too():
    """With one row a step, a row of weight w moves the model w times as far as without weights."""
    weight = torch.linspace(0.1, 4, 30)
    plain, heavy = network(), network()
    one_row: dict[str, Any] = {"optimizer": "sgd", "batch_size": 1, "learning_rate": 1e-4, "epochs": 1, **QUIET}
    seen = []

    class Moves(Callback):
        def on_backward_end(self, state):
            seen.append(torch.cat([p.grad.reshape(-1) for p in state.model.parameters()]).clone())

    fit(plain, (X, Y), callbacks=[Moves()], **one_row)
    history = fit(heavy, (X, Y), callbacks=[Moves()], sample_weight=weight, **one_row)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for step, row in enumerate(order.tolist()):
        assert torch.allclose(seen[30 + step], seen[step] * weight[row] / weight.mean(), rtol=0.02, atol=1e-3)
    losses = cross_entropy(network()(X), Y, reduction="none").detach()
    assert history.epochs[0]["train_loss"] == pytest.approx(float((losses * weight).sum() / weight.sum()), rel=1e-2)


def test_rows_of_weight_zero_do_not_choose_the_best_epoch():
    weight = torch.cat([torch.ones(30), torch.zeros(60)])
    x, y = torch.cat([X, X, X]), torch.cat([Y, 1 - Y, 1 - Y])  # those of weight zero say the contrary
    options: dict[str, Any] = {"epochs": 20, "batch_size": None, "learning_rate": 0.05, "progress": False}
    alone, beside = (fit(network(), data, **options, **more) for data, more in (
        ((X, Y), {}), ((x, y), {"sample_weight": weight}),
    ))  # fmt: skip
    assert beside.best_epoch == alone.best_epoch == 20


def test_parameters_that_the_optimizer_does_not_hold_gather_no_gradients():
    norms = []

    class First(Callback):
        def on_backward_end(self, state):
            norms.append(float(state.model[0].weight.grad.norm()))

    model = network()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=1e-30)
    fit(model, (X, Y), optimizer=optimizer, batch_size=None, epochs=3, callbacks=[First()], **QUIET)
    assert norms[0] == pytest.approx(norms[1]) == pytest.approx(norms[2])


def test_a_loss_that_is_not_finite_is_told_with_optimizers_without_gradients_too():
    class Search(torch.optim.Optimizer):
        needs_closure = True

        def __init__(self, parameters):
            super().__init__(parameters, {})

        @torch.no_grad()
        def step(self, closure):
            closure()
            self.param_groups[0]["params"][1].fill_(float("nan"))
            closure()

    text = r'got a loss of nan at step 0 \(epoch 1, seed 0\): the value of parameter "0\.bias" is the first'
    with pytest.raises(TrainingError, match=text):
        fit(network(), (X, Y), optimizer=Search, epochs=1, **QUIET)


def test_what_callbacks_say_of_a_step_is_of_that_step():
    seen = []

    class Say(Callback):
        def on_step_end(self, state):
            if state.step == 0:
                state.step_record["said"] = 1.0
            seen.append(dict(state.step_record))

    fit(network(), (X, Y), batch_size=10, epochs=1, callbacks=[Say()], **QUIET)
    assert seen == [{"said": 1.0}, {}, {}]


def test_every_callback_comes_to_its_end_even_where_one_fails():
    ended = []

    class Fails(Callback):
        def on_fit_end(self, state):
            raise RuntimeError("first")

    class Ends(Callback):
        def on_fit_end(self, state):
            ended.append(True)

    with pytest.raises(RuntimeError, match="first"):
        fit(network(), (X, Y), epochs=1, callbacks=[Fails(), Ends()], **QUIET)
    assert ended == [True]


@pytest.mark.parametrize(
    ("sample_weight", "error", "match"),
    [
        (torch.ones(3), ShapeError, r"`sample_weight` must have shape \(30,\)"),
        (torch.full((30,), -1.0), ArgumentError, r"must be at least 0; got -1\.0 in row 0"),
        (torch.full((30,), float("nan")), NotFiniteError, r"must be finite; got nan in row 0"),
        (torch.zeros(30), ArgumentError, r"must have a weight above 0; got zeros only"),
    ],
    ids=["shape", "negative", "nan", "zero"],
)
def test_wrong_weights_are_refused(sample_weight, error, match):
    with pytest.raises(error, match=match):
        fit(network(), (X, Y), sample_weight=sample_weight, **QUIET)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"scheduler": "cosin"}, UnknownNameError, 'No scheduler named "cosin"'),
        ({"scheduler_step": "day"}, UnknownNameError, 'No value of `scheduler_step` named "day"'),
        ({"l1_penalty": -1}, ArgumentError, "`l1_penalty` must be finite, at least 0"),
        ({"max_gradient_norm": 0}, ArgumentError, "`max_gradient_norm` must be finite, above 0"),
        ({"optimizer": 3}, DtypeError, "`optimizer` must be a name, a torch.optim object"),
        ({"data_parallel": 1}, DtypeError, "`data_parallel` must be True or False"),
    ],
)
def test_wrong_options_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        FitConfig(**options)


def test_schedules_that_cannot_work_are_refused():
    plateau = OPT.lr_scheduler.ReduceLROnPlateau
    with pytest.raises(ArgumentError, match=r'`scheduler_step` must be "epoch" with ReduceLROnPlateau'):
        fit(network(), (X, Y), scheduler=plateau, scheduler_step="step", **QUIET)
    other = OPT.SGD(network().parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match=r"`scheduler` must be one of the optimizer that trains"):
        fit(network(), (X, Y), scheduler=OPT.lr_scheduler.StepLR(other, 1), **QUIET)


def test_what_an_optimizer_has_no_use_for_warns():
    with pytest.warns(NoEffectWarning, match=r"`learning_rate`=0\.5 has no effect with an optimizer that is given"):
        FitConfig(optimizer=OPT.Adam, learning_rate=0.5)
    with pytest.warns(NoEffectWarning, match=r'`scheduler_step`="step" has no effect without a scheduler'):
        FitConfig(scheduler_step="step")
    with pytest.warns(NoEffectWarning, match=r'`weight_decay`=0\.1 has no effect with optimizer="lbfgs"'):
        FitConfig(optimizer="lbfgs", weight_decay=0.1)


def test_an_optimizer_without_gradients_gets_losses_of_fresh_calls():
    class Search(torch.optim.Optimizer):
        needs_closure = True

        def __init__(self, weights):
            super().__init__(weights, {})

        @torch.no_grad()
        def step(self, closure):
            losses.append([closure().item(), closure().item()])

    losses: list[Any] = []
    joints = []

    class Diary(Callback):
        def on_backward_end(self, state):
            joints.append("backward")

    history = fit(network(), (X, Y), optimizer=Search, batch_size=None, epochs=1, callbacks=[Diary()], **QUIET)
    assert losses[0][0] == losses[0][1] == pytest.approx(history.epochs[0]["train_loss"]) and joints == []


def test_options_are_plain_data():
    import json

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = FitConfig(optimizer=functools.partial(OPT.Adam, lr=0.1), loss=torch.nn.MSELoss(), metrics=["r2_score"])
    plain = json.loads(json.dumps(config.as_dict()))
    assert plain["optimizer"] == {"partial": "Adam", "args": [], "keywords": {"lr": 0.1}}
    assert (plain["loss"], plain["metrics"]) == ("MSELoss", ["r2_score"])


def test_a_dataset_is_read_and_a_loader_refused():
    from torch.utils.data import DataLoader, Dataset, TensorDataset

    class Pairs(Dataset):
        def __len__(self):
            return 30

        def __getitem__(self, row):
            return X[row], int(Y[row])

    expected = fitted()
    for data in (TensorDataset(X, Y), Pairs()):
        model = network()
        fit(model, data, epochs=3, batch_size=10, learning_rate=0.05, **QUIET)
        assert torch.equal(weights(model), expected)
    with pytest.raises(DtypeError, match="`data` must be the rows themselves; got a DataLoader"):
        fit(network(), DataLoader(TensorDataset(X, Y)), **QUIET)
