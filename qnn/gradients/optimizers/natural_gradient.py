"""Natural gradient: steps of equal length in the space of states, not in that of angles."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import torch
from torch.nn.parallel import DistributedDataParallel

from qnn.errors import ArgumentError, unknown_name
from qnn.gradients.metric import APPROXIMATIONS, check_amplitudes, fubini_study_metric
from qnn.gradients.optimizers.split import Classical, Closure, SplitOptimizer, checked_number, plain_weights

PSEUDO_INVERSE_CUTOFF = 1e-8  # of the largest eigenvalue


class NaturalGradient(SplitOptimizer):
    """Quantum natural gradient, θ ← θ - lr·(g + damping)⁻¹ ∇L, for the quantum weights of a model.

    g is the Fubini-Study metric of each quantum layer (`qnn.gradients.fubini_study_metric`), averaged over the rows
    that the layer was given since the last step, as far as they went into the gradient. ∇L is the ordinary gradient,
    by whatever method the layers use. Different layers do not share a metric. Under DistributedDataParallel the
    metric is averaged over the rows of all processes.

    Near a minimum that is the ground state of an observable with one gap Δ, as 1 - fidelity has, the loss is
    Δ·δᵀgδ: its Hessian is the metric up to a factor, and the steps are Newton's, however ill-conditioned the angles.

    Args:
        model: has at least one quantum layer; all of them exact and on a backend with amplitudes.
        lr: learning rate of the quantum weights.
        approximation: "full" or "block-diagonal"; the latter is cheaper.
        damping: λ added to the diagonal of g, whose entries are at most 1/4 where no weight is used twice. With 0 the
            pseudo-inverse is taken: directions whose eigenvalue is below 1e-8 of the largest stay as they are.
        classical: optimizer of the classical parameters, or a callable that makes it; None for Adam.

    Raises:
        CapabilityError: a layer samples, or its backend gives no amplitudes.
        ArgumentError: an argument out of range; a model without quantum weights, or with weights that are shared by
            layers or computed from others.

    Cost:
        Per step the metric of the batch, and O(W³) for W weights of a layer.

    References:
        Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020), eq. (10).

    Example:
        >>> from qnn import QuantumLayer
        >>> model = torch.nn.Sequential(QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 1))
        >>> optimizer = NaturalGradient(model, lr=0.1)
        >>> model(torch.rand(8, 2)).square().mean().backward()
        >>> optimizer.step()
    """

    _kept: ClassVar = (*SplitOptimizer._kept, "approximation", "_weights")

    def __init__(
        self,
        model: torch.nn.Module,
        lr: float = 0.01,
        *,
        approximation: str = "full",
        damping: float = 1e-3,
        classical: Classical = None,
    ) -> None:
        if approximation not in APPROXIMATIONS:
            raise unknown_name("approximation", approximation, APPROXIMATIONS)
        self.approximation = approximation
        options = {"lr": checked_number("lr", lr), "damping": checked_number("damping", damping)}
        super().__init__(model, options, classical)
        self.defaults["approximation"] = approximation
        self._weights = plain_weights(self.layers)
        for name in self._weights:
            check_amplitudes(self.layers[name], name)
        self._watch()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy watches its own layers; torch's `load_state_dict` comes here too."""
        super().__setstate__(state)
        if not hasattr(self, "_seen"):
            for name in self._weights:
                _drop_copied_hooks(self.layers[name])
            self._watch()

    def _watch(self) -> None:
        """Have each layer tell the rows that it is given, as long as this optimizer lives."""
        self._seen = {name: _Seen() for name in self._weights}
        for name, seen in self._seen.items():
            handle = self.layers[name].register_forward_hook(seen, with_kwargs=True)
            weakref.finalize(self, handle.remove)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Update all parameters by the gradients at hand, or by those that `closure` computes first."""
        loss = None
        if closure is not None:
            self._forget()
            with torch.enable_grad():
                loss = closure()
        directions = {name: self._direction(name) for name in self._weights}
        for name, weights in self._weights.items():
            parts = directions[name].split([weight.numel() for weight in weights.values()])
            for weight, part in zip(weights.values(), parts, strict=True):
                weight.sub_(self.quantum["lr"] * part.reshape(weight.shape).to(weight.dtype))
        self.step_classical()
        self._forget()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset all gradients, and which rows they came from."""
        super().zero_grad(set_to_none)
        self._forget()

    def _forget(self) -> None:
        for seen in self._seen.values():
            seen.inputs.clear()

    def _direction(self, name: str) -> torch.Tensor:
        """(g + damping)⁻¹ ∇L of one layer, shape (W,), float64."""
        weights = list(self._weights[name].values())
        gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
        gradient = torch.cat([g.reshape(-1) for g in gradients]).double()
        metric = self._metric(name, gradient)
        damping = self.quantum["damping"]
        if not damping:
            return torch.linalg.pinv(metric, hermitian=True, rtol=PSEUDO_INVERSE_CUTOFF) @ gradient
        return torch.linalg.solve(metric + damping * torch.eye(len(metric)).to(metric), gradient)

    def _metric(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """The metric of one layer over all rows seen, those of other processes included; shape (W, W)."""
        layer, seen = self.layers[name], self._seen[name]
        check_amplitudes(layer, name)
        n_rows = sum(x.shape[0] for x in seen.inputs)
        total = torch.zeros(len(gradient), len(gradient) + 1).to(gradient)
        if n_rows:
            inputs = torch.cat(seen.inputs)
            total[:, :-1] = n_rows * fubini_study_metric(layer, inputs, approximation=self.approximation)
        total[:, -1] = n_rows
        if seen.processes is not None:
            torch.distributed.all_reduce(total, group=seen.processes)
        if not total[0, -1] and gradient.any():
            raise ArgumentError(
                f'`model` must have run forward and backward since the last step; layer "{name}" has a gradient, but '
                "none of its inputs were seen. Make the optimizer before the forward pass."
            )
        return total[:, :-1] / total[0, -1].clamp(min=1)


class _Seen:
    """Forward hook that keeps the rows a layer was given once their backward pass has come; copies of a model forget.

    Waiting for the backward pass leaves out evaluations, and keeps nothing that autograd has let go.
    """

    def __init__(self, active: bool = True) -> None:
        self.active = active
        self.inputs: list[torch.Tensor] = []  # each of shape (N, D)
        self.processes: Any = None  # those that share the batch, by DistributedDataParallel

    def __call__(self, module: Any, args: tuple, kwargs: dict[str, Any], output: torch.Tensor) -> None:
        if not self.active or not output.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(output):
            return
        parallel = DistributedDataParallel._get_active_ddp_module()
        self.processes = None if parallel is None else parallel.process_group
        inputs = args[0] if args else kwargs.get("inputs")
        rows = output.new_zeros(1, module.n_inputs) if inputs is None else inputs.detach()
        rows = rows.reshape(rows.shape[:-1].numel(), rows.shape[-1])
        output.register_hook(lambda gradient: self.inputs.append(rows))

    def __reduce__(self) -> tuple:
        return _Seen, (False,)


def _drop_copied_hooks(layer: torch.nn.Module) -> None:
    """Remove the hooks that came with a copy of a layer: nobody reads them, and copies of copies would gather them."""
    for number, hook in list(layer._forward_hooks.items()):
        if isinstance(hook, _Seen) and not hook.active:
            del layer._forward_hooks[number]
            layer._forward_hooks_with_kwargs.pop(number, None)
