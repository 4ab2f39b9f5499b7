"""Classical surrogates: what a trained quantum layer computes, written down as a Fourier series."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from qnn._integers import checked_seed, whole
from qnn.backends.base import Estimate
from qnn.compression.circuits.circuit_layers import check_replaceable
from qnn.compression.measurement.devices import DEVICE
from qnn.compression.measurement.measuring import Measuring
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.options import check_module, check_options
from qnn.compression.surrogates.fourier import grid, series_of
from qnn.compression.surrogates.random_features import QUERIES, draw_frequencies, ridge_regression, shortcoming
from qnn.compression.surrogates.spectrum import Encoding, Frequencies, encodings_of, frequencies_of
from qnn.compression.tuning import training_rows
from qnn.errors import ArgumentError, PoorFitWarning, QnnError, ShapeError, unknown_name
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import FourierSurrogate, QuantumLayer
from qnn.training.isolation import module_mode, reference_tensor, same_samples

_METHODS = ("fourier", "random")
_CHECKED = 64  # rows at which an exact series is compared with the circuit
_HELD_OUT = 0.2  # of the queries of a regression


def surrogate(
    model: torch.nn.Module,
    data: Any = None,
    *,
    method: str = "fourier",
    max_queries: int = 20_000,
    tolerance: float = 1e-12,
    n_frequencies: int = 500,
    n_queries: int | None = None,
    ridge: float = 1e-6,
    seed: int = 0,
    device: str | None = DEVICE,
    **unknown: Any,
) -> tuple[torch.nn.Module, CompressionReport]:
    """A copy of `model` whose quantum layers are Fourier series: the same function, and no circuit to run.

    An input that enters by L Pauli rotations gives whole frequencies from -L to L, so that values at (2L+1)^D places
    fix a layer of D inputs; scaled inputs have scaled frequencies. Queries run where the layer runs, all of a layer
    in one call, in float64. With shots the series is one of what the backend estimated.

    Args:
        model: a `QuantumLayer`, or a network with some.
        data: a task or a pair (x, y), whose test rows (or all) are for the report, and whose training rows (or all)
            say where a network's layers are queried with ``method="random"``; inputs alone do the latter only. By
            default queries are spread evenly over one period.
        method: "fourier" is exact; "random" fits some of the frequencies by ridge regression (random Fourier features),
            where the exact way takes too many queries or the frequencies are no multiples of one number.
        max_queries: of each layer, at most.
        tolerance: how far outputs of "fourier" may be off, anywhere, since the smallest terms are left out.
        n_frequencies: of "random", at most.
        n_queries: of "random"; None is eight for each frequency, within `max_queries`. One in five is held out.
        ridge: of "random", how much large coefficients are held back, relative to the mean square of a feature.
        seed: of "random": which frequencies, which queries.
        device: a fake device of IBM to which circuits are transpiled for the report; None leaves gates out.
        **unknown: there are no others; a misspelt option is named.

    Returns:
        The copy, or for a layer its `FourierSurrogate`; and the report, with what is measured on `data`, and for each
        layer the queries and the error.

    Warns:
        PoorFitWarning: with "random", a constant would be nearer to a layer.

    Raises:
        DtypeError: `model` is no module.
        UnknownNameError: no such method or option.
        ArgumentError: it takes more than `max_queries` queries; the message has the count.
        UnsupportedError: a layer computes with its inputs in other ways than sums of multiples.

    Cost:
        Time and memory of a row grow with the number of frequencies, half that of the queries.

    References:
        F. Schreiber, J. Eisert, J. Meyer, "Classical surrogates for quantum learning models", Physical Review Letters
        131, 100803 (2023). M. Schuld, R. Sweke, J. Meyer, Physical Review A 103, 032430 (2021). J. Landman et al.,
        "Classically approximating variational quantum machine learning with random Fourier features",
        arXiv:2210.13200 (2022).

    Example:
        >>> layer = QuantumLayer(n_qubits=2, n_layers=2, reupload=True, seed=0, dtype=torch.float64)
        >>> series, report = surrogate(layer)
        >>> report.details["queries"], bool((series(torch.ones(2)) - layer(torch.ones(2))).abs().max() < 1e-6)
        (25, True)
    """
    check_module(model)
    check_options(unknown, surrogate, "surrogate")
    options = _Options(method, max_queries, tolerance, n_frequencies, n_queries, ridge, seed)
    layers = _layers(model)
    rows = _training_rows(data) if method == "random" and data is not None else None
    plans = {name: options.plan(layer) for name, layer in layers.items()}  # all of them before any circuit runs
    measuring = Measuring(None if isinstance(data, Tensor) else data, device=device)
    measuring.add("model", model)  # before any query
    made: dict[str, FourierSurrogate] = {}
    details: dict[str, Any] = {}
    with same_samples(model):
        inputs = _inputs_of(model, layers, rows)
        for name, layer in layers.items():
            made[name], facts = options.series(name, layer, plans[name], inputs.get(name))
            details |= {f"{name}: {fact}" if name else fact: value for fact, value in facts.items()}
    new = _replaced(model, layers, made)
    measuring.add("surrogate", new)
    name = "Fourier series" if method == "fourier" else "random Fourier features"
    return new, CompressionReport(f"classical surrogate, {name}", measuring.finish(), details)


@dataclass(frozen=True)
class _Plan:
    """What a layer's circuit says, checked: an exact series has `periodic`, a fitted one `drawn`, shape (K, D)."""

    encodings: Sequence[Encoding]
    periodic: Sequence[Frequencies] = ()
    drawn: Tensor | None = None


class _Options:
    """How a layer is replaced, checked."""

    def __init__(
        self, method: str, max_queries: int, tolerance: float, n_frequencies: int, n_queries: int | None,
        ridge: float, seed: int,
    ) -> None:  # fmt: skip
        if method not in _METHODS:
            raise unknown_name("method of surrogates", method, _METHODS)
        for name, value in (("max_queries", max_queries), ("n_frequencies", n_frequencies), ("n_queries", n_queries)):
            number = whole(value)
            if not (name == "n_queries" and value is None) and (number is None or number < 1):
                raise ArgumentError(f"`{name}` must be a whole number from 1 up; got {value!r}. Leave it out.")
        for name, given, least in (("tolerance", tolerance, 0.0), ("ridge", ridge, 1e-15)):
            if isinstance(given, bool) or not isinstance(given, Real) or not least <= given < math.inf:
                raise ArgumentError(f"`{name}` must be a finite number from {least:g} up; got {given!r}. Leave it out.")
        self.method, self.max_queries, self.tolerance = method, max_queries, tolerance
        self.n_frequencies, self.n_queries, self.ridge, self.seed = n_frequencies, n_queries, ridge, checked_seed(seed)

    def plan(self, layer: QuantumLayer) -> _Plan:
        """What there is to know before a query; refuses what cannot be replaced."""
        if not layer.n_inputs:
            raise ArgumentError(
                "`model` must have quantum layers with inputs; got one without, whose outputs are constants. "
                "Put a module that returns these in its place."
            )
        encodings = encodings_of(layer)
        if self.method == "random":
            drawn = draw_frequencies(encodings, layer.n_inputs, self.n_frequencies, self.seed or 0)
            if self.n_queries is not None and self.n_queries > self.max_queries:
                raise ArgumentError(
                    f"`n_queries` must be at most `max_queries`, {self.max_queries:,}; got {self.n_queries:,}. "
                    "Raise `max_queries`."
                )
            return _Plan(encodings, drawn=drawn)
        frequencies = frequencies_of(encodings, layer.n_inputs)
        count = math.prod(f.n_queries for f in frequencies)
        if count > self.max_queries:
            sizes = " x ".join(str(f.n_queries) for f in frequencies[:8]) + (" x ..." if len(frequencies) > 8 else "")
            raise ArgumentError(
                f"`max_queries` must be at least {count:,} ({sizes}) for an exact surrogate of this layer; got "
                f'{self.max_queries:,}. Raise it, or use method="random".'
            )
        return _Plan(encodings, periodic=frequencies)

    def series(
        self, name: str, layer: QuantumLayer, plan: _Plan, inputs: Tensor | None
    ) -> tuple[FourierSurrogate, dict[str, Any]]:
        """The series of a layer, and what there is to say about it; warns where a constant would do as well."""
        if plan.drawn is None:
            return self._exact(layer, plan.periodic)
        series, facts, poor = self._random(layer, plan.encodings, plan.drawn, inputs)
        if poor is not None:
            layer_named = f'the layer "{name}"' if name else "the layer"
            warnings.warn(f"The random Fourier features of {layer_named} {poor}", PoorFitWarning, stacklevel=3)
        return series, facts

    def _exact(
        self, layer: QuantumLayer, frequencies: Sequence[Frequencies]
    ) -> tuple[FourierSurrogate, dict[str, Any]]:
        found = _query(layer, grid(frequencies))
        series = series_of(frequencies, found.values, self.tolerance)
        facts = {"queries": len(found.values), "frequencies": len(series.frequencies)}
        if found.variance is not None:
            return series, facts | {"standard error of an output": float(found.variance.mean().sqrt())}
        places = torch.rand(_CHECKED, layer.n_inputs, generator=_generator(0), dtype=torch.float64)
        places = places * torch.tensor([f.period for f in frequencies], dtype=torch.float64)
        apart = _query(layer, places).values - series(places.to(series.cosines.device))
        return series, facts | {f"largest error at {_CHECKED} further places": float(apart.abs().max())}

    def _random(
        self, layer: QuantumLayer, encodings: Sequence[Encoding], frequencies: Tensor, inputs: Tensor | None
    ) -> tuple[FourierSurrogate, dict[str, Any], str | None]:
        """A fitted series, its errors on queries that were held out, and what to do where these are too large."""
        wanted = min(QUERIES * len(frequencies), self.max_queries) if self.n_queries is None else self.n_queries
        if wanted < 5:
            raise ArgumentError(
                f"`n_queries` must be at least 5, one in five held out; got {wanted}. Use n_queries="
                f"{max(5, min(QUERIES * len(frequencies), self.max_queries))}, or a larger `max_queries`."
            )
        places = self._places(layer, encodings, inputs, wanted)
        held = round(_HELD_OUT * len(places))
        if len(places) < 5:
            raise ShapeError(
                f"`data` must give 5 queries or more, one in five held out; got {len(places)}. "
                "Give more rows, or none for queries all over a period."
            )
        found = _query(layer, places)
        places, frequencies = places.to(found.values.device), frequencies.to(found.values.device)
        values = found.values.double()
        series = ridge_regression(frequencies, places[held:], values[held:], self.ridge)
        truth = values[:held]
        apart, spread = series(places[:held]) - truth, truth - truth.mean(dim=0)
        facts: dict[str, Any] = {"queries": len(places), "frequencies": len(series.frequencies)}
        facts |= {
            f"root mean square error at {held} held-out queries": float(apart.square().mean().sqrt()),
            "standard deviation of the outputs there": float(spread.square().mean().sqrt()),
            "largest error there": float(apart.abs().max()),
        }  # fmt: skip
        if found.variance is not None:
            facts["standard error of a query"] = float(found.variance.mean().sqrt())
        constant = truth - values[held:].mean(dim=0)
        return series, facts, shortcoming(apart, constant, truth, len(frequencies), len(places))

    def _places(
        self, layer: QuantumLayer, encodings: Sequence[Encoding], inputs: Tensor | None, wanted: int
    ) -> Tensor:  # shape: (N, D)
        """Where to ask: some of the given inputs, or places spread evenly over the period of each input."""
        generator = _generator(self.seed or 0)
        if inputs is not None:
            inputs = inputs.reshape(-1, layer.n_inputs).double().cpu()
            return inputs[torch.randperm(len(inputs), generator=generator)[:wanted]]
        try:
            periods = [f.period for f in frequencies_of(encodings, layer.n_inputs)]
        except ArgumentError:  # no period
            periods = [2.0 * math.pi] * layer.n_inputs
        spread = torch.rand(wanted, layer.n_inputs, generator=generator, dtype=torch.float64) - 0.5
        return spread * torch.tensor(periods, dtype=torch.float64)


def _query(layer: QuantumLayer, places: Tensor) -> Estimate:
    """Values and variances at places (N, D), in one call of the backend."""
    return layer.estimate(places.to(reference_tensor(layer).device))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _layers(model: torch.nn.Module) -> dict[str, QuantumLayer]:
    layers = {name: layer for name, layer in quantum_modules(model).items() if isinstance(layer, QuantumLayer)}
    for name, layer in layers.items():
        check_replaceable(name, layer)
    if not layers:
        raise ArgumentError("`model` must have a quantum layer; got none. A classical network is its own surrogate.")
    return layers


def _training_rows(data: Any) -> Tensor:
    """The inputs (N, ...) of the training part, or of all rows there are."""
    return data if isinstance(data, Tensor) else training_rows(data)[0]


def _inputs_of(model: torch.nn.Module, layers: dict[str, QuantumLayer], rows: Tensor | None) -> dict[str, Tensor]:
    """What reaches each layer when the model sees `rows`; nothing where there are none."""
    if rows is None:
        return {}
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with ExitStack() as ends, torch.no_grad():
        ends.enter_context(module_mode(model, training=False))
        for name, layer in layers.items():
            handle = layer.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0]))
            ends.callback(handle.remove)
        try:
            for chunk in rows.to(like.device, like.dtype).split(1024):
                model(chunk)
        except RuntimeError as error:
            if isinstance(error, QnnError):
                raise
            raise ShapeError(f"`data` must have rows that the model takes; got {tuple(rows.shape)}: {error}") from error
    return {
        name: torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]) for name, parts in seen.items() if parts
    }


def _replaced(
    model: torch.nn.Module, layers: dict[str, QuantumLayer], made: dict[str, FourierSurrogate]
) -> torch.nn.Module:
    """A copy with each layer replaced, at every place that it has."""
    if "" in made:
        return made[""]
    series = {id(layers[name]): made[name] for name in layers}
    memo: dict[int, Any] = dict(series)  # a deep copy takes what is in its memo for copied already
    return copy.deepcopy(model, memo)
