"""What the training loop costs over a bare torch loop on the same model: 8 qubits, 3 layers, batch 32.

    python benchmarks/loop_overhead_perf.py

Goal: below 5 % of a step, or below 0.1 ms. Both loops train the same hybrid network on the same rows in the same order,
with Adam; rounds alternate, and the quickest of each counts. The bare loop computes no metrics and checks nothing.
"""

import argparse
import statistics
import time

import torch

import qnn

N_ROWS, BATCH_SIZE = 3200, 32


def network():
    torch.manual_seed(0)
    layer = qnn.QuantumLayer(n_qubits=8, n_layers=3, seed=0)
    return torch.nn.Sequential(torch.nn.Linear(16, 8), layer, torch.nn.Linear(8, 2))


def bare(model, x, y):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    order = torch.Generator().manual_seed(0)
    for rows in torch.randperm(len(x), generator=order).split(BATCH_SIZE):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def fitted(model, x, y):
    qnn.fit(model, (x, y), epochs=1, batch_size=BATCH_SIZE, learning_rate=0.01, restore_best=False, progress=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    x, y = torch.randn(N_ROWS, 16), torch.randint(0, 2, (N_ROWS,))
    steps, times = N_ROWS // BATCH_SIZE, {bare: [], fitted: []}
    models = {loop: network() for loop in times}
    for loop in times:
        loop(models[loop], x, y)
    same = all(torch.equal(p, q) for p, q in zip(*(m.parameters() for m in models.values()), strict=True))
    for _ in range(rounds):
        for loop, seen in times.items():
            started = time.perf_counter()
            loop(models[loop], x, y)
            seen.append((time.perf_counter() - started) / steps * 1e3)
    least = {loop: min(seen) for loop, seen in times.items()}
    over = least[fitted] - least[bare]
    print(f"weights after the first epoch equal: {same}")
    for name, loop in (("bare torch loop", bare), ("qnn.fit", fitted)):
        print(f"{name:16} {least[loop]:.3f} ms a step at best, median {statistics.median(times[loop]):.3f} ms")
    print(f"overhead: {over:.3f} ms, {100 * over / least[bare]:.1f} % (goal: below 0.1 ms or below 5 %)")


if __name__ == "__main__":
    main()
