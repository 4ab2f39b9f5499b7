"""A machine of IQM's kind for the stand-in of AWS: what it says of itself, and Braket's own emulator of it.

The emulator refuses what such a machine would refuse, gates that are not native or between qubits that do not
interact, and adds the noise that the machine tells of: depolarizing gates, and detectors that report wrong bits.
"""

from functools import cache

from braket.circuits import Circuit
from braket.circuits.serialization import IRType
from braket.default_simulator import DensityMatrixSimulator
from braket.device_schema.iqm import IqmDeviceCapabilities
from braket.emulation.local_emulator import LocalEmulator
from braket.emulation.passes.circuit_passes import RemoveVerbatimTransformation

MACHINE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Emulated"
_STANDARDIZED = "braket.device_schema.standardized_gate_model_qpu_device_properties"
_PARADIGM = {"name": "braket.device_schema.gate_model_qpu_paradigm_properties", "version": "1"}


def _fidelity(name, value):
    return {"fidelityType": {"name": name}, "fidelity": value}


def machine_properties(common):
    """Those of a simulator with a line of the qubits 1 to 4, native prx and cz, and errors of 1, 3 and 6 per cent."""
    lasting = {"value": 5e-5, "unit": "S"}
    one = {
        "T1": lasting,
        "T2": lasting,
        "oneQubitFidelity": [_fidelity("RANDOMIZED_BENCHMARKING", 0.997), _fidelity("READOUT", 0.94)],
    }
    two = {"twoQubitGateFidelity": [_fidelity("RANDOMIZED_BENCHMARKING", 0.98) | {"gateName": "CZ"}]}
    edges = [(1, 2), (2, 3), (3, 4)]
    graph = {str(a): [str(b) for pair in edges for b in pair if a in pair and b != a] for a in range(1, 5)}
    return common | {
        "braketSchemaHeader": {"name": "braket.device_schema.iqm.iqm_device_capabilities", "version": "1"},
        "paradigm": {
            "braketSchemaHeader": _PARADIGM,
            "qubitCount": 4,
            "nativeGateSet": ["cz", "prx"],
            "connectivity": {"fullyConnected": False, "connectivityGraph": graph},
        },
        "standardized": {
            "braketSchemaHeader": {"name": _STANDARDIZED, "version": "1"},
            "oneQubitProperties": {str(qubit): one for qubit in range(1, 5)},
            "twoQubitProperties": {f"{a}-{b}": two for a, b in edges},
        },
    }


@cache
def _emulator(properties):
    return LocalEmulator.from_device_properties(IqmDeviceCapabilities.parse_raw(properties))


def emulated(properties, program, shots):
    """The task's result; ValueError where the machine would refuse the circuit."""
    inputs = {name: float(value) for name, value in (program.inputs or {}).items()}
    circuit = Circuit.from_ir(program.source, inputs)
    noisy = RemoveVerbatimTransformation().run(_emulator(properties).transform(circuit))
    return DensityMatrixSimulator().run_openqasm(noisy.to_ir(IRType.OPENQASM), shots=shots)
