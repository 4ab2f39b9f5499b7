"""The control: trained on shuffled labels, everybody falls to chance; trained on true ones, nobody does."""

import numpy as np
import pytest

from qnn.comparison import Comparison, compare

CONTESTANTS = "hybrid@statevector,logistic,mlp,cnn"
N_SEEDS = 5


@pytest.fixture(scope="module")
def control(tmp_path_factory) -> Comparison:
    out = tmp_path_factory.mktemp("control") / "run"
    options = {"seeds": N_SEEDS, "n_train": 200, "epochs": 6, "tuning_trials": 1}
    return compare("digits", CONTESTANTS, out=out, jobs=0, progress=False, shuffle_labels=True, **options)


@pytest.mark.parametrize("model", CONTESTANTS.split(","))
def test_shuffled_labels_leave_chance(control, model):
    """Each seed has its own permutation, so accuracies are independent with mean 1/10.

    Ten clusters of digits may agree with a permuted label by luck: at worst (each cluster answers one
    label as a whole) the deviation of one seed is sqrt(0.1·0.9/10) = 0.095; the bound is 4σ of the mean.
    """
    accuracies = [record.test_accuracy for record in control.records if record.model == model]
    assert len(accuracies) == N_SEEDS
    assert abs(np.mean(accuracies) - 0.1) < 4 * 0.095 / np.sqrt(N_SEEDS)


def test_the_verdict_says_that_the_control_passed(control):
    assert control.verdicts[0].decision == "control passed"
    assert "no contestant is above chance" in control.verdict
    assert len({record.split_seed for record in control.records}) == N_SEEDS


def test_the_same_budget_with_true_labels_is_far_above_chance(tmp_path):
    options = {"seeds": 1, "n_train": 200, "epochs": 6, "tuning_trials": 2}
    comparison = compare("digits", CONTESTANTS, out=tmp_path / "run", jobs=0, progress=False, **options)
    assert all(record.test_accuracy > 0.4 for record in comparison.records)


SAMPLED = "hybrid@aer,hybrid@aer+fake_manila,mlp-matched"
N_SAMPLED_SEEDS = 3


def sampled(out, shuffle_labels: bool) -> dict[str, list[float]]:
    """Accuracies by contestant on a budget just enough to learn: few rows, small batches, few circuits a row."""
    options = {"reduced_train": 60, "reduced_epochs": 5, "reduced_batch_size": 4, "tuning_trials": 1, "shots": 256}
    options |= {"n_qubits": 3, "n_layers": 1, "seeds": N_SAMPLED_SEEDS, "shuffle_labels": shuffle_labels}
    comparison = compare("digits", SAMPLED, out=out, jobs=0, progress=False, **options)
    found: dict[str, list[float]] = {}
    for record in comparison.records:
        if record.n_train == 60:
            found.setdefault(record.model, []).append(record.test_accuracy)
    assert all(len(accuracies) == N_SAMPLED_SEEDS for accuracies in found.values())
    return found


@pytest.mark.slow
def test_with_shots_and_noise_too_shuffled_labels_leave_chance_and_true_ones_do_not(tmp_path):
    """The same bound, 4σ of the mean; the same training with true labels ends outside of it."""
    bound = 4 * 0.095 / np.sqrt(N_SAMPLED_SEEDS)
    shuffled, true = sampled(tmp_path / "shuffled", True), sampled(tmp_path / "true", False)
    for model in SAMPLED.split(","):
        assert abs(np.mean(shuffled[model]) - 0.1) < bound, model
        assert np.mean(true[model]) - 0.1 > bound, model
