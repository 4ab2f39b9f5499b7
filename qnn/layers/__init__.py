"""Torch modules: the quantum layer, and the classical layers around it."""

from qnn.layers.classical import HiddenLayer, InputLayer, OutputLayer
from qnn.layers.export import export_onnx
from qnn.layers.quantum_layer import QuantumLayer

__all__ = ["HiddenLayer", "InputLayer", "OutputLayer", "QuantumLayer", "export_onnx"]
