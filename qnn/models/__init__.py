"""Whole models: classical input layer, quantum hidden layers, classical output layer; models at rest, and models of
tables.
"""

from qnn.models.bundle import Bundle, load, read_bundle, register_module, save
from qnn.models.estimators import QNNClassifier, QNNRegressor, QuantumKernelClassifier
from qnn.models.forecasts import Forecast, LayerForecast, forecast
from qnn.models.kernels import QuantumKernel
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.models.tables import TableModel, predict_table, train_table

__all__ = [
    "Bundle",
    "Forecast",
    "LayerForecast",
    "QNNClassifier",
    "QNNRegressor",
    "QuantumKernel",
    "QuantumKernelClassifier",
    "QuantumNeuralNetwork",
    "TableModel",
    "forecast",
    "load",
    "predict_table",
    "read_bundle",
    "register_module",
    "save",
    "train_table",
]
