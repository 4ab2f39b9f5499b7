"""What `fit` computes: against a loop written by hand, option by option."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from qnn.errors import ArgumentError, DtypeError
from qnn.tasks import load_task
from qnn.training import Callback, FitConfig, fit

QUIET: dict[str, Any] = {"progress": False}


def blobs(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return torch.randn(n, 2, generator=generator) + 2.0 * torch.nn.functional.one_hot(y, 3)[:, :2], y


def network(seed=0, dropout=0.0, dtype=torch.float32):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 3)
        ).to(dtype)


def weights(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def by_hand(model, x, y, make_optimizer, loss, *, epochs, batch_size, seed):
    """The textbook loop."""
    optimizer = make_optimizer(model.parameters())
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(batch_size):
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model


@pytest.mark.parametrize(
    ("options", "make_optimizer"),
    [
        ({"optimizer": "adam"}, lambda w: torch.optim.Adam(w, lr=0.02)),
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda w: torch.optim.Adam(w, lr=0.02, weight_decay=0.1)),
        ({"optimizer": "sgd"}, lambda w: torch.optim.SGD(w, lr=0.02)),
        ({"optimizer": "sgd", "momentum": 0.9}, lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9)),
        ({"optimizer": "sgd", "weight_decay": 0.1}, lambda w: torch.optim.SGD(w, lr=0.02, weight_decay=0.1)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_weights_are_bit_identical_to_a_loop_by_hand(options, make_optimizer):
    x, y = blobs()
    model = network()
    fit(model, (x, y), epochs=3, batch_size=16, learning_rate=0.02, seed=5, restore_best=False, **options, **QUIET)
    loss = torch.nn.functional.cross_entropy
    expected = by_hand(network(), x, y, make_optimizer, loss, epochs=3, batch_size=16, seed=5)
    assert torch.equal(weights(model), weights(expected))


def test_mse_recovers_the_coefficients_of_a_line():
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    model = torch.nn.Linear(1, 1, dtype=torch.float64)
    data = (x, 3 * x[:, 0] - 2)
    history = fit(model, data, loss="mse", batch_size=None, epochs=400, learning_rate=0.1, **QUIET)
    assert model.weight.item() == pytest.approx(3, abs=1e-3) and model.bias.item() == pytest.approx(-2, abs=1e-3)
    assert history.epochs[-1]["train_accuracy"] is None
    assert history.epochs[-1]["train_loss"] < 1e-6


def test_metrics_are_means_over_rows_also_with_a_short_last_batch():
    x, y = blobs(50)
    frozen = network()
    with torch.no_grad():
        expected_loss = torch.nn.functional.cross_entropy(frozen(x), y).item()
        expected_accuracy = (frozen(x).argmax(-1) == y).double().mean().item()
    config = FitConfig(learning_rate=1e-30, optimizer="sgd", epochs=1, progress=False)  # weights stay as they are
    epoch = fit(frozen, (x, y, x, y), config).epochs[0]
    for part in ("train", "validation"):
        assert epoch[f"{part}_loss"] == pytest.approx(expected_loss, rel=1e-5)
        assert epoch[f"{part}_accuracy"] == pytest.approx(expected_accuracy)


def test_same_seed_repeats_bit_for_bit_and_another_differs():
    x, y = blobs()

    def run(seed):
        model = network(dropout=0.3)
        history = fit(model, (x, y, x, y), seed=seed, epochs=4, **QUIET)
        return weights(model), [{k: v for k, v in e.items() if k != "wall_s"} for e in history.epochs]

    torch.manual_seed(1)
    first_weights, first_history = run(seed=3)
    torch.manual_seed(2)  # the global generators have no say
    second_weights, second_history = run(seed=3)
    other_weights, other_history = run(seed=4)
    assert torch.equal(first_weights, second_weights) and first_history == second_history
    assert not torch.equal(first_weights, other_weights) and first_history != other_history


def test_order_of_rows_does_not_depend_on_what_the_model_draws():
    def order(dropout):
        model, seen = network(dropout=dropout), []
        model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        fit(model, blobs(), epochs=3, restore_best=False, **QUIET)
        return torch.cat(seen)

    assert torch.equal(order(dropout=0.0), order(dropout=0.5))


def test_global_generators_are_left_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(network(dropout=0.5), blobs(), epochs=2, **QUIET)
    assert torch.equal(torch.rand(3), expected)


def test_validation_does_not_change_training():
    x, y = blobs()
    plain, watched = network(dropout=0.5), network(dropout=0.5)
    fit(plain, (x, y), epochs=3, restore_best=False, **QUIET)
    fit(watched, (x, y, *blobs(30, seed=9)), epochs=3, restore_best=False, **QUIET)
    assert torch.equal(weights(plain), weights(watched))


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 3},
        {"batch_size": 8},
        {"batch_size": None},
        {"optimizer": "adam"},
        {"learning_rate": 0.3},
        {"momentum": 0.5},
        {"weight_decay": 0.2},
        {"loss": "mse"},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_option_changes_the_weights(changed):
    x, _ = blobs()
    y = torch.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 1]], dim=1) if changed.get("loss") == "mse" else blobs()[1]
    base = FitConfig(epochs=2, optimizer="sgd", batch_size=16, learning_rate=0.1, restore_best=False, progress=False)
    before, after = network(), network()
    fit(before, (x, blobs()[1]), base)
    fit(after, (x, y), base, **changed)
    assert not torch.equal(weights(before), weights(after))


def test_options_by_keyword_replace_those_of_the_config():
    config = FitConfig(epochs=2, batch_size=10, progress=False)
    assert fit(network(), blobs(60), config, epochs=3).steps == 18
    assert fit(network(), blobs(60), dataclasses.replace(config, batch_size=None)).steps == 2


def test_all_forms_of_data_train_alike():
    x, y = blobs()
    held_out = blobs(20, seed=4)

    @dataclasses.dataclass
    class Parts:
        train: tuple
        validation: tuple | None

    forms = [
        (x, y, *held_out),
        [x, y, *held_out],
        Parts((x, y), held_out),
        (x.double().numpy(), y.numpy().astype(np.int32), held_out[0].numpy(), held_out[1].numpy()),
        (x.tolist(), y.tolist(), held_out[0].tolist(), held_out[1].tolist()),
    ]
    results = []
    for form in forms:
        model = network()
        history = fit(model, form, epochs=2, **QUIET)
        results.append((weights(model), history.epochs[-1]["validation_loss"]))
    for other_weights, other_loss in results[1:]:
        assert torch.equal(other_weights, results[0][0]) and other_loss == results[0][1]


def test_a_task_and_its_part_are_data():
    task = load_task("moons", n_train=40)
    assert fit(torch.nn.Linear(2, 2), task, epochs=1, **QUIET).epochs[0]["validation_loss"] is not None
    assert fit(torch.nn.Linear(2, 2), task.train, epochs=1, **QUIET).epochs[0]["validation_loss"] is None


def test_inputs_are_cast_to_the_models_dtype():
    seen = []
    model = network(dtype=torch.float64)
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    fit(model, blobs(), epochs=1, **QUIET)
    assert set(seen) == {torch.float64}


def test_modules_get_their_own_mode_back():
    model = network(dropout=0.1)
    model.eval()
    model[0].train()
    seen = []
    model[2].register_forward_hook(lambda module, *_: seen.append(module.training))
    before = [module.training for module in model.modules()]
    fit(model, (*blobs(64), *blobs(30)), epochs=1, batch_size=32, **QUIET)
    assert [module.training for module in model.modules()] == before
    assert seen == [True, True, False]  # two steps in train mode, one evaluation in eval mode


def test_modes_come_back_after_an_error_too():
    class Fail(Callback):
        def on_step_end(self, state):
            raise RuntimeError("stop here")

    model = network().eval()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model, blobs(), callbacks=[Fail()], **QUIET)
    assert not model.training


def test_frozen_parameters_stay():
    model = network()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    fit(model, blobs(), epochs=1, **QUIET)
    assert torch.equal(model[0].weight, before)
    assert not torch.equal(model[3].weight, network()[3].weight)


def test_device_moves_model_and_batches():
    if torch.cuda.is_available():
        model = network()
        fit(model, blobs(), epochs=1, device="cuda", **QUIET)
        assert next(model.parameters()).is_cuda
    else:
        with pytest.raises(ArgumentError, match=r'`device` must be a torch device usable here \(cpu\); got "cuda"'):
            fit(network(), blobs(), epochs=1, device="cuda", **QUIET)


def test_device_is_where_the_model_is_sent():
    class Sent(torch.nn.Linear):
        def to(self, *args, **kwargs):
            self.sent_to = args
            return super().to(*args, **kwargs)

    stays, sent = Sent(2, 3), Sent(2, 3)
    fit(stays, blobs(), epochs=1, **QUIET)
    fit(sent, blobs(), epochs=1, device="cpu", **QUIET)
    assert sent.sent_to == ("cpu",) and not hasattr(stays, "sent_to")


def test_models_that_cannot_be_trained_are_refused():
    with pytest.raises(DtypeError, match=r"`model` must be a torch\.nn\.Module; got function"):
        fit(lambda x: x, blobs())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"`model` must have a trainable parameter; got none"):
        fit(torch.nn.Identity(), blobs())

    class Detached(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ArgumentError, match=r"outputs that depend on its trainable parameters; got outputs without"):
        fit(Detached(2, 3), blobs(), **QUIET)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_rows_of_one_class_are_refused_unless_they_are_meant(loss):
    x, y, outputs = torch.randn(5, 2), torch.full((5,), 1), 2 if loss == "cross_entropy" else 1
    model = torch.nn.Linear(2, outputs)
    before = model.weight.detach().clone()
    options = {"loss": loss, "epochs": 1, "progress": False}
    with pytest.raises(ArgumentError, match=r"two classes or more; got class 1 in all 5 row.*`one_class=True`"):
        fit(model, (x, y), **options)
    assert torch.equal(model.weight, before)
    assert fit(model, (x, y), one_class=True, **options).steps == 1
