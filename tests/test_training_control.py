"""The control: trained on shuffled labels, every baseline falls to chance on the test part.

Shuffled labels treat all label names alike, so given what a model predicts, it may as well have
named its labels by a permutation drawn at random. The accuracy is then sum_t N[t, pi(t)] / n with the
confusion matrix N and a random permutation pi, whose mean and variance are Hoeffding's
(1951, combinatorial central limit theorem): mean of all N / n, and the sum of squares of the doubly
centred N / n over C - 1. Unlike a binomial variance, it covers that rows of a class fall together.
"""

import math

import pytest
import torch

from qnn.baselines import build_baseline
from qnn.tasks import load_task
from qnn.training import evaluate, fit

SEEDS = range(4)
K_SIGMA = 4.0


def accuracy_and_chance(task, name, seed):
    """Test accuracy, and mean and variance of the accuracy by chance."""
    options = {"n_inputs": task.n_inputs, "n_outputs": task.n_classes, "image_shape": task.image_shape}
    model = build_baseline(name, **options, n_weights=900, seed=seed)
    fit(model, task, epochs=8, seed=seed, restore_best=False, progress=False)
    result = evaluate(model, task.test)
    n_classes = task.n_classes
    confusion = torch.zeros(n_classes, n_classes, dtype=torch.float64)
    confusion.index_put_((task.test.y, result.predictions), torch.ones(1, dtype=torch.float64), accumulate=True)
    share = confusion / result.n
    centred = share - share.mean(0) - share.mean(1, keepdim=True) + share.mean()
    return result.accuracy, float(share.sum()) / n_classes, float((centred**2).sum()) / (n_classes - 1)


@pytest.mark.parametrize("name", ["logistic", "mlp", "mlp-matched", "cnn"])
def test_shuffled_labels_fall_to_chance(name):
    # Half the training rows: enough to learn digits, and quick.
    outcomes = [
        accuracy_and_chance(load_task("digits", n_train=600, seed=seed, shuffle_labels=True), name, seed)
        for seed in SEEDS
    ]
    accuracy, chance, variance = (sum(column) / len(outcomes) for column in zip(*outcomes, strict=True))
    sigma = math.sqrt(variance / len(outcomes))
    assert sigma < 0.03  # so that the bound means something
    assert abs(accuracy - chance) < K_SIGMA * sigma


def test_true_labels_do_not():
    accuracy, chance, variance = accuracy_and_chance(load_task("digits", n_train=600), "logistic", seed=0)
    assert accuracy > 0.85 and accuracy - chance > K_SIGMA * math.sqrt(variance)
