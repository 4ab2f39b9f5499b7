"""Layers in other processes, for the torch contract: data parallel training, DataLoader workers, forks.

Run as a program it reads with a DataLoader, and is then one rank of a data-parallel step:
python processes.py FOLDER RANK WORLD fork|spawn.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import torch

from qnn import _seeding

UNEQUAL = (3, 1)  # rows of the two ranks; together as many as in equal shares
STARTS = ("fork", "spawn")  # how the worker of each rank's DataLoader is started


def rows(layer: torch.nn.Module) -> torch.Tensor:
    """Four rows, shape (4, D)."""
    generator = torch.Generator().manual_seed(7)
    return torch.rand(4, layer.n_inputs, generator=generator, dtype=torch.float64).float() * 2 - 1


def hybrid(layer: torch.nn.Module) -> torch.nn.Module:
    """Classical → quantum → classical, the same on every rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        width = layer.n_inputs
        return torch.nn.Sequential(torch.nn.Linear(width, width), layer, torch.nn.Linear(layer.n_outputs, 1))


def gradients(net: torch.nn.Module, inputs: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
    """Gradients of the mean squared output, drawn as the rows at `positions` of the global batch draw."""
    net.zero_grad()
    with _seeding.step_scope(5, positions):
        net(inputs).pow(2).mean().backward()
    return [p.grad.clone() for p in net.parameters()]


class Outputs(torch.utils.data.Dataset):
    """What each layer gives, computed where the data set is read."""

    def __init__(self, layers: dict[str, torch.nn.Module]) -> None:
        self.layers = layers

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> torch.Tensor:
        layer = list(self.layers.values())[index]
        with torch.no_grad(), _seeding.step_scope(5):
            return layer(rows(layer))


def in_data_loader(layers: dict[str, torch.nn.Module], start: str) -> dict[str, torch.Tensor]:
    """Outputs of every layer, computed by a DataLoader's worker that is started by "fork" or "spawn"."""
    loader = torch.utils.data.DataLoader(
        Outputs(layers), batch_size=None, num_workers=1, multiprocessing_context=start, timeout=120
    )
    return dict(zip(layers, loader, strict=True))


class Elsewhere(NamedTuple):
    """What layers gave in other processes, by the layers' names.

    `replicas`: of each rank, gradients of every layer's network by equal and by unequal shares of the rows.
    `workers`: by start of the DataLoader's worker, the outputs of every layer.
    """

    replicas: list[dict[str, dict[str, list[torch.Tensor]]]]
    workers: dict[str, dict[str, torch.Tensor]]


def in_fresh_processes(layers: dict[str, torch.nn.Module], folder: Path) -> Elsewhere:
    """Two processes of their own: what other tests started in theirs does not survive a fork. Each reads by a worker.

    After that they are the two gloo processes of a data-parallel step.
    """
    (folder / "layers.pickle").write_bytes(pickle.dumps(layers))
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank), str(len(STARTS)), start],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank, start in enumerate(STARTS)
    ]
    try:
        for process in ranks:
            _, errors = process.communicate(timeout=280)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in ranks:
            process.kill()
    return Elsewhere(
        [torch.load(folder / f"rank{rank}.pt") for rank in range(len(STARTS))],
        {start: torch.load(folder / f"{start}.pt") for start in STARTS},
    )


def _read(folder: Path, start: str) -> None:
    layers = pickle.loads((folder / "layers.pickle").read_bytes())
    for layer in layers.values():
        layer(rows(layer)).sum().backward()  # so that the parent has used what its children inherit
    torch.save(in_data_loader(layers, start), folder / f"{start}.pt")


def _join(folder: Path, rank: int, world: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    layers = pickle.loads((folder / "layers.pickle").read_bytes())
    found: dict[str, dict[str, list[torch.Tensor]]] = {}
    for name, layer in layers.items():
        net = torch.nn.parallel.DistributedDataParallel(hybrid(layer))
        start = rank * UNEQUAL[0]
        equal, unequal = torch.arange(rank * 2, rank * 2 + 2), torch.arange(start, start + UNEQUAL[rank])
        found[name] = {
            "equal": gradients(net, rows(layer)[equal], equal),
            "unequal": gradients(net, rows(layer)[unequal], unequal),
        }
    torch.save(found, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _read(Path(sys.argv[1]), sys.argv[4])
    _join(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
