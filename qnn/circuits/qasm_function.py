"""An OpenQASM program as a quantum function of inputs and weights, ready to be captured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

from qnn.circuits.qasm import read_qasm
from qnn.errors import ArgumentError, unknown_name


def qasm_function(
    path_or_text: str | Path, inputs: Sequence[str]
) -> tuple[Callable[..., None], int, dict[str, tuple[int, ...]], int]:
    """The function, its number of inputs, the shapes of its weights, and its number of wires.

    Args:
        path_or_text: a file, or the program itself.
        inputs: names of the free parameters that are inputs; all others are entries of one weight vector.

    Raises:
        QasmError: the program cannot be read.
        UnknownNameError: a name that the program does not declare.
    """
    if isinstance(inputs, str):
        raise ArgumentError(f'`inputs` must be a list of names; got the string "{inputs}". Use ["{inputs}"].')
    program = read_qasm(path_or_text)
    for name in inputs:
        if name not in program.shapes:
            raise unknown_name("free parameter", name, program.shapes)
    if len(set(inputs)) != len(inputs):
        raise ArgumentError(f"`inputs` must name each parameter once; got {list(inputs)}. Remove the repetition.")
    trained = [name for name in program.parameters if name not in inputs]
    sizes = {name: prod(shape) for name, shape in program.shapes.items()}
    n_inputs, n_weights = sum(sizes[n] for n in inputs), sum(sizes[n] for n in trained)

    def function(features: Any, weights: Any) -> None:
        values: dict[str, Any] = {}
        for vector, names in ((features, inputs), (weights, trained)):
            start = 0
            for name in names:
                stop = start + sizes[name]
                shape = program.shapes[name]
                values[name] = vector[start:stop].reshape(shape) if shape else vector[start]
                start = stop
        program.function(values)

    by_name: Callable[..., None] = lambda inputs=None, weights=None: function(inputs, weights)
    return by_name, n_inputs, {"weights": (n_weights,)} if n_weights else {}, program.n_qubits
