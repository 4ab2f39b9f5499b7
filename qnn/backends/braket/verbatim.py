"""Circuits for a machine of Amazon Braket, transpiled here: native gates on its own qubits, executed as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.folding import Site
from qnn.backends._qiskit.native import NativeGates
from qnn.backends._qiskit.placing import in_setting, place
from qnn.backends.base import Executable
from qnn.backends.braket.gates import BraketGates
from qnn.circuits.circuit import Circuit, n_layers
from qnn.circuits.settings import Setting

#: An executable from a circuit, the native gates of each of its settings, facts about them, and where they are.
Make = Callable[[Circuit, Sequence[BraketGates], dict[str, Any], Site], Executable]


def placed(
    circuit: Circuit,
    settings: Sequence[Setting],
    native: NativeGates,
    make: Make,
    *,
    optimization_level: int,
    seed_transpiler: int,
) -> Executable:
    """`circuit` on qubits of a machine.

    Args:
        circuit: what to run.
        settings: its measurement settings.
        native: the machine's gates and qubits.
        make: makes the executable.
        optimization_level: of Qiskit's transpiler.
        seed_transpiler: of its heuristics.

    Raises:
        BackendError: the transpiler cannot express the circuit in these gates.
    """
    placement = place(
        circuit,
        sorted({wire for setting in settings for wire in setting.wires}),
        target=native.target,
        basis_gates=native.basis_gates,
        optimization_level=optimization_level,
        seed=seed_transpiler,
        compact=False,
    )
    layout = {wire: native.labels[qubit] for wire, qubit in placement.qubits.items()}

    def executable(circuit: Circuit, bound: Sequence[BoundCircuit]) -> Executable:
        gates = [native.written(each) for each in bound]
        facts = {
            "depth": max(_depth(each) for each in gates),
            "two_qubit_gates": max(sum(len(step.qubits) > 1 for step in each.steps) for each in gates),
            "gates": max(len(each.steps) for each in gates),
            "native_gates": ", ".join(sorted({step.name for each in gates for step in each.steps})),
            "layout": layout,
        }
        return make(circuit, gates, facts, Site(placement, native.basis_gates, executable, tuple(bound)))

    return executable(circuit, [in_setting(placement, s, native.basis_gates, optimization_level) for s in settings])


def _depth(gates: BraketGates) -> int:
    number = {label: i for i, label in enumerate(sorted({q for step in gates.steps for q in step.qubits}))}
    return n_layers((tuple(number[q] for q in step.qubits) for step in gates.steps), len(number))
