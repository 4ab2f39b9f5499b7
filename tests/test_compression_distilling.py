"""Distillation in every direction: what a batch sees, what changes and what does not, what is refused."""

import copy
from functools import partial

import pytest
import torch

import qnn
from qnn.compression.distillation.distilling import distill
from qnn.compression.distillation.soft_targets import HIGHEST, LOWEST, Distillation
from qnn.errors import ArgumentError, DtypeError, NoEffectWarning, NotFiniteError, ShapeError
from qnn.training import Callback, evaluate
from qnn.training.losses import loss_named

FAST = {"progress": False, "device": None}


def perceptron(n_inputs, width, n_outputs, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(n_inputs, width), torch.nn.Tanh(), torch.nn.Linear(width, n_outputs)
        ).double()


def hybrid(n_qubits, n_layers, n_inputs=4, n_outputs=3, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = qnn.QuantumLayer(n_qubits, n_layers, seed=seed, dtype=torch.float64, **options)
        return torch.nn.Sequential(
            torch.nn.Linear(n_inputs, n_qubits), layer, torch.nn.Linear(n_qubits, n_outputs)
        ).double()


@pytest.fixture(scope="module")
def rows():
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)).double()
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


@pytest.fixture(scope="module")
def teacher(rows):
    model = perceptron(4, 32, 3)
    qnn.fit(model, rows, epochs=30, progress=False)
    return model


def weights(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_a_step_follows_the_gradient_of_the_formula(rows, teacher):
    """One step of SGD on all rows against the formula written out, for T = 3 and w = 0.3."""
    x, y = rows
    student = perceptron(4, 2, 3, seed=1)
    found, _ = distill(
        teacher, student, rows, temperature=3.0, weight=0.3, epochs=1, batch_size=None, optimizer="sgd",
        learning_rate=0.1, restore_best=False, baseline=False, **FAST,
    )  # fmt: skip
    soft = torch.softmax(teacher(x).detach() / 3.0, dim=1)
    outputs = student(x)
    kl = (soft * (soft.log() - torch.log_softmax(outputs / 3.0, dim=1))).sum(dim=1).mean()
    loss = 0.7 * torch.nn.functional.cross_entropy(outputs, y) + 0.3 * 9.0 * kl
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(student.parameters()))])
    assert torch.allclose(weights(found), weights(student) - 0.1 * gradient, rtol=0, atol=1e-12)


def test_without_the_teacher_it_is_training_alone_and_nothing_given_changes(rows, teacher):
    student = hybrid(2, 1)
    before = copy.deepcopy((teacher.state_dict(), student.state_dict()))
    alone = copy.deepcopy(student)
    qnn.fit(alone, rows, epochs=2, progress=False)
    found, report = distill(teacher, student, rows, weight=0.0, epochs=2, **FAST)
    assert torch.equal(weights(found), weights(alone))
    assert report.measurements[1].accuracy == report.after.accuracy
    for model, state in zip((teacher, student), before, strict=True):
        assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("direction", ["classical to hybrid", "hybrid to MLP", "large circuit to small"])
def test_a_student_comes_near_its_teacher_in_every_direction(rows, teacher, direction):
    models = {
        "classical to hybrid": (teacher, hybrid(2, 2)),
        "hybrid to MLP": (hybrid(3, 3, seed=3), perceptron(4, 4, 3)),
        "large circuit to small": (hybrid(3, 3, seed=3), hybrid(2, 2)),
    }
    big, small = models[direction]
    _, report = distill(big, small, rows, weight=1.0, epochs=25, learning_rate=0.05, baseline=False, **FAST)
    _, untrained = distill(big, small, rows, weight=1.0, epochs=1, learning_rate=1e-9, baseline=False, **FAST)
    name = "agreement with the teacher, student distilled"
    assert report.details[name] > max(0.75, untrained.details[name])
    assert report.after.n_weights < report.before.n_weights
    assert (report.details["circuits, student distilled"] > 0) == (direction != "hybrid to MLP")
    assert (report.details["circuits for the teacher's outputs"] == 60) == (direction != "classical to hybrid")


def test_a_regression_learns_the_teachers_outputs(rows):
    x, _ = rows
    y = torch.stack([torch.sin(x[:, 0]), x[:, 1]], dim=1)
    teacher, student = hybrid(3, 2, n_outputs=2), perceptron(4, 3, 2)
    options = {"epochs": 10, "learning_rate": 0.03, "batch_size": 10, **FAST}
    found, report = distill(teacher, student, (x, y, x[:20], y[:20]), weight=1.0, **options)
    near, far = (report.details[f"distance from the teacher, student {who}"] for who in ("distilled", "alone"))
    assert near < 0.6 * far
    assert "temperature" not in report.details
    assert report.details["measured on"] == "validation rows"
    assert near == pytest.approx(float((found(x[:20]) - teacher(x[:20])).square().mean().sqrt().detach()))
    one, _ = distill(perceptron(4, 3, 1), perceptron(4, 2, 1), (x, y[:, 0]), baseline=False, epochs=1, **FAST)
    assert one(x).shape == (60, 1)
    with pytest.warns(NoEffectWarning, match="`temperature`=3 has no effect in a regression"):
        distill(teacher, student, (x, y), temperature=3.0, epochs=1, baseline=False, **FAST)


def test_one_logit_is_two_classes(rows):
    x, _ = rows
    y = (x[:, 0] > 0).long()
    one, two = perceptron(4, 3, 1), perceptron(4, 3, 1, seed=1)
    options = {"weight": 1.0, "batch_size": None, "epochs": 1, "baseline": False}
    found, report = distill(
        one, two, (x, y), temperature=2.0, optimizer="sgd", learning_rate=0.1, restore_best=False, **options, **FAST
    )
    t, s = torch.sigmoid(one(x).detach() / 2), torch.sigmoid(two(x) / 2)
    kl = (t * (t / s).log() + (1 - t) * ((1 - t) / (1 - s)).log()).mean()
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(4 * kl, list(two.parameters()))])
    assert torch.allclose(weights(found), weights(two) - 0.1 * gradient, rtol=0, atol=1e-12)
    assert report.after.accuracy == evaluate(found, (x, y), loss="binary_cross_entropy").accuracy


def test_temperature_weight_and_baseline_matter(rows, teacher):
    student = perceptron(4, 2, 3, seed=1)
    options = {"epochs": 1, "baseline": False, **FAST}
    found = [
        weights(distill(teacher, student, rows, temperature=t, weight=w, **options)[0])
        for t, w in ((2.0, 0.5), (5.0, 0.5), (2.0, 0.9))
    ]
    assert all(not torch.equal(found[0], other) for other in found[1:])
    _, report = distill(teacher, student, rows, epochs=1, **FAST)
    assert [m.label for m in report.measurements] == ["teacher", "student alone", "student distilled"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_has_its_limits_at_the_bounds_of_the_temperature(dtype):
    """Hot: |s - t|²/2C of centred logits, up to 1/T; cold: T times how far the teacher's class is from the largest."""
    student, teacher = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    student.requires_grad_(True)
    y = torch.zeros(50, dtype=torch.int64)

    def loss(temperature):
        made = Distillation(loss_named("cross_entropy"), temperature, 1.0, y)
        value = made(student, made.join(y, teacher))
        return float(value.detach()), torch.autograd.grad(value, student)[0]

    apart = student - teacher
    limit = (apart - apart.mean(dim=1, keepdim=True)).square().sum(dim=1).mean() / 6
    value, gradient = loss(HIGHEST)
    (expected,) = torch.autograd.grad(limit, student)
    assert value == pytest.approx(float(limit.detach()), rel=1e-4)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-3
    behind = student.max(dim=1).values - student.gather(1, teacher.argmax(dim=1, keepdim=True)).squeeze(1)
    value, gradient = loss(LOWEST)
    (expected,) = torch.autograd.grad(behind.mean(), student)
    assert value / LOWEST == pytest.approx(float(behind.mean().detach()), abs=1e-4)
    assert float((gradient / LOWEST - expected).norm()) < 1e-2


def test_what_is_measured_and_recorded(rows, teacher):
    """Metrics see the targets, callbacks the distillation, and the report the rows of `test`."""
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, state):
            seen.append(state.record["train_balanced_accuracy_score"])

    x, y = rows
    found, report = distill(
        teacher, perceptron(4, 2, 3), rows, epochs=2, metrics=["balanced_accuracy_score"], callbacks=[Watch()],
        test=(x[:10], y[:10]), restore_best=False, **FAST,
    )  # fmt: skip
    recalls = [(found(x).argmax(1)[y == c] == c).double().mean() for c in range(3)]
    assert len(seen) == 2
    assert seen[-1] == pytest.approx(float(sum(recalls)) / 3)
    assert report.after.n_test == 10
    assert report.details["measured on"] == "test rows"


def test_a_teacher_with_shots_samples_next_what_it_would_have(rows):
    one, other = (hybrid(2, 1, shots=50) for _ in range(2))
    distill(one, perceptron(4, 2, 3), rows, epochs=1, baseline=False, **FAST)
    assert torch.equal(one(rows[0]), other(rows[0]))


def test_bad_input_is_refused(rows, teacher):
    x, y = rows
    student = perceptron(4, 2, 3)
    for temperature in (0.0, -1.0, float("inf"), 1e-38, 9e-5, 1.1e4, 1e200, float("nan")):
        with pytest.raises(ArgumentError, match=r"`temperature` must be from 0\.0001 to 10000; got"):
            distill(teacher, student, rows, temperature=temperature)
    with pytest.raises(DtypeError, match="`temperature` must be a number; got '2'"):
        distill(teacher, student, rows, temperature="2")
    with pytest.raises(ArgumentError, match=r"`weight` must be from 0 .* to 1 .*; got 1\.5"):
        distill(teacher, student, rows, weight=1.5)
    with pytest.raises(ShapeError, match="`student` must have the outputs of `teacher`, 3 a row; got 5"):
        distill(teacher, perceptron(4, 2, 5), rows)
    with pytest.raises(ShapeError, match=r"`teacher` must take rows of shape \(3,\), which `data` has; it failed"):
        distill(teacher, student, (x[:, :3], y))
    with pytest.raises(ShapeError, match=r"`student` must take rows of shape \(4,\), which `data` has"):
        distill(teacher, perceptron(3, 2, 3), rows)
    with pytest.raises(DtypeError, match=r"`teacher` must be a torch\.nn\.Module; got function"):
        distill(lambda rows: rows, student, rows)
    with pytest.raises(ShapeError, match="`student` must return one row for each of 1 rows"):
        distill(teacher, torch.nn.Flatten(0), rows)
    with pytest.raises(ShapeError, match=r"`test` must have rows of shape \(4,\) .*; got \(3,\)"):
        distill(teacher, student, rows, test=(x[:, :3], y))
    broken = copy.deepcopy(teacher)
    broken[0].weight.data[0, 0] = float("nan")
    with pytest.raises(NotFiniteError, match="`teacher` must give finite outputs; got NaN or infinity in row 0"):
        distill(broken, student, rows)
    with pytest.raises(
        ArgumentError, match="`optimizer` must be a name or a callable, since what is trained is a copy"
    ):
        distill(teacher, student, rows, optimizer=torch.optim.Adam(student.parameters()))
    found, _ = distill(teacher, student, rows, optimizer=partial(torch.optim.Adam, lr=0.01), epochs=1, **FAST)
    assert not torch.equal(weights(found), weights(student))
