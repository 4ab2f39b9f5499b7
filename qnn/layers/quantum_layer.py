"""The quantum layer: a circuit as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from qnn import _seeding
from qnn.backends import read_out, registry
from qnn.backends.base import Backend, Estimate
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.ansatze import ansatz_named
from qnn.circuits.capture import Captured, capture
from qnn.circuits.circuit import Circuit
from qnn.circuits.encodings import encoding_named, n_features
from qnn.errors import ArgumentError, DtypeError
from qnn.gradients import operator
from qnn.layers import initialisers, sampling
from qnn.layers.checks import (
    check_count,
    checked_rows,
    checked_seed,
    checked_shots,
    warn_if_inert,
    weight_shape,
)
from qnn.layers.explanation import Explanation, explained
from qnn.layers.identity import execution_identity
from qnn.layers.placement import Placement, place

_UNCHANGED: Any = object()


class QuantumLayer(torch.nn.Module):
    """A parametrised quantum circuit as a torch module, (..., D) ↦ (..., M).

    The circuit encodes D inputs, applies an ansatz with trainable `weights`, and returns M measured values.
    Gradients reach inputs and weights alike, on every backend.

    Args:
        n_qubits: number of wires; also the number of inputs D, but for amplitude encoding.
        n_layers: layers of the ansatz.
        encoding: "angle", "basis", "iqp", "amplitude" (D = 2^n_qubits), or a PennyLane quantum function
            f(inputs, wires) of `n_qubits` inputs.
        ansatz: "h_rx_cnot", "hardware_efficient", "strongly_entangling", "qcnn", "tree", or a PennyLane quantum
            function f(weights, wires) with the layers as first dimension of `weights`.
        reupload: repeat the encoding before every layer.
        observables: "Z" (one value per wire), "probs" (2^n values), a PennyLane observable (one value), or a list
            of observables (one value each), of ``qml.var(...)`` (one value each) and ``qml.probs(wires=...)``.
        backend: name or `Backend`: "statevector", "aer", "pennylane:<device>", "ibm:<device>", "braket:<device>".
        gradient: "auto", "adjoint", "backprop", "parameter-shift", "finite-difference" or "spsa".
        shots: shots per executed circuit; None is exact.
        seed: root of the initial weights and of the sampling (on backends that sample by keys; `explain` says whether);
            None draws it from torch's default generator.
        dtype: of the weights; None is torch's default dtype. Circuits run in the dtype of the inputs.
        init: initialiser of the weights: "uniform" in [0, 2π), "normal", "small", "zeros", or a callable.
        **backend_options: options of the backend, such as ``noise="fake_manila"`` for "aer"; on any, ``workers=4`` for
            processes (`qnn.backends.Workers`), ``mitigation="readout+zne"`` against noise (`qnn.backends.Mitigated`).

    Shape:
        - inputs: (..., D), angles in radians for the built-in encodings; float32 or float64.
        - output: (..., M), in the dtype and on the device of the input.

    Raises:
        ArgumentError: an option that cannot be used; the message says which.
        CapabilityError: a gradient method that the backend cannot offer.

    Warns:
        InertParameterWarning: some inputs or weights cannot change any output.

    Example:
        >>> layer = QuantumLayer(n_qubits=2, n_layers=1, seed=0)
        >>> layer(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        n_qubits: int,
        n_layers: int,
        *,
        encoding: str | Callable[[Any, Any], Any] = "angle",
        ansatz: str | Callable[[Any, Any], Any] = "h_rx_cnot",
        reupload: bool = False,
        observables: Any = "Z",
        backend: str | Backend = "statevector",
        gradient: str = "auto",
        shots: int | None = None,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        init: str | initialisers.Initialiser = "uniform",
        **backend_options: Any,
    ) -> None:
        n_qubits, n_layers = check_count("n_qubits", n_qubits), check_count("n_layers", n_layers)
        encode, build = encoding_named(encoding), ansatz_named(ansatz)
        wires = list(range(n_qubits))

        def function(inputs, weights):
            if not reupload:
                encode(inputs, wires)
                build.function(weights, wires)
                return
            for layer in range(n_layers):
                encode(inputs, wires)
                build.function(weights[layer : layer + 1], wires)

        shape = build.shape(n_layers, n_qubits)
        captured = capture(
            function,
            n_inputs=n_features(encode, n_qubits),
            weight_shapes={"weights": shape},
            observables=observables,
            n_wires=n_qubits,
        )
        self._setup(captured, backend, gradient, shots, seed, dtype, init, backend_options)

    @classmethod
    def from_pennylane(
        cls,
        function: Callable[..., Any],
        *,
        n_inputs: int,
        weight_shapes: Mapping[str, int | Sequence[int]],
        n_qubits: int | None = None,
        observables: Any = None,
        backend: str | Backend = "statevector",
        gradient: str = "auto",
        shots: int | None = None,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        init: str | initialisers.Initialiser = "uniform",
        **backend_options: Any,
    ) -> QuantumLayer:
        """A layer from a PennyLane quantum function (or QNode) of `inputs` and of one argument per weight.

        Functions written for one row (``inputs[0]``) and functions written for TorchLayer's batches
        (``inputs[:, 0]``, ``inputs[..., 0]``) both work. The function is run once, now, and not kept.

        Args:
            function: ``function(inputs, w, ...)``; it returns measurements, unless `observables` are given.
            n_inputs: D, length of `inputs`; 0 for a function of weights alone.
            weight_shapes: shape of each weight by argument name; each becomes a `Parameter` of that name.
            n_qubits: number of wires; None for as many as the function uses.
            observables: instead of what the function returns; as for the class.
            backend: as for the class.
            gradient: as for the class.
            shots: as for the class.
            seed: as for the class.
            dtype: as for the class.
            init: as for the class.
            **backend_options: as for the class.

        Raises:
            CaptureError: the circuit's structure depends on values.
            UnsupportedError: an operation or measurement that cannot be expressed.
        """
        n_inputs = check_count("n_inputs", n_inputs, least=0)
        shapes = {name: weight_shape(name, shape) for name, shape in weight_shapes.items()}
        captured = capture(function, n_inputs=n_inputs, weight_shapes=shapes, observables=observables, n_wires=n_qubits)
        layer = cls.__new__(cls)
        layer._setup(captured, backend, gradient, shots, seed, dtype, init, backend_options)
        return layer

    @classmethod
    def from_qasm(
        cls,
        path_or_text: str | Path,
        *,
        inputs: Sequence[str] = (),
        observables: Any = "Z",
        **options: Any,
    ) -> QuantumLayer:
        """A layer from an OpenQASM 2 or 3 program.

        Args:
            path_or_text: a file, or the program itself.
            inputs: names of the free parameters that are inputs, in the order of the features (an array counts as
                many features as it has entries); all others are the entries of the `weights` vector, in the order of
                their declaration.
            observables: as for the class.
            **options: further options of the class.

        Raises:
            QasmError: the program cannot be read; the message has line and column.
            UnknownNameError: a name in `inputs` that the program does not declare.
        """
        from qnn.circuits.qasm_function import qasm_function

        function, n_inputs, weight_shapes, n_wires = qasm_function(path_or_text, inputs)
        return cls.from_pennylane(
            function,
            n_inputs=n_inputs,
            weight_shapes=weight_shapes,
            n_qubits=n_wires,
            observables=observables,
            **options,
        )

    @classmethod
    def from_circuit(cls, circuit: Circuit, angle_map: AngleMap, **options: Any) -> QuantumLayer:
        """A layer from its parts, those of another one say; inert parameters are not looked for.

        `options` are those of the class without options of a backend: give the `Backend` itself.
        """
        layer = cls.__new__(cls)
        layer._setup(Captured(circuit, angle_map), **options, check_inert=False)
        return layer

    def _setup(
        self,
        captured: Captured,
        backend: str | Backend = "statevector",
        gradient: str = "auto",
        shots: int | None = None,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        init: str | initialisers.Initialiser = "uniform",
        backend_options: Mapping[str, Any] = MappingProxyType({}),
        check_inert: bool = True,
    ) -> None:
        torch.nn.Module.__init__(self)
        self.circuit: Circuit = captured.circuit
        self.angle_map = captured.angle_map
        self._put(place(self.circuit, registry.resolve(backend, **backend_options), shots, gradient))
        self._calls = torch.zeros((), dtype=torch.int64)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if dtype not in (torch.float32, torch.float64):
            raise DtypeError(f"`dtype` must be torch.float32 or torch.float64; got {dtype}. Use torch.float32.")
        self._seed = _seeding.draw_root(checked_seed(seed))
        generator = None if seed is None else torch.Generator().manual_seed(self._seed)
        for name, shape in self.angle_map.weight_shapes:
            if hasattr(self, name):
                raise ArgumentError(
                    f'`weight_shapes` must not use the names of the layer\'s own attributes; got "{name}". '
                    "Rename that argument."
                )
            values = initialisers.draw(init, shape, generator)
            self.register_parameter(name, torch.nn.Parameter(values.to(dtype)))
        if check_inert:
            warn_if_inert(captured)

    @property
    def n_inputs(self) -> int:
        """D, number of features of a row."""
        return self.angle_map.n_inputs

    @property
    def n_outputs(self) -> int:
        """M, number of values of a row."""
        return self.circuit.n_outputs

    @property
    def backend(self) -> Backend:
        """Where the layer runs."""
        return self._placement.backend

    @property
    def shots(self) -> int | None:
        """Shots per executed circuit; None is exact."""
        return self._placement.shots

    @property
    def gradient(self) -> str:
        """The gradient method that was asked for; `explain` says which one "auto" is."""
        return self._placement.gradient

    @property
    def seed(self) -> int:
        """Root of the layer's sampling."""
        return self._seed

    def sampling_state(self) -> dict[str, int]:
        """What the layer's next samples follow from, besides the training step: its seed and its calls so far."""
        return {"seed": self._seed, "calls": int(self._calls)}

    def execution_identity(self) -> dict[str, Any]:
        """What a checkpoint compares: content ids of circuit and angle map, and where and how they run."""
        return execution_identity(self)

    def load_sampling_state(self, state: dict[str, int]) -> None:
        """Sample from now on as the layer did that gave `state`."""
        self._seed = int(state["seed"])
        self._calls.fill_(int(state["calls"]))

    @property
    def plan(self) -> operator.Plan:
        """What the layer's operator runs; compiled when first run."""
        return self._plan

    def _put(self, placement: Placement) -> None:
        """The plan is made here, whenever the placement changes, and never in `forward`, which torch.compile traces."""
        self._placement = placement
        self._plan = placement.plan(self.circuit, self.angle_map)

    def forward(self, inputs: torch.Tensor | None = None) -> torch.Tensor:  # (..., D) -> (..., M)
        """Measured values of every row.

        Args:
            inputs: shape (..., D), float32 or float64; None for a circuit without inputs.

        Returns:
            Shape (..., M), in the dtype and on the device of `inputs`.

        Raises:
            ShapeError: the last dimension is not D.
            NotFiniteError: an input or a weight is NaN or infinite.
        """
        rows, leading, dtype = self._rows(inputs)
        if not rows.is_meta and torch.is_autocast_enabled(rows.device.type):
            with torch.autocast(rows.device.type, enabled=False):
                values = self._run(rows)
        else:
            values = self._run(rows)
        return values.reshape(*leading, self.n_outputs).to(dtype)

    def _run(self, rows: torch.Tensor) -> torch.Tensor:  # (N, D) -> (N, M)
        shared, rows = self._sources(rows)
        if torch.compiler.is_compiling() or not self._is_counted:  # it cannot trace the block below
            values = operator.execute(self.plan, shared, rows, self._keys(rows.shape[0]))
        else:
            with operator.counted_if_it_ends(self._calls, self._seed):
                values = operator.execute(self.plan, shared, rows, self._keys(rows.shape[0]))
        return read_out.outputs(values, self.circuit.variance_columns, exact=self.shots is None)

    def estimate(self, inputs: torch.Tensor | None = None) -> Estimate:
        """Values with their variances and counts, without gradients.

        Args:
            inputs: shape (..., D).

        Returns:
            An `Estimate` whose rows are the flattened leading dimensions.
        """
        rows, _, _ = self._rows(inputs)
        with torch.no_grad():
            shared, rows = self._sources(rows)
            with operator.counted_if_it_ends(self._calls, self._seed):
                found = operator.estimate(self.plan, shared, rows, self._keys(rows.shape[0]))
        return read_out.estimate(found, self.plan.differentiator.executable.plan, self.circuit.variance_columns)

    def sample(self, inputs: torch.Tensor | None = None, shots: int | None = None) -> torch.Tensor:
        """What single shots show when every wire is measured in the computational basis.

        All rows are one call of the backend, its noise and readout error included. Like every sampling of the layer
        it follows from its seed and from the number of calls before.

        Args:
            inputs: shape (..., D).
            shots: shots per row; None for those of the layer.

        Returns:
            Shape (..., shots, n_qubits), int64 bits; wire 0 comes first.

        Raises:
            ArgumentError: neither the layer nor the call says how many shots.
            CapabilityError: the backend returns no counts.
        """
        shots = self.shots if shots is None else shots
        counts, keys, leading, device = self._draw(inputs, shots)
        bits = sampling.as_samples(counts, shots or 0, keys)
        return bits.reshape(*leading, *bits.shape[1:]).to(device)

    def counts(self, inputs: torch.Tensor | None = None, shots: int | None = None) -> Any:
        """How often each outcome is seen when every wire is measured: ``{"01": 517, "10": 507}`` for each row.

        Args:
            inputs: shape (..., D).
            shots: shots per row; None for those of the layer.

        Returns:
            A dictionary per row, from bits (wire 0 leftmost) to how often they were seen, in lists nested like the
            leading dimensions of `inputs`; outcomes never seen are left out.

        Raises:
            ArgumentError: neither the layer nor the call says how many shots.
            CapabilityError: the backend returns no counts.
        """
        counts, _, leading, _ = self._draw(inputs, self.shots if shots is None else shots)
        return sampling.as_histograms(counts, leading)

    def _draw(
        self, inputs: torch.Tensor | None, shots: int | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Size, torch.device]:
        """Counts (N, 2^n) with their keys, the leading dimensions and the device of `inputs`."""
        shots = checked_shots(shots)
        if shots is None:
            raise ArgumentError("`shots` must be given to sample a layer that is exact; got None. Use shots=1024.")
        rows, leading, _ = self._rows(inputs)
        with torch.no_grad():
            angles = self.plan.angles(*self._sources(rows))
        with operator.counted_if_it_ends(self._calls, self._seed):
            keys = operator.draw_keys(self._calls, self._seed, angles.n_rows)
            counts = sampling.draw_counts(self.circuit, self.backend, angles, shots, keys)
        return counts, keys, leading, rows.device

    def _rows(self, inputs: torch.Tensor | None) -> tuple[torch.Tensor, torch.Size, torch.dtype]:
        weight = next(iter(self._parameters.values()), None)
        if weight is None:  # none, or held by a parametrization
            weight = next(self.parameters(), None)
        return checked_rows(inputs, self.n_inputs, weight)

    def _sources(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights = {name: getattr(self, name) for name, _ in self.angle_map.weight_shapes}
        return self.angle_map.sources(rows, weights)

    @property
    def _is_counted(self) -> bool:
        """Whether a call draws anything."""
        return self.shots is not None or self.plan.method == "spsa"

    def _keys(self, n_rows: int) -> torch.Tensor:
        if not self._is_counted:
            return torch.empty((0, 5), dtype=torch.int64)
        return operator.draw_keys(self._calls, self._seed, n_rows)

    def to_backend(
        self,
        backend: str | Backend,
        *,
        shots: int | None = None,
        gradient: str = "auto",
        **backend_options: Any,
    ) -> QuantumLayer:
        """Run elsewhere from now on, with the same weights.

        Args:
            backend: name or `Backend`.
            shots: shots per circuit there; None is exact.
            gradient: gradient method there; "auto" by default, whatever was asked for at the place before.
            **backend_options: options of the backend, such as ``noise="fake_manila"`` for "aer".

        Returns:
            The layer itself.
        """
        self._put(place(self.circuit, registry.resolve(backend, **backend_options), shots, gradient))
        return self

    @contextmanager
    def using(
        self,
        backend: str | Backend | None = None,
        *,
        shots: Any = _UNCHANGED,
        gradient: Any = _UNCHANGED,
        **backend_options: Any,
    ) -> Iterator[QuantumLayer]:
        """Run elsewhere inside the block only.

        Args:
            backend: name or `Backend`; None, or the name of the present one, stays there.
            shots: shots per circuit; by default those of the layer on the same backend, exact on another.
            gradient: gradient method; by default that of the layer on the same backend, "auto" on another.
            **backend_options: options of the backend; on the same backend those not named stay as they are.
        """
        before = self._placement, self._plan
        target, same = registry.variant(self.backend, backend, backend_options)
        if shots is _UNCHANGED:
            shots = self.shots if same else None
        if gradient is _UNCHANGED:
            gradient = self.gradient if same else "auto"
        try:
            yield self.to_backend(target, shots=shots, gradient=gradient)
        finally:
            self._placement, self._plan = before

    def explain(self, batch_size: int = 1, *, input_gradients: bool = True) -> Explanation:
        """What one training step with `batch_size` rows will do, printable.

        Args:
            batch_size: rows of the step, leading dimensions multiplied.
            input_gradients: whether the inputs need gradients too, as they do behind a trained layer.
        """
        return explained(self, self._placement, check_count("batch_size", batch_size), input_gradients)

    def qnode(self, device: str = "default.qubit") -> Any:
        """An equivalent PennyLane QNode ``f(inputs, **weights)`` for one row, on a PennyLane device.

        Weights are given by keyword; those left out are the layer's.
        """
        from qnn.circuits.replay import qnode

        defaults = {name: getattr(self, name) for name, _ in self.angle_map.weight_shapes}
        return qnode(self.circuit, self.angle_map, device, defaults)

    def draw(self, **options: Any) -> Any:
        """The circuit as a matplotlib figure, angles labelled by the inputs and weights that they come from.

        Args:
            **options: of `qnn.circuits.drawing.draw`, such as ``style``.
        """
        from qnn.circuits.drawing import draw
        from qnn.circuits.symbols import slot_symbols

        return draw(self.circuit, names=slot_symbols(self.angle_map), **options)

    def to_qasm(self, version: int = 3, bind: bool = False, inputs: Sequence[float] | None = None) -> str:
        """The circuit as an OpenQASM program.

        Args:
            version: 3, with free parameters as ``input float``; or 2, which has none and needs all values.
            bind: put in the present values of the weights.
            inputs: values of the inputs, shape (D,), to put in as well.

        Raises:
            UnsupportedError: an angle that OpenQASM cannot express; bind it.
        """
        from qnn.circuits.symbols import to_qasm

        weights = {name: getattr(self, name).detach() for name, _ in self.angle_map.weight_shapes} if bind else None
        return to_qasm(self.circuit, self.angle_map, version=version, weights=weights, inputs=inputs)

    def extra_repr(self) -> str:
        """The main facts, for ``print(model)``."""
        shots = "exact" if self.shots is None else f"shots={self.shots}"
        return (
            f"{self.n_inputs} inputs -> {self.n_outputs} outputs, {self.circuit.n_wires} qubits, "
            f"{self.backend.name}, {shots}, {self.plan.method}"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the plan, whose compiled circuit stays where it is."""
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Everything, and a plan made anew."""
        super().__setstate__(state)
        self._put(self._placement)
