"""A model as a tree of plain data, and back; quantum layers stand in it by their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from qnn.errors import BundleError
from qnn.layers import QuantumLayer
from qnn.models.bundle.fields import Value, refusal
from qnn.models.bundle.kinds import KINDS, Kind, kind_of
from qnn.models.bundle.plain import plain

_MAX_MODULES = 100_000  # by path: one that is shared counts for each of its places
_MAX_PATH = 2_000  # characters: each module has one
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip
_WRAPPED = {"DistributedDataParallel": "Save `model.module`.", "OptimizedModule": "Save `model._orig_mod`."}


def encode(model: nn.Module) -> tuple[dict[str, Any], list[tuple[str, QuantumLayer]]]:
    """The tree, and the quantum layers with their paths, in the order of their numbers.

    Raises:
        BundleError: a module that a bundle cannot hold; the message has its path and class.
    """
    quantum: list[tuple[str, QuantumLayer]] = []
    seen: dict[int, str] = {}
    _check_not_tied(model)

    def node(module: nn.Module, path: str) -> dict[str, Any]:
        if id(module) in seen:
            return {"kind": "same", "as": seen[id(module)]}
        seen[id(module)] = path
        kind = kind_of(module)
        if kind is None and type(module) is not QuantumLayer:
            raise _unknown(module, path)
        _check_as_built(module, path)
        if kind is None:
            assert isinstance(module, QuantumLayer)
            quantum.append((path, module))
            return {"kind": "QuantumLayer", "layer": len(quantum) - 1}
        made = {"kind": kind.name, "options": plain(kind.options(module), f"options of {_at(module, path)}")}
        if kind.holds_children:
            # Not `named_children`, which leaves out a module's second appearance.
            children = [(name, child) for name, child in module._modules.items() if child is not None]
            made["children"] = [[name, node(child, f"{path}.{name}" if path else name)] for name, child in children]
        return made

    return node(model, ""), quantum


def decode(value: Value, quantum: Callable[[int, str], QuantumLayer], n_quantum: int) -> nn.Module:
    """The model of a tree, its classical weights on the device "meta": shapes without memory.

    Args:
        value: the tree.
        quantum: builds the quantum layer of a number, at a path.
        n_quantum: how many there are; each must be used once.

    Raises:
        BundleError: no such tree; the message names the field.
    """
    built: dict[str, nn.Module] = {}
    used: set[int] = set()
    paths = _Paths()

    def module(value: Value, path: str) -> nn.Module:
        if len(path) > _MAX_PATH:
            raise value.refusal(f"have a path of at most {_MAX_PATH:,} characters", f"{len(path):,}")
        before = paths.total
        kind_name = value.entries(("kind",), ("as", "children", "layer", "options"))["kind"].text()
        if kind_name == "same":
            other = value.entries(("kind", "as"))["as"].text()
            if other not in built:
                raise value.refusal("be the same as an earlier module", f'"{other}"')
            paths.add(paths.below[other], value.name)
            return built[other]
        paths.add(1, value.name)
        if kind_name == "QuantumLayer":
            number = value.entries(("kind", "layer"))["layer"].whole(0, n_quantum - 1)
            if number in used:
                raise value.refusal("name a quantum layer of its own", str(number))
            used.add(number)
            made: nn.Module = quantum(number, path)
        else:
            made = _build(value, KINDS.get(kind_name), kind_name, path, module)
        built[path] = made
        paths.below[path] = paths.total - before
        return made

    model = module(value, "")
    if len(used) != n_quantum:
        raise value.refusal(f"use each of the {n_quantum} quantum layers", f"{len(used)} of them")
    return model


class _Paths:
    """The places of modules, counted without walking them: sharing can make 2**depth of a small tree.

    Attributes:
        total: so far.
        below: of each module that is complete, by its first path: its places and those within it.
    """

    def __init__(self) -> None:
        self.total = 0
        self.below: dict[str, int] = {}

    def add(self, n: int, name: str) -> None:
        """Count `n` more, at the place `name` of the file."""
        self.total += n
        if self.total > _MAX_MODULES:
            advice = "A shared module counts for each place that it has. Share fewer."
            raise refusal(name, f"have at most {_MAX_MODULES:,} modules", "more", advice)


def _build(
    value: Value, kind: Kind | None, name: str, path: str, module: Callable[[Value, str], nn.Module]
) -> nn.Module:
    if kind is None:
        advice = "Register its class first, with qnn.models.register_module, or use the version of qnn that wrote it."
        raise BundleError(f"`{value.name}.kind` must be a known kind of module; got {name[:80]!r}. {advice}")
    entries = value.entries(("kind", "options", *(("children",) if kind.holds_children else ())))
    if kind.checks is None:
        options = {option: given.data for option, given in entries["options"].any_entries().items()}
    else:
        given = entries["options"].entries(kind.checks)
        options = {option: check(given[option]) for option, check in kind.checks.items()}
    children: dict[str, nn.Module] = {}
    for pair in entries["children"].items(_MAX_MODULES) if kind.holds_children else ():
        parts = list(pair.items(2))
        if len(parts) != 2:
            raise pair.refusal("be a name and a module")
        child = parts[0].text()
        if child in children:
            raise pair.refusal("have a name of its own", f'"{child}" again')
        children[child] = module(parts[1], f"{path}.{child}" if path else child)
    try:
        with torch.device("meta"):
            return kind.build(children, **options) if kind.holds_children else kind.build(**options)
    except Exception as error:  # what constructors raise for options out of range is of many kinds
        raise value.refusal(
            f"have options that make a {name}", f"{type(error).__name__}: {error}".rstrip(".")
        ) from error


def _check_as_built(module: nn.Module, path: str) -> None:
    """Refuse what the tree would silently lose: hooks, and a method replaced on this one module."""
    if any(getattr(module, name, None) for name in _HOOKS):
        raise BundleError(
            f"`model` must have no hooks to be saved, which are code; got some on {_at(module, path)}. "
            "Remove them; after torch.nn.utils.prune, call torch.nn.utils.prune.remove."
        )
    if "forward" in vars(module):
        raise BundleError(
            f"`model` must be made of classes as they are; got a `forward` of its own on {_at(module, path)}. "
            "Write a module class, and register it with qnn.models.register_module."
        )


def _check_not_tied(model: nn.Module) -> None:
    """Refuse weights that several modules share; a module that is used several times is one module."""
    names: dict[int, str] = {}
    for path, module in model.named_modules():
        for attribute, weight in module._parameters.items():
            name = f"{path}.{attribute}" if path else attribute
            if weight is not None and names.setdefault(id(weight), name) != name:
                raise BundleError(
                    "`model` must have weights that belong to one module each; got "
                    f'"{names[id(weight)]}" and "{name}", which are one. Use one module in both places.'
                )


def _unknown(module: nn.Module, path: str) -> BundleError:
    advice = _WRAPPED.get(type(module).__name__)
    if advice is None and hasattr(module, "parametrizations"):
        advice = "Call torch.nn.utils.parametrize.remove_parametrizations first."
    if advice is None:
        advice = "Build it of torch.nn and qnn layers, or register its class with qnn.models.register_module."
    return BundleError(f"`model` must consist of modules that a bundle can hold; got {_at(module, path)}. {advice}")


def _at(module: nn.Module, path: str) -> str:
    return f'{type(module).__name__} at "{path}"' if path else f"{type(module).__name__} itself"


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and persistent buffers by name, each once, however many modules share it.

    The names are those of the `state_dict`, which walks a shared module once for each of its places; this does not.
    """
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for path, module in model.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise BundleError(
                f"`model` must have a state of tensors; got an extra state on {_at(module, path)}. Leave it out."
            )
        kept = {n: b for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set}
        for attribute, tensor in (*module._parameters.items(), *kept.items()):
            if tensor is not None:
                found.setdefault(id(tensor), (f"{path}.{attribute}" if path else attribute, tensor))
    return dict(found.values())


def put_in(model: nn.Module, weights: dict[str, torch.Tensor], frozen: Iterable[str]) -> None:
    """Give `model` its weights and buffers.

    Args:
        model: as `decode` made it.
        weights: all of them, by name.
        frozen: names of those that are not trained, each once.

    Raises:
        BundleError: the model has other weights, or weights of other shapes.
    """
    expected = tensors_of(model)
    for name in expected.keys() ^ weights.keys():
        side = "the model alone has" if name in expected else "the file alone has"
        raise refusal("weights.safetensors", "hold the weights of the model", f'"{name}", which {side}')
    names: set[str] = set()
    for name in frozen:
        if name in names:
            raise refusal("bundle.json: frozen", "name each weight once", f'"{name[:80]}" again')
        names.add(name)
        if not isinstance(expected.get(name), nn.Parameter):
            raise refusal("bundle.json: frozen", "name weights of the model", f'"{name[:80]}"')
    for name, old in expected.items():
        new = weights[name]
        fits = new.is_floating_point() if old.is_floating_point() else new.dtype == old.dtype
        if new.shape != old.shape or not fits:
            wanted = f"fit the model, which has {old.dtype} of shape {tuple(old.shape)}"
            raise refusal(f"weights.safetensors: {name}", wanted, f"{new.dtype} of shape {tuple(new.shape)}")
        path, _, attribute = name.rpartition(".")
        made = nn.Parameter(new, requires_grad=name not in names) if isinstance(old, nn.Parameter) else new
        setattr(model.get_submodule(path), attribute, made)


def check_equal(made: nn.Module, model: nn.Module) -> None:
    """Refuse a model that its own description does not describe.

    Raises:
        BundleError: it was changed after it was built; the message says where.
    """
    pairs: list[tuple[str, nn.Module | None, nn.Module | None]] = [("", made, model)]
    seen: set[tuple[int, int]] = set()  # a shared module is compared once, not at each of its places
    while pairs:
        path, one, other = pairs.pop()
        if (id(one), id(other)) in seen:
            continue
        seen.add((id(one), id(other)))
        if one is None or other is None or type(one) is not type(other) or one.extra_repr() != other.extra_repr():
            raise _changed(f'the module "{path}"')
        for name in one._modules | other._modules:
            pair = one._modules.get(name), other._modules.get(name)
            if pair != (None, None):
                pairs.append((f"{path}.{name}" if path else name, *pair))
    for kind in ("named_parameters", "named_buffers"):
        found, given = dict(getattr(made, kind)()), dict(getattr(model, kind)())
        for name in found.keys() ^ given.keys():
            raise _changed(f'"{name}"')
        for name, tensor in found.items():
            if tensor.dtype != given[name].dtype or not torch.equal(tensor, given[name].detach().cpu()):
                raise _changed(f'"{name}"')


def _changed(where: str) -> BundleError:
    return BundleError(
        f"`model` must be made of its layers as they were built; got {where}, which was added or changed later. "
        "Write a module class for it, and register it with qnn.models.register_module."
    )
