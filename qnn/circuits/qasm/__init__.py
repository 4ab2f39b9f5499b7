"""OpenQASM 2 and 3: reading programs as PennyLane quantum functions, and writing circuits."""

from qnn.circuits.qasm.program import QasmProgram, read_angle, read_qasm
from qnn.circuits.qasm.write import circuit_to_qasm

__all__ = ["QasmProgram", "circuit_to_qasm", "read_angle", "read_qasm"]
