"""What fixes an operator, and the names by which custom ops find it again."""

from __future__ import annotations

import itertools
import json
import weakref
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import is_fake

from qnn._fingerprint import canonical_json
from qnn.backends.base import Angles, Backend
from qnn.circuits.circuit import Circuit
from qnn.errors import CapabilityError
from qnn.gradients.methods import Differentiator, differentiator


@dataclass(frozen=True, eq=False)
class Plan:
    """All that fixes an operator: circuit, where it runs, how it is differentiated, which angles are copies.

    Attributes:
        circuit: the circuit.
        backend: where it runs.
        method: gradient method, as chosen by `methods.choose`.
        shots: None is exact.
        shared_index: for each shared slot, its place in the shared source.
        rows_index: for each row slot, its place in the row source.
        n_inputs: D; places from D on in the row source are computed.
        key: the name under which the custom ops find this plan: JSON from which it can be rebuilt.
        gather_shared: `shared_index` as a tensor.
        gather_rows: `rows_index` as a tensor.
        differentiable: whether `amplitudes` gives what this plan measures.
    """

    circuit: Circuit
    backend: Backend
    method: str
    shots: int | None
    shared_index: tuple[int, ...]
    rows_index: tuple[int, ...]
    n_inputs: int
    key: str = field(init=False)
    gather_shared: torch.Tensor = field(init=False, repr=False)
    gather_rows: torch.Tensor = field(init=False, repr=False)
    differentiable: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Made now and not when first used: torch.compile may trace the first use, or it may be in inference mode,
        # whose tensors autograd refuses later.
        with torch.inference_mode(False):
            object.__setattr__(self, "gather_shared", torch.tensor(self.shared_index, dtype=torch.int64))
            object.__setattr__(self, "gather_rows", torch.tensor(self.rows_index, dtype=torch.int64))
        object.__setattr__(self, "differentiable", self.shots is None and self.backend.capabilities.differentiable)
        object.__setattr__(self, "key", self._register())

    def _register(self) -> str:
        """Enter the plan where the custom ops look it up.

        A backend that holds live objects cannot be written down; its plan is found while it lives.
        """
        specification = self.backend.specification()
        if specification is None:
            key = f"object:{next(_numbers)}"
            _living[key] = self
            return key
        key = canonical_json(
            {
                "circuit": self.circuit.to_json(),
                "backend": specification,
                "method": self.method,
                "shots": self.shots,
                "shared_index": list(self.shared_index),
                "rows_index": list(self.rows_index),
                "n_inputs": self.n_inputs,
            }
        )
        _living.setdefault(key, self)
        return key

    @cached_property
    def differentiator(self) -> Differentiator:
        """The compiled circuit with its gradient rule."""
        return differentiator(self.circuit, self.backend, self.method, self.shots)

    @cached_property
    def amplitudes(self) -> Any:
        """The circuit in torch operations; only on backends with the capability `differentiable`."""
        if self.method in ("adjoint", "backprop"):
            return self.differentiator.executable
        return self.backend.compile(self.circuit)

    @property
    def twice_differentiable(self) -> bool:
        """Whether derivatives of other kinds than the first in reverse can be had from `amplitudes`."""
        return self.method == "adjoint" and self.differentiable

    def first_derivatives_only(self, asked: str) -> str:
        """Why that is all."""
        return (
            f'`gradient="{self.method}"` on backend "{self.backend.name}" gives first derivatives in reverse only; '
            f'{asked} was asked for. Use gradient="adjoint" or gradient="backprop" on backend="statevector".'
        )

    def not_exportable(self) -> str:
        """Why the circuit cannot be written down as arithmetic."""
        what = f'`backend="{self.backend.name}"`' if self.shots is None else f"`shots={self.shots}`"
        return (
            f"{what} cannot be exported, since an exported network has nothing but arithmetic; only exact values of "
            'backend="statevector" can. Export inside layer.using("statevector", shots=None), or after '
            'layer.to_backend("statevector").'
        )

    def keys(self, keys: torch.Tensor) -> torch.Tensor | None:
        """Sampling keys (N, 5), or None where nothing is drawn."""
        return keys if self.shots is not None or self.method == "spsa" else None

    def angles(self, shared: torch.Tensor, rows: torch.Tensor) -> Angles:
        """Angles picked from the two sources."""
        picked_shared, picked_rows = shared, rows
        if not self._takes_all(0, shared.shape[0]):
            picked_shared = shared.index_select(0, _index(self.gather_shared, shared))
        if not self._takes_all(1, rows.shape[1]):
            picked_rows = rows.index_select(1, _index(self.gather_rows, rows))
        return Angles(picked_shared, picked_rows)

    def _takes_all(self, block: int, n_columns: int) -> bool:
        """Whether the block of angles is its source, column by column."""
        return self._in_order[block] == n_columns

    @cached_property
    def _in_order(self) -> tuple[int, int]:
        count = lambda index: len(index) if index == tuple(range(len(index))) else -1
        return count(self.shared_index), count(self.rows_index)

    def pullback(
        self,
        shared: torch.Tensor,
        rows: torch.Tensor,
        residuals: torch.Tensor,
        cotangent: torch.Tensor,
        need_shared: bool,
        need_rows: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the two sources; what is not needed is zero."""
        if not (need_shared or need_rows):  # no angle is made of them
            return torch.zeros_like(shared), torch.zeros_like(rows)
        angles = self.angles(shared, rows)
        picked = self.differentiator.pullback(angles, residuals, cotangent.contiguous(), need_shared, need_rows)
        grad_shared, grad_rows = picked.shared, picked.rows
        if not need_shared or not self._takes_all(0, shared.shape[0]):
            grad_shared = torch.zeros_like(shared)
            if need_shared:
                grad_shared.index_add_(0, self.gather_shared.to(shared.device), picked.shared)
        if not need_rows or not self._takes_all(1, rows.shape[1]):
            grad_rows = torch.zeros_like(rows)
            if need_rows:
                grad_rows.index_add_(1, self.gather_rows.to(rows.device), picked.rows)
        return grad_shared, grad_rows


def _index(places: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """`places` beside `source`; made anew where torch.compile traces with tensors that have no values."""
    if is_fake(source):
        return torch.tensor(places.tolist(), dtype=torch.int64, device=source.device)
    return places.to(source.device)


_numbers = itertools.count()
_living: weakref.WeakValueDictionary[str, Plan] = weakref.WeakValueDictionary()


def plan_of(key: str) -> Plan:
    """The plan of that name: the one in use, or rebuilt from its name if need be."""
    return _living.get(key) or _rebuilt(key)


@lru_cache(maxsize=64)
def _rebuilt(key: str) -> Plan:
    from qnn.backends.registry import from_specification

    if key.startswith("object:"):
        raise CapabilityError(
            "The backend of this operator must still be in use; got one that held objects of its own and is gone, or "
            "that lives in another process. Name the backend by plain options, or build the layer again."
        )
    data = json.loads(key)
    return Plan(
        Circuit.from_json(data["circuit"]),
        from_specification(data["backend"]),
        data["method"],
        data["shots"],
        tuple(data["shared_index"]),
        tuple(data["rows_index"]),
        data["n_inputs"],
    )
