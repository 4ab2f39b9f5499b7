"""A forecast is what `qnn.fit` then uses, to the last job, circuit and shot; and making it leaves everything alone."""

import json
import random
from functools import partial

import numpy as np
import pennylane as qml
import pytest
import torch
from test_backends_counting import Distant

import qnn
from qnn import QuantumLayer, _meter
from qnn.errors import ArgumentError, DtypeError, UnknownNameError
from qnn.models.forecasts.rehearsal import rehearsal

N = 11
X = torch.rand(N, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 2
HELD = (X[:5], Y[:5])
BASES = [qml.Z(0), qml.X(0) @ qml.X(1), qml.var(qml.Y(1))]
Lin = torch.nn.Linear


def hybrid(**options):
    layer = QuantumLayer(2, 1, seed=0, **options)
    return torch.nn.Sequential(Lin(3, 2), layer, Lin(layer.n_outputs, 2))


def first(**options):
    """The inputs are data, and need no gradient."""
    return torch.nn.Sequential(Lin(3, 2).requires_grad_(False), QuantumLayer(2, 1, seed=0, **options), Lin(2, 2))


def frozen():
    """No gradient of the weights, but of the inputs."""
    net = hybrid(gradient="parameter-shift")
    net[1].requires_grad_(False)
    return net


class Twice(torch.nn.Module):
    """One layer, called twice a forward, the second time with further leading dimensions; and another."""

    def __init__(self):
        super().__init__()
        self.one, self.two = QuantumLayer(3, 1, seed=0, backend="aer", shots=20), QuantumLayer(3, 1, seed=1)
        self.end = Lin(3, 2)

    def forward(self, x):
        outputs = self.one(x)
        return self.end(self.two(self.one(outputs[:, None].expand(-1, 2, -1)).mean(dim=1)))


def same(forecast, usage):
    return {name: getattr(forecast, name) for name in usage.as_dict()} == usage.as_dict()


def check(net, data=(X, Y), sample_weight=None, **options):
    """Forecast from the data, then train."""
    options = {"epochs": 2, "batch_size": 4, **options}
    forecast = qnn.forecast(net, data, **options)
    usage = qnn.fit(net, data, progress=False, sample_weight=sample_weight, **options).usage
    assert same(forecast, usage), (forecast.as_dict(), usage)
    assert usage.jobs and not forecast.at_most and not forecast.notes
    return forecast


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (hybrid, {}),
        (partial(hybrid, gradient="backprop"), {}),
        (partial(hybrid, gradient="parameter-shift"), {"restore_best": False}),
        (partial(hybrid, gradient="finite-difference", shots=30, observables=BASES), {}),
        (partial(hybrid, gradient="spsa", observables="probs"), {"batch_size": 1}),
        (partial(hybrid, backend="aer", observables=BASES), {}),
        (partial(hybrid, backend="aer", observables=BASES, shots=20), {"data": (X, Y, *HELD)}),
        (partial(hybrid, backend="aer", shots=20, gradient="spsa"), {"scheduler": "cosine", "batch_size": None}),
        (partial(hybrid, backend="pennylane:default.qubit", observables=BASES, shots=20), {"batch_size": 6}),
        (partial(hybrid, workers=1, rows_per_task=2), {}),
        (partial(hybrid, backend="ibm:fake_manila", shots=5), {"data": (X[:3], Y[:3]), "batch_size": 2, "epochs": 1}),
        (partial(hybrid, backend="aer", noise="fake_manila", shots=20, mitigation="readout"), {"epochs": 1}),
        (partial(hybrid, backend="aer", shots=20, mitigation="zne"), {"epochs": 1, "batch_size": 6}),
        (first, {}),
        (partial(first, gradient="parameter-shift"), {"batch_size": 100}),
        (frozen, {}),
        (Twice, {"sample_weight": torch.arange(1.0, N + 1), "metrics": ["f1_score"], "restore_best": False}),
    ],
)
def test_it_is_what_training_uses(build, options):
    check(build(), **options)


@pytest.mark.parametrize("optimizer", [qnn.SPSA, qnn.Rotosolve, qnn.NaturalGradient])
@pytest.mark.parametrize("late", [False, True])
def test_quantum_optimizers(optimizer, late):
    """Given as they are, or made by a function that knows the model."""
    net = hybrid()
    check(net, optimizer=(lambda weights: optimizer(net)) if late else optimizer(net))
    assert not net[1]._forward_hooks or optimizer is qnn.NaturalGradient


def test_optimizers_and_schedulers_of_ones_own():
    """The scheduler needs the training loss, which is one evaluation more."""
    net = hybrid()
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    options = {"optimizer": optimizer, "restore_best": False}
    without = qnn.forecast(net, (X, Y), 2, 4, **options)
    assert check(net, scheduler=scheduler, **options).jobs == without.jobs + 2


def test_evaluations_of_many_rows_come_in_pieces():
    x, y = X.repeat(94, 1)[:1030], Y.repeat(94)[:1030]
    forecast = check(hybrid(), (x, y), batch_size=1000, epochs=1)
    assert forecast.jobs == 4  # two steps, and 1024 rows and the rest


def test_l_bfgs_evaluates_at_most_so_often():
    for search in ("strong_wolfe", None):
        net = hybrid(gradient="parameter-shift")
        optimizer = partial(torch.optim.LBFGS, line_search_fn=search, max_iter=6)
        forecast = qnn.forecast(net, (X, Y), 3, None, optimizer=optimizer)
        used = qnn.fit(net, (X, Y), epochs=3, batch_size=None, optimizer=optimizer, progress=False).usage
        assert forecast.at_most and used.jobs <= forecast.jobs and "at most" in str(forecast)
    assert used.jobs > forecast.jobs / 2


class Thrice(torch.optim.SGD):
    needs_closure = True

    def step(self, closure):
        losses = [closure() for _ in range(3)]
        return losses[0]


def test_an_unknown_optimizer_that_evaluates_by_itself_is_noted():
    forecast = qnn.forecast(hybrid(), (X, Y), 2, 4, optimizer=partial(Thrice, lr=0.1), restore_best=False)
    assert forecast.jobs == 18 and "Thrice is counted as it evaluates on made-up values" in forecast.notes[0]


@pytest.mark.parametrize(
    ("build", "loss", "shape"),
    [
        (hybrid, "cross_entropy", None),
        (lambda: torch.nn.Sequential(torch.nn.Flatten(), hybrid()), "mse", None),
        (lambda: torch.nn.Sequential(torch.nn.LayerNorm(3), hybrid()[:2], Lin(2, 1)), "binary_cross_entropy", None),
        (lambda: qnn.QuantumNeuralNetwork(3, None, 1, n_qubits=2, n_layers=1, seed=0), "huber", None),
        (lambda: QuantumLayer(2, 1, encoding="amplitude", seed=0), "cross_entropy", (4,)),
        (
            lambda: torch.nn.Sequential(
                torch.nn.Conv2d(1, 1, 2), torch.nn.Flatten(), QuantumLayer(2, 1, encoding="amplitude", seed=0)
            ),
            "cross_entropy",
            (1, 3, 3),
        ),
    ],
)
def test_rows_of_which_only_the_number_is_known(build, loss, shape):
    net = build()
    options = {"loss": loss, "epochs": 2, "batch_size": 4}
    forecast = qnn.forecast(net, N, n_validation=5, input_shape=shape, **options)
    x = torch.rand(N, *(shape or (3,)))
    y = Y if loss.endswith("entropy") else torch.rand(N, *([2] if loss == "mse" else []))
    assert same(forecast, qnn.fit(net, (x, y, x[:5], y[:5]), progress=False, **options).usage)
    assert forecast.n_samples == N and forecast.n_validation == 5 and forecast.steps_per_epoch == 3


@pytest.mark.parametrize("options", [{}, {"batch_size": 1500}, {"n_validation": 1025}, {"n_validation": 2100}])
def test_a_number_of_rows_is_counted_like_so_many_rows(options):
    """More rows than a forward call of an evaluation takes, whose last one is smaller."""
    n, held = 2500, options.get("n_validation", 0)
    fitted = {"epochs": 2, "batch_size": options.get("batch_size", 600)}
    told = qnn.forecast(hybrid(), n, n_validation=held, **fitted)
    x, y = torch.rand(n, 3), torch.arange(n) % 2
    data = (x, y, x[:held], y[:held]) if held else (x, y)
    assert same(told, qnn.fit(hybrid(), data, progress=False, **fitted).usage)
    assert (told.n_samples, told.n_validation) == (n, held)


def test_it_costs_as_much_for_any_number_of_rows():
    n, held = 10**15 + 7, 10**12 + 1  # which no memory holds
    told = qnn.forecast(hybrid(), n, 3, 32, n_validation=held)
    steps, evaluations = n // 32 + 1, held // 1024 + 1
    assert told.jobs == 3 * (steps + evaluations) and told.circuits == 3 * (n + held)
    assert qnn.forecast(hybrid(), n, 3, 32).jobs == 3 * (steps + n // 1024 + 1)


def test_labels_that_are_sorted_have_two_classes():
    check(hybrid(), (X, (torch.arange(N) > 8).long()), batch_size=2)
    with pytest.raises(ArgumentError, match="must hold two classes or more"):
        qnn.forecast(hybrid(), (X, 0 * Y), 1, 4)


def test_nothing_is_touched():
    net = hybrid(backend="aer", shots=10)
    qnn.fit(net, (X, Y), epochs=1, progress=False)
    net(X).sum().backward()
    optimizer = qnn.SPSA(net, seed=0)
    facts = lambda: [
        [w.clone() for w in net.parameters()],
        [w.grad.clone() for w in net.parameters()],
        [net[1].sampling_state(), net[1].backend, net.training],
        [torch.get_rng_state(), np.random.get_state()[1], random.getstate()],  # noqa: NPY002
        optimizer.state_dict(),
    ]
    before, plan = facts(), net[1].plan
    gradients = [w.grad for w in net.parameters()]
    with _meter.measure() as usage, _meter.budget(max_jobs=0):
        forecast = qnn.forecast(net, (X, Y), 2, 4, optimizer=optimizer, loss=lambda o, y: o.sum() + net(X).sum())
    assert usage == _meter.Usage() and forecast.jobs == 2 * (9 * 2 + 1 + 1)  # the loss runs the model, too
    assert str(before) == str(facts()) and net[1].plan is plan
    assert all(a is w.grad for a, w in zip(gradients, net.parameters(), strict=True))


def test_a_place_elsewhere_is_not_asked_to_execute():
    layer = QuantumLayer(3, 1, seed=0, backend=Distant(0.5), shots=10)
    near = QuantumLayer(3, 1, seed=0)
    net = torch.nn.Sequential(layer, near)
    forecast = qnn.forecast(net, 10, 2, 8, restore_best=False)
    distant, local = forecast.layers
    rows = 8 * 7  # each, and three weights shifted both ways
    assert (distant.backend, distant.gradient, distant.per_step.jobs) == ("distant", "parameter-shift", rows // 4)
    assert local.per_step.jobs == 1 and local.total.qpu_seconds is None
    assert distant.per_step.qpu_seconds == forecast.per_step.qpu_seconds == rows * 0.5
    assert forecast.beforehand.jobs == 1 and forecast.qpu_seconds is None  # nobody says how long that takes
    assert forecast.jobs == 1 + 2 * (14 + 4 + 2)


def test_it_prints_as_tables_and_as_plain_data():
    forecast = qnn.forecast(Twice(), 100, 10, 32, input_shape=3)
    lines = str(forecast).splitlines()
    assert lines[:2] == ["rows    100 for training in batches of 32", "epochs  10 of 4 steps"]
    assert [line.split()[:3] for line in lines[4:6]] == [
        ["one", "aer", "parameter-shift"],
        ["two", "statevector", "adjoint"],
    ]
    assert lines[-1].split() == ["in", "all", f"{forecast.jobs}", f"{forecast.circuits:,}", f"{forecast.shots:,}", "-"]
    data = json.loads(json.dumps(forecast.as_dict()))
    assert data["shots"] == forecast.shots and data["layers"][1]["per_step"]["circuits"] == 32
    assert data["per_epoch"]["jobs"] * 10 == data["jobs"]


def test_a_model_without_circuits_uses_none():
    assert qnn.forecast(Lin(2, 2), 10, 2).total == qnn.forecast(Lin(2, 2), (X[:, :2], Y), 2).total
    assert qnn.forecast(Lin(2, 2), 10, 2).jobs == 0


class Inside(torch.nn.Module):
    """Its first layer by registration is not the first by use."""

    def __init__(self):
        super().__init__()
        self.last, self.first = Lin(2, 2), hybrid()

    def forward(self, x):
        return self.last(self.first(x))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3, 10), {}, DtypeError, "`model` must be a torch.nn.Module; got int"),
        ((hybrid(), 0), {}, ArgumentError, "`n_samples` must be a number of rows of at least 1; got 0"),
        ((hybrid(), True), {}, ArgumentError, "`n_samples` must be a number of rows.*or the data themselves; got True"),
        ((hybrid(), 4.5), {}, ArgumentError, "`n_samples` must be a number of rows.*; got 4.5. Use 100"),
        ((hybrid(), "9"), {}, ArgumentError, "`n_samples` must be a number of rows.*; got '9'"),
        (
            (hybrid(), 10**9, 1, None),
            {},
            ArgumentError,
            "`n_samples` must be.*more than 1,000,000 rows; got 1,000,000,000",
        ),
        ((hybrid(), 9), {"n_validation": -1}, ArgumentError, r"must be a number of rows of at least 0; got -1. Use 0"),
        ((hybrid(), (X, Y)), {"n_validation": 3}, ArgumentError, "`n_validation` must be left out with the data"),
        ((hybrid(), 9, 0), {}, ArgumentError, "`epochs` must be an integer of at least 1"),
        (
            (hybrid(), 9),
            {"callbacks": []},
            ArgumentError,
            "`callbacks` must be left out of a forecast.*got a list. Give",
        ),
        ((hybrid(), 9), {"epoch": 3}, UnknownNameError, 'No training option named "epoch"'),
        ((torch.nn.Sequential(torch.nn.Conv2d(1, 1, 2)), 9), {}, ArgumentError, "begins with Conv2d, which takes"),
        ((torch.nn.Sequential(torch.nn.ReLU()), 9), {}, ArgumentError, "in which no layer says how many features"),
        ((Inside(), 9), {}, ArgumentError, r"rows of shape \(2,\), as its first layer takes, do not go through"),
        ((hybrid(), 9), {"input_shape": (2,)}, ArgumentError, r"rows of shape \(2,\) do not go through it"),
        ((hybrid(), 9), {"input_shape": ("a",)}, ArgumentError, "a tuple of whole numbers; got"),
        ((hybrid(), 9), {"loss": torch.nn.MSELoss()}, ArgumentError, "must be the data themselves with a loss of your"),
        ((hybrid().requires_grad_(False), 9), {}, ArgumentError, "must have a trainable parameter"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        qnn.forecast(*arguments, **options)


def test_a_model_that_cannot_be_copied_is_refused_and_left_where_it_was():
    net = hybrid()
    net.kept = net(X)
    with pytest.raises(ArgumentError, match="must be copyable to be forecast"):
        qnn.forecast(net, 9)
    assert net[1].backend.name == "statevector" and type(net[1].backend).__name__ == "Statevector"


def test_a_rehearsal_counts_calls_of_the_original_too():
    net = hybrid()
    with rehearsal(net) as stage:
        net(X), stage.model(X[:2])
        taken = stage.take()
        assert taken["1"].circuits == N + 2 and stage.take()["1"].circuits == 0
    with _meter.measure() as usage:
        net(X)
    assert usage.circuits == N
