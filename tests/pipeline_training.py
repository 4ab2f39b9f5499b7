"""A hybrid trained by one process, or in two stages by two; prints weights and losses as JSON.

python tests/pipeline_training.py
"""

import json
import re
from collections import OrderedDict

import torch
from ranks import in_processes

import qnn
from qnn.compression import GradientPruning
from qnn.errors import ArgumentError, CheckpointError, QnnError
from qnn.training import BudgetGuard, Pipeline, fit

CASES = {
    "exact": {},
    "shots": {"shots": 20},
    "clipped": {},
    "pruned": {"gradient": "parameter-shift"},  # one stage has no circuit
    "pruned in both": {"gradient": "parameter-shift"},
}


def trained(case, staged):
    torch.manual_seed(0)
    first = tanh = torch.nn.Tanh()
    if case == "pruned in both":
        first = torch.nn.Sequential(
            torch.nn.Linear(16, 2), qnn.QuantumLayer(2, 2, seed=2, **CASES[case]), torch.nn.Linear(2, 16)
        )
    parts = {
        "trunk": torch.nn.Linear(6, 16), "activation": first, "projection": torch.nn.Linear(16, 2), "again": tanh,
        "circuit": qnn.QuantumLayer(2, 1, seed=1, **CASES[case]), "head": torch.nn.Linear(2, 3),
    }  # fmt: skip
    model = torch.nn.Sequential(OrderedDict(parts)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(22, 6, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 3, (22,), generator=generator)
    before = [w.detach().clone() for w in model.parameters()]
    placed = Pipeline(model, cuts=[2], microbatches=4) if staged else model
    # 22 rows in batches of 8, 8 and 6, which are 4, 4 and 3 microbatches
    history = fit(
        placed, (x, y, x[:5], y[:5]), epochs=2, batch_size=8, learning_rate=0.05, l2_penalty=0.01, progress=False,
        sample_weight=(torch.arange(1.0, 23.0), torch.ones(5)), max_gradient_norm=0.02 if case == "clipped" else None,
        optimizer="sgd" if case == "clipped" else "adam", callbacks=[GradientPruning()] if "pruned" in case else [],
    )  # fmt: skip
    if staged:
        assert all(torch.equal(w, b) for w, b in zip(model.parameters(), before, strict=True))
        assert sum(p.numel() for p in placed.parameters()) < sum(p.numel() for p in model.parameters())
        outputs = placed.eval()(x)
        model = placed.whole()
        assert CASES[case] or torch.allclose(outputs, model.eval()(x), rtol=0, atol=1e-12)
        if case == "exact":
            try:
                fit(placed, (x, y), epochs=1, checkpoint="nowhere", progress=False)
            except CheckpointError as error:
                assert "pipeline.whole()" in str(error)
            else:
                raise AssertionError("a checkpoint was accepted")
            try:  # the circuit of one stage has no shifted copies: both refuse it
                fit(placed, (x, y), epochs=1, callbacks=[GradientPruning()], progress=False)
            except ArgumentError as error:
                assert 'got "adjoint" in the layer "stage.circuit"' in str(error), error
            else:
                raise AssertionError("adjoint gradients were pruned")
            for data, told in (
                ((x[:, :5], y), r"`data` must have rows that the model takes.* \(5,\)"),
                ((x, y + 2), "3 outputs"),
            ):
                try:  # what the other stage does not take
                    fit(placed, data, epochs=1, progress=False)
                except QnnError as error:
                    assert re.search(told, str(error)), error
                else:
                    raise AssertionError("data that do not fit were accepted")
        stopped = fit(placed, (x, y), epochs=9, batch_size=8, progress=False, callbacks=[BudgetGuard(max_circuits=200)])
        assert 0 < stopped.steps < 27, "both processes stop where one sees the budget end"
        assert stopped.usage.circuits > 0
    weights = torch.cat([w.detach().reshape(-1) for w in model.parameters()]).tolist()
    return {"weights": weights, "losses": [[e["train_loss"], e["validation_loss"]] for e in history.epochs]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(in_processes(2, lambda: {case: trained(case, staged=True) for case in CASES})[0]))
