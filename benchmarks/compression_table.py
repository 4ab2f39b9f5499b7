"""One task, five ways to make its model cheaper: full hybrid, pruned hybrid, surrogate, distilled MLP, quantised CNN.

    python benchmarks/compression_table.py --write

Digits; every model is trained on the same rows, or made of one that was, and measured on the same test rows. About two
minutes on one thread. With --write the tables of docs/compression.md and its picture are replaced.
"""

import argparse
import copy
import warnings
from pathlib import Path

import torch

import qnn
from qnn.compression import CompressionReport, Measuring, compare_latency, distill, latency_table, prune, quantize
from qnn.compression import surrogate as surrogate_of

ROOT = Path(__file__).parents[1]
DOCUMENT, PICTURE = ROOT / "docs" / "compression.md", ROOT / "docs" / "images" / "compression.png"
OPTIONS = {"progress": False, "learning_rate": 0.01, "batch_size": 32}


def models(task, epochs):
    """Trained models by label, with their size at rest where a method counts it."""
    torch.manual_seed(0)
    shape = {"n_inputs": task.n_inputs, "n_outputs": task.n_classes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", qnn.errors.InertParameterWarning)  # of RZ before CNOTs at the end
        hybrid = qnn.QuantumNeuralNetwork(
            task.n_inputs, None, task.n_classes, n_qubits=4, n_layers=6, ansatz="strongly_entangling", seed=0
        )
    qnn.fit(hybrid, task, epochs=epochs, **{**OPTIONS, "learning_rate": 0.02})
    tuning = qnn.FitConfig(epochs=max(1, epochs // 2), **OPTIONS)
    pruned, pruning = prune(hybrid, task, method="fisher", amount=0.5, rounds=4, fine_tune=tuning)
    series, _ = surrogate_of(pruned, task)
    cnn = qnn.build_baseline("cnn", **shape, image_shape=task.image_shape, seed=0)
    qnn.fit(cnn, task, epochs=epochs, **OPTIONS)
    student = qnn.build_baseline("mlp-matched", **shape, n_weights=sum(p.numel() for p in hybrid.parameters()), seed=0)
    distilled, _ = distill(cnn, student, task, epochs=2 * epochs, baseline=False, **OPTIONS)
    quantised, quantisation = quantize(cnn, task, method="int8-static")
    return {
        "hybrid": (hybrid, None),
        "hybrid, pruned": (pruned, None),
        "pruned, as a series": (series, None),
        "MLP, taught by the CNN": (distilled, None),
        "CNN": (cnn, None),
        "CNN, int8": (quantised, quantisation.after.bytes),
    }, pruning


def circuits_on_machine(model):
    """Circuits of a training step of 32 rows where circuits are sampled, by the parameter-shift rule."""
    layers = [module for module in model.modules() if isinstance(module, qnn.QuantumLayer)]
    total = 0
    for layer in layers:
        with layer.using(shots=1000, gradient="parameter-shift"):
            total += layer.explain(32).circuits_per_step
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--write", action="store_true", help="replace the tables and the picture of docs/compression.md"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = qnn.load_task("digits")
    made, pruning = models(task, arguments.epochs)
    measuring = Measuring(task)
    for label, (model, size) in made.items():
        measuring.add(label, copy.deepcopy(model), n_bytes=size)
    circuits = {label: circuits_on_machine(model) for label, (model, _) in made.items()}
    details = {f"circuits of a training step with shots, {label}": f"{n:,}" for label, n in circuits.items() if n}
    report = CompressionReport("Digits: what models cost, and what they can do", measuring.finish(), details)
    fast = compare_latency({label: model for label, (model, _) in made.items()}, task.test.x, batch_sizes=(1, 256))
    blocks = {"models": str(report), "pruning": str(pruning), "latency": latency_table(fast)}
    for name, text in blocks.items():
        print(f"{name}\n{text}\n")
    if arguments.write:
        text = DOCUMENT.read_text()
        for name, block in blocks.items():
            before, rest = text.split(f"<!-- {name} -->")
            text = (
                f"{before}<!-- {name} -->\n```text\n{block}\n```\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->')[1]}"
            )
        DOCUMENT.write_text(text)
        report.figure().savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    main()
