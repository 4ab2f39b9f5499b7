"""Hybrids as contestants, on the real backends, with the smallest budget that still goes through everything."""

import json
from pathlib import Path

import pytest
import torch

import qnn
from qnn.baselines import count_weights
from qnn.cli import main
from qnn.comparison import Comparison
from qnn.comparison.contestants import build_model, count_quantum_weights, parse_contestant
from qnn.errors import UnknownNameError
from qnn.tasks import load_task

MODELS = "hybrid@statevector,hybrid@aer,hybrid@aer+fake_manila,mlp-matched"
LINE = (
    f"compare --task iris --models {MODELS} --seeds 2 --epochs 2 --reduced-train 12 --reduced-epochs 1 "
    "--tuning-trials 1 --n-qubits 2 --n-layers 1 --shots 64 --jobs 0 --quiet"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Comparison:
    out = tmp_path_factory.mktemp("hybrid") / "run"
    assert main([*LINE.split(), "--out", str(out)]) == 0
    return Comparison.load(out)


def test_one_command_makes_everything(run):
    names = {path.name for path in run.out.iterdir()}
    assert {"records.jsonl", "table.md", "report.html", "accuracy.png", "curves.png", "cost.png", "study.json"} <= names
    assert [table.name for table in run.study.tables] == ["full data", "shots and noise"]
    assert len(run.records) == 2 * (2 + 4)
    assert "hybrid@statevector" in run.verdict and "mlp-matched" in run.verdict


def test_circuits_shots_and_jobs_are_those_of_the_parameter_shift_rule(run):
    """Two weights and two inputs, two-term rule: 1 + 2·4 circuits a row in training, one a row in validation."""
    found = {(r.table, r.model): r for r in run.records if r.seed == 1}
    exact, sampled = found["shots and noise", "hybrid@statevector"], found["shots and noise", "hybrid@aer"]
    assert exact.total_shots == 0 and exact.shots is None
    assert exact.circuits == sampled.n_train + sampled.n_validation
    assert sampled.circuits == sampled.n_train * (1 + 2 * 4) + sampled.n_validation
    assert sampled.total_shots == 64 * sampled.circuits
    noisy = found["shots and noise", "hybrid@aer+fake_manila"]
    assert (noisy.circuits, noisy.total_shots) == (sampled.circuits, sampled.total_shots)
    assert (noisy.noise, sampled.noise, exact.noise) == ("fake_manila", None, None)
    assert found["shots and noise", "mlp-matched"].circuits == 0


def test_shots_and_noise_change_results_and_nothing_else_does(run):
    losses = {r.model: r.test_loss for r in run.records if r.seed == 1 and r.table == "shots and noise"}
    assert len(set(losses.values())) == 4
    budgets = {
        (r.n_train, r.epochs, r.batch_size, r.tuning_trials) for r in run.records if r.table == "shots and noise"
    }
    assert budgets == {(12, 1, 8, 1)}


def test_a_mitigated_number_never_looks_like_one_that_is_not(run, tmp_path):
    """In the record, in every table and in the report; its calibration is counted."""
    options = {"epochs": 2, "reduced_train": 12, "reduced_epochs": 1, "tuning_trials": 1, "n_qubits": 2, "n_layers": 1}
    options |= {"seeds": 1, "shots": 64, "mitigation": {"readout": True, "calibration_shots": 500}, "progress": False}
    found = qnn.compare("iris", "hybrid@aer+fake_manila,mlp-matched", out=tmp_path / "run", jobs=0, **options)
    name = "hybrid@aer+fake_manila (readout mitigated)"
    mitigated, classical = Comparison.load(found.out).records
    assert (mitigated.model, mitigated.backend, mitigated.noise) == (name, "aer", "fake_manila")
    assert (mitigated.mitigation, classical.mitigation) == ('{"readout": true, "calibration_shots": 500}', None)
    without = next(r for r in run.records if r.noise == "fake_manila" and r.seed == 0)
    assert without.mitigation is None and without.test_loss != mitigated.test_loss
    assert mitigated.circuits == without.circuits + 2 and mitigated.total_shots == without.total_shots + 2 * 500
    assert f"| {name} |" in found.table() and f"{name} and mlp-matched" in found.verdict
    assert name.replace(" (", "\n(") in [text.get_text() for text in found.figures["curves"].legends[0].texts]
    html = (found.out / "report.html").read_text()
    assert name in html and "errors mitigated by {&#34;readout&#34;: true, &#34;calibration_shots&#34;: 500}" in html


def test_options_that_a_comparison_does_not_have_are_named():
    with pytest.raises(
        UnknownNameError, match=r'No option of a comparison named "mitgation"\. Did you mean "mitigation"'
    ):
        qnn.compare("iris", "mlp", mitgation="readout")


def test_sampled_results_repeat(run, tmp_path):
    """The same study in another process: shots and noise included, the same records but for what was measured."""
    out = tmp_path / "run"
    assert main([*LINE.replace("--jobs 0", "--jobs 1").split(), "--out", str(out)]) == 0
    for name in ("records.jsonl", "trials.jsonl"):
        assert _unmeasured(out / name) == _unmeasured(run.out / name)


def _unmeasured(path: Path) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        (row.get("record") or row).pop("measured")
    return rows


def test_weights_are_counted(run):
    task = load_task("iris")
    contestant = parse_contestant("hybrid@statevector", n_qubits=3, n_layers=2, shots=16)
    model = build_model(contestant, task, seed=0)
    assert count_quantum_weights(model) == 6
    measured = 2**3 if contestant.observables == "probs" else 3
    assert count_weights(model) == (4 * 3 + 3) + 6 + (measured * 3 + 3)
    hybrid = next(record for record in run.records if record.model == "hybrid@statevector")
    matched = next(record for record in run.records if record.model == "mlp-matched")
    assert hybrid.n_quantum_weights == 2
    assert abs(hybrid.n_weights - matched.n_weights) <= (4 + 1 + 3) / 2  # half a hidden unit


def test_hybrids_that_differ_in_the_backend_only_start_from_the_same_weights():
    task = load_task("iris")
    models = [
        build_model(parse_contestant(name, n_qubits=2, n_layers=1, shots=16), task, seed=3)
        for name in ("hybrid@statevector", "hybrid@aer+fake_manila")
    ]
    for first, second in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(first, second)


def test_mistakes_on_the_command_line_end_with_a_message_and_leave_nothing(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["compare", "--models", "hybrid@statvector,mlp", "--out", str(out)]) == 2
    assert 'Did you mean "statevector"?' in capsys.readouterr().err
    assert not out.exists()


def test_the_summary_is_printed(tmp_path, capsys):
    line = "compare --task iris --models logistic,mlp --seeds 1 --epochs 1 --tuning-trials 1 --jobs 0"
    assert main([*line.split(), "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "there is no quantum contestant to compare with" in shown
    assert f"Report: {tmp_path / 'run' / 'report.html'}" in shown
