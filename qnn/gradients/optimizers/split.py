"""What the quantum optimizers share: quantum weights by their own rule, all others by an optimizer of torch.

Both live in one `torch.optim.Optimizer`. The first parameter group holds the quantum weights, the others are those of
the classical optimizer itself, and the state is one dictionary, so that schedulers, `state_dict` and
`load_state_dict` reach everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from numbers import Real
from typing import Any, ClassVar

import torch

from qnn.errors import ArgumentError, DtypeError, TrainingError
from qnn.gradients.quantum_modules import quantum_modules, weights_of

Closure = Callable[[], Any]
Classical = torch.optim.Optimizer | Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer] | None


class SplitOptimizer(torch.optim.Optimizer):
    """Base of the quantum optimizers.

    Args:
        model: holds a quantum layer with trainable weights, maybe among other layers.
        options: of the group of quantum weights, "lr" among them; plain numbers.
        classical: for all other trainable parameters: None for Adam with torch's defaults, a callable from their list
            to an optimizer, or an optimizer over exactly these.

    Attributes:
        classical: the optimizer of the classical parameters; None where there are none.
        layers: the quantum layers by name.
    """

    #: Whether `step` must be given a closure.
    needs_closure = False
    #: Attributes that copies and pickles keep, besides those of torch.
    _kept: ClassVar[tuple[str, ...]] = ("layers", "classical")

    def __init__(self, model: torch.nn.Module, options: dict[str, Any], classical: Classical) -> None:
        if not isinstance(model, torch.nn.Module):
            raise DtypeError(
                f"`model` must be a torch.nn.Module, whose quantum layers are found; got {type(model).__name__}. "
                "Pass the model, not its parameters."
            )
        self.layers = quantum_modules(model)
        weights = {id(w): w for layer in self.layers.values() for w in layer.parameters() if w.requires_grad}
        if not weights:
            raise ArgumentError(
                "`model` must hold a quantum layer with trainable weights; got none. "
                "Use an optimizer of torch.optim for classical models."
            )
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in weights]
        self.classical = _classical(classical, rest)
        groups = [{"params": list(weights.values()), **options}]
        super().__init__(groups + (self.classical.param_groups if self.classical else []), {})
        self.defaults = dict(options)  # only now: they are not those of the classical groups

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: torch's own leaves out what a subclass holds. The layers come along."""
        return super().__getstate__() | {name: getattr(self, name) for name in self._kept}

    @property
    def quantum(self) -> dict[str, Any]:
        """The group of quantum weights."""
        return self.param_groups[0]

    def needed(self, closure: Closure | None) -> Closure:
        """`closure`, or an error."""
        if closure is None:
            raise ArgumentError(
                f"`closure` must be given to {type(self).__name__}.step, which evaluates the loss at several "
                "places; got None. Pass a function that returns the loss of the batch."
            )
        return closure

    def classical_gradients(self, closure: Closure) -> torch.Tensor | None:
        """The loss, once backpropagation has filled in the classical gradients; None for a model without any.

        Quantum weights are frozen meanwhile: their gradients cost circuits and nobody asks for them.
        """
        if self.classical is None:
            return None
        with torch.enable_grad(), _frozen(self.quantum["params"]):
            return closure()

    def step_classical(self) -> None:
        """Update the classical parameters by their gradients."""
        if self.classical is not None:
            self.classical.param_groups = self.param_groups[1:]  # `load_state_dict` makes new ones
            self.classical.state = self.state
            self.classical.step()


def evaluate(closure: Closure) -> float:
    """The loss without gradients.

    Raises:
        ArgumentError: the closure computes gradients even inside `torch.no_grad()`.
        TrainingError: the loss is not finite.
    """
    try:
        with torch.no_grad():
            loss = float(closure())
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise ArgumentError(
            "`closure` must compute gradients only where they are wanted; got one that calls backward() inside "
            "torch.no_grad(). Put `if torch.is_grad_enabled():` before it."
        ) from error
    if not isfinite(loss):
        raise TrainingError(f"`closure` must return a finite loss; got {loss}. Check the data and the learning rate.")
    return loss


def plain_weights(layers: dict[str, torch.nn.Module]) -> dict[str, dict[str, torch.nn.Parameter]]:
    """The trainable weights of each layer by name; layers that share weights are refused."""
    found = {name: weights_of(layer) for name, layer in layers.items()}
    owner: dict[int, str] = {}
    for name, weights in found.items():
        for weight in weights.values():
            if owner.setdefault(id(weight), name) != name:
                raise ArgumentError(
                    f'`model` must give each quantum layer weights of its own; got layers "{owner[id(weight)]}" and '
                    f'"{name}" with the same ones. Use an optimizer of torch.optim, or SPSA.'
                )
    return {name: weights for name, weights in found.items() if weights}


def checked_number(name: str, value: Any, *, least: float = 0.0, above: bool = False) -> float:
    """A finite number that is at least `least`, or above it."""
    fits = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if not fits or value < least or (above and value == least):
        bound = f"above {least:g}" if above else f"of {least:g} or more"
        raise ArgumentError(f"`{name}` must be a number {bound}; got {value!r}. Use {max(least, 0.1):g}, for example.")
    return float(value)


def _classical(classical: Classical, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer | None:
    """The optimizer of the classical parameters."""
    if not isinstance(classical, torch.optim.Optimizer):
        if not parameters:
            return None
        classical = torch.optim.Adam(parameters) if classical is None else classical(parameters)
    if not isinstance(classical, torch.optim.Optimizer):
        raise ArgumentError(
            "`classical` must be a torch.optim.Optimizer, or make one of a list of parameters; "
            f"got {type(classical).__name__}. Use lambda parameters: torch.optim.Adam(parameters, lr=0.01)."
        )
    if isinstance(classical, torch.optim.LBFGS) or getattr(classical, "needs_closure", False):
        raise ArgumentError(
            f"`classical` must step by gradients alone; got {type(classical).__name__}, which needs a closure of its "
            "own. Use torch.optim.Adam."
        )
    given = {id(p) for group in classical.param_groups for p in group["params"]}
    if given != {id(p) for p in parameters}:
        raise ArgumentError(
            f"`classical` must hold the {len(parameters)} trainable parameters of the model that are not weights of "
            f"its quantum layers; got an optimizer with {len(given)}, or with others. "
            "Give a function from parameters to optimizer instead."
        )
    return classical


@contextmanager
def _frozen(parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
