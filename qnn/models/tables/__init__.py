"""Models of tables: trained from a file, kept in a bundle, used on new rows, watched for drift."""

from qnn.models.tables.drift import Drift, DriftReport, measure_drift
from qnn.models.tables.forecast import forecast_table
from qnn.models.tables.predict import Predictions, check_output, predict_table
from qnn.models.tables.scores import Score, Scores
from qnn.models.tables.table_model import TableModel
from qnn.models.tables.train import is_main, train_table

__all__ = [
    "Drift",
    "DriftReport",
    "Predictions",
    "Score",
    "Scores",
    "TableModel",
    "check_output",
    "forecast_table",
    "is_main",
    "measure_drift",
    "predict_table",
    "train_table",
]
