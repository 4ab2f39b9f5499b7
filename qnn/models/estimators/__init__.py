"""Estimators for scikit-learn: pipelines, grid searches and cross-validation with quantum models."""

from qnn.models.estimators.base import QNNEstimator
from qnn.models.estimators.classifier import QNNClassifier
from qnn.models.estimators.kernel_classifier import QuantumKernelClassifier
from qnn.models.estimators.regressor import QNNRegressor

__all__ = ["QNNClassifier", "QNNEstimator", "QNNRegressor", "QuantumKernelClassifier"]
