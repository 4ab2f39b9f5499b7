"""The gates that OpenQASM programs find defined: stdgates.inc, qelib1.inc and the built-in ones.

Most are a gate of the table under another name. The others are given by definitions, in which
the phases of the OpenQASM 3 specification are kept (they matter under a control).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from qnn.circuits.gates import GATES

#: OpenQASM name to table name, in stdgates.inc.
STANDARD = {
    "id": "Identity", "x": "PauliX", "y": "PauliY", "z": "PauliZ", "h": "Hadamard", "s": "S", "sdg": "Adjoint(S)",
    "t": "T", "tdg": "Adjoint(T)", "sx": "SX", "rx": "RX", "ry": "RY", "rz": "RZ", "p": "PhaseShift",
    "phase": "PhaseShift", "u1": "PhaseShift", "cx": "CNOT", "CX": "CNOT", "cy": "CY", "cz": "CZ", "ch": "CH",
    "cp": "ControlledPhaseShift", "cphase": "ControlledPhaseShift", "crx": "CRX", "cry": "CRY", "crz": "CRZ",
    "swap": "SWAP", "ccx": "Toffoli", "cswap": "CSWAP",
}  # fmt: skip

_NOT_IN_QELIB1 = {"phase", "cphase", "CX"}
_ONLY_IN_QELIB1 = {
    "sxdg": "Adjoint(SX)", "rxx": "IsingXX", "rzz": "IsingZZ", "cu1": "ControlledPhaseShift",
}  # fmt: skip
QELIB1 = {name: gate for name, gate in STANDARD.items() if name not in _NOT_IN_QELIB1} | _ONLY_IN_QELIB1

_U2 = "gate u2(phi, lambda) q { gphase(-(phi+lambda+pi/2)/2); U(pi/2, phi, lambda) q; }"
_U3 = "gate u3(theta, phi, lambda) q { gphase(-(theta+phi+lambda)/2); U(theta, phi, lambda) q; }"
_CU = (
    "gate cu(theta, phi, lambda, gamma) c, t "
    "{ p(gamma) c; p((phi+lambda)/2) c; crz(lambda) c, t; cry(theta) c, t; crz(phi) c, t; }"
)

_STANDARD_DEFINITIONS = {"u2": _U2, "u3": _U3, "cu": _CU}
_QELIB1_DEFINITIONS = {
    "u2": _U2,
    "u3": _U3,
    "u": _U3.replace("u3", "u"),
    "cu": _CU,
    "u0": "gate u0(gamma) q { id q; }",
    "cu3": (
        "gate cu3(theta, phi, lambda) c, t { p((phi+lambda)/2) c; crz(lambda) c, t; cry(theta) c, t; crz(phi) c, t; }"
    ),
    "csx": "gate csx a, b { ctrl @ sx a, b; }",
    "c3x": "gate c3x a, b, c, d { ctrl(3) @ x a, b, c, d; }",
    "c4x": "gate c4x a, b, c, d, e { ctrl(4) @ x a, b, c, d, e; }",
    "c3sqrtx": "gate c3sqrtx a, b, c, d { ctrl(3) @ sx a, b, c, d; }",
    "rccx": "gate rccx a, b, c { h c; t c; cx b, c; tdg c; cx a, c; t c; cx b, c; tdg c; h c; }",
    "rc3x": (
        "gate rc3x a, b, c, d { h d; t d; cx c, d; tdg d; h d; cx a, d; t d; cx b, d; tdg d; cx a, d; t d; cx b, d; "
        "tdg d; h d; t d; cx c, d; tdg d; h d; }"
    ),
}


@dataclass(frozen=True)
class Library:
    """What one include file defines.

    Attributes:
        gates: names that are gates of the table.
        definitions: names that are defined by OpenQASM text.
    """

    gates: dict[str, str]
    definitions: dict[str, str]

    @property
    def names(self) -> set[str]:
        """Every gate name that the file defines."""
        return {*self.gates, *self.definitions}


INCLUDES = {
    "stdgates.inc": Library(STANDARD, _STANDARD_DEFINITIONS),
    "qelib1.inc": Library(QELIB1, _QELIB1_DEFINITIONS),
}
STANDARD_INCLUDE = {2: "qelib1.inc", 3: "stdgates.inc"}

#: Table name to the name that is written without a definition: those of the original qelib1.inc, which every reader
#: of version 2 has (Cross et al., arXiv:1707.03429), and all of stdgates.inc.
_PLAIN = {
    "Identity": "id", "PauliX": "x", "PauliY": "y", "PauliZ": "z", "Hadamard": "h", "S": "s", "Adjoint(S)": "sdg",
    "T": "t", "Adjoint(T)": "tdg", "RX": "rx", "RY": "ry", "RZ": "rz", "CNOT": "cx", "CY": "cy", "CZ": "cz",
    "CH": "ch", "Toffoli": "ccx", "CRZ": "crz",
}  # fmt: skip
WRITTEN = {
    2: _PLAIN | {"PhaseShift": "u1", "ControlledPhaseShift": "cu1"},
    3: _PLAIN
    | {
        "PhaseShift": "p", "ControlledPhaseShift": "cp", "SX": "sx", "CRX": "crx", "CRY": "cry", "SWAP": "swap",
        "CSWAP": "cswap",
    },
}  # fmt: skip

#: Names and bodies of the other gates, in gates that both include files have; right up to a global phase.
_BODIES = {
    "SX": ("sx", "sdg a; h a; sdg a;"),
    "Adjoint(SX)": ("sxdg", "s a; h a; s a;"),
    "CRX": ("crx", "h b; crz(theta) a, b; h b;"),
    "CRY": ("cry", "sdg b; h b; crz(theta) a, b; h b; s b;"),
    "SWAP": ("swap", "cx a, b; cx b, a; cx a, b;"),
    "CSWAP": ("cswap", "cx c, b; ccx a, b, c; cx c, b;"),
    "ISWAP": ("iswap", "s a; s b; h a; cx a, b; cx b, a; h b;"),
    "SISWAP": ("siswap", "h a; cy a, b; ry(pi/4) a; rx(-pi/4) b; cy a, b; h a;"),
    "ECR": ("ecr", "s a; sdg b; h b; sdg b; cx a, b; x a;"),
    "CCZ": ("ccz", "h c; ccx a, b, c; h c;"),
    "IsingXX": ("rxx", "h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b;"),
    "IsingYY": ("ryy", "cy a, b; ry(theta) a; cy a, b;"),
    "IsingZZ": ("rzz", "cx a, b; rz(theta) b; cx a, b;"),
    "IsingXY": ("rxy", "h a; cy a, b; ry(theta/2) a; rx(-theta/2) b; cy a, b; h a;"),
    "SingleExcitation": ("single_excitation", "h a; cx a, b; ry(-theta/2) a; ry(-theta/2) b; cx a, b; h a;"),
    "DoubleExcitation": (
        "double_excitation",
        "cx c, d; cx a, c; h d; h a; cx c, d; cx a, b; ry(theta/8) b; ry(-theta/8) a; cx a, d; h d; cx d, b; "
        "ry(theta/8) b; ry(-theta/8) a; cx c, b; cx c, a; ry(-theta/8) b; ry(theta/8) a; cx d, b; h d; cx a, d; "
        "ry(-theta/8) b; ry(theta/8) a; cx a, b; cx c, a; h a; h d; cx a, c; cx c, d;",
    ),
}

_MULTI = "multirz_"
_PLACED = {name: gate for gate, (name, _) in _BODIES.items()}


def qasm_name(gate: str, n_wires: int, version: int) -> str:
    """The name under which a gate of the table is written."""
    if gate == "MultiRZ":
        return f"{_MULTI}{n_wires}"
    return WRITTEN[version].get(gate) or _BODIES[gate][0]


def definition_text(gate: str, n_wires: int) -> str:
    """The `gate` definition that is written for a gate of the table where no include file is sure to have it."""
    if gate == "MultiRZ":
        qubits = [f"q{i}" for i in range(n_wires)]
        steps = [f"cx {a}, {b};" for a, b in pairwise(qubits)]
        body = " ".join([*steps, f"rz(theta) {qubits[-1]};", *reversed(steps)])
        return f"gate {_MULTI}{n_wires}(theta) {', '.join(qubits)} {{ {body} }}"
    name, body = _BODIES[gate]
    parameters = "(theta)" if GATES[gate].is_parametric else ""
    return f"gate {name}{parameters} {', '.join('abcd'[:n_wires])} {{ {body} }}"


def defined_gate(name: str, n_wires: int) -> str | None:
    """The gate of the table whose `definition_text` has this name, or None."""
    if name == f"{_MULTI}{n_wires}":
        return "MultiRZ"
    gate = _PLACED.get(name)
    return gate if gate is not None and GATES[gate].n_wires == n_wires else None
