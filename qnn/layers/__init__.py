"""Torch modules: the quantum layer, and the classical layers around it."""

from qnn.layers.classical import HiddenLayer, InputLayer, OutputLayer
from qnn.layers.export import export_onnx
from qnn.layers.fourier_surrogate import FourierSurrogate
from qnn.layers.int8 import Int8Conv2d, Int8HiddenLayer, Int8InputLayer, Int8Linear
from qnn.layers.quantum_layer import QuantumLayer

__all__ = [
    "FourierSurrogate",
    "HiddenLayer",
    "InputLayer",
    "Int8Conv2d",
    "Int8HiddenLayer",
    "Int8InputLayer",
    "Int8Linear",
    "OutputLayer",
    "QuantumLayer",
    "export_onnx",
]
