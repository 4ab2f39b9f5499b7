"""Torch modules: the quantum layer, and the classical layers around it."""

from qnn.layers.classical import HiddenLayer, InputLayer, OutputLayer
from qnn.layers.export import export_onnx
from qnn.layers.fourier_surrogate import FourierSurrogate
from qnn.layers.quantum_layer import QuantumLayer

__all__ = ["FourierSurrogate", "HiddenLayer", "InputLayer", "OutputLayer", "QuantumLayer", "export_onnx"]
