"""Layers in other processes, for the torch contract: data parallel training, DataLoader workers, forks.

Run as a program it is one rank of a data-parallel step, python processes.py FOLDER RANK WORLD, or a process that reads
with a DataLoader, python processes.py FOLDER fork|spawn.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import torch

from qnn import _seeding

UNEQUAL = (3, 1)  # rows of the two ranks; together as many as in equal shares


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


def in_fresh_process(layers: dict[str, torch.nn.Module], start: str, folder: Path) -> dict[str, torch.Tensor]:
    """`in_data_loader` in a process of its own: what other tests started in theirs does not survive a fork."""
    (folder / f"{start}.pickle").write_bytes(pickle.dumps(layers))
    command = [sys.executable, __file__, str(folder), start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / f"{start}.pt")


def _reader(folder: Path, start: str) -> None:
    torch.set_num_threads(1)
    layers = pickle.loads((folder / f"{start}.pickle").read_bytes())
    for layer in layers.values():
        layer(rows(layer)).sum().backward()  # so that the parent has used what its children inherit
    torch.save(in_data_loader(layers, start), folder / f"{start}.pt")


def data_parallel(layers: dict[str, torch.nn.Module], folder: Path) -> list[dict[str, dict[str, list[torch.Tensor]]]]:
    """Of each of two gloo processes: gradients of every layer's network, by equal and by unequal shares of the rows."""
    (folder / "layers.pickle").write_bytes(pickle.dumps(layers))
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank), "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    for process in ranks:
        _, errors = process.communicate(timeout=280)
        assert process.returncode == 0, errors.decode()
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


def _rank(folder: Path, rank: int, world: int) -> None:
    torch.set_num_threads(1)
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
    if len(sys.argv) == 3:
        _reader(Path(sys.argv[1]), sys.argv[2])
    else:
        _rank(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
