"""Whole models: classical input layer, quantum hidden layers, classical output layer; and models at rest."""

from qnn.models.bundle import Bundle, load, read_bundle, register_module, save
from qnn.models.estimators import QNNClassifier, QNNRegressor, QuantumKernelClassifier
from qnn.models.kernels import QuantumKernel
from qnn.models.quantum_neural_network import QuantumNeuralNetwork

__all__ = [
    "Bundle",
    "QNNClassifier",
    "QNNRegressor",
    "QuantumKernel",
    "QuantumKernelClassifier",
    "QuantumNeuralNetwork",
    "load",
    "read_bundle",
    "register_module",
    "save",
]
