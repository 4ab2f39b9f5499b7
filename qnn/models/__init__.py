"""Whole models: classical input layer, quantum hidden layers, classical output layer."""

from qnn.models.quantum_neural_network import QuantumNeuralNetwork

__all__ = ["QuantumNeuralNetwork"]
