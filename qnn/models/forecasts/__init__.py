"""What a training is going to use: jobs, circuits, shots and QPU seconds."""

from qnn.models.forecasts.forecast import Forecast, LayerForecast
from qnn.models.forecasts.training import forecast

__all__ = ["Forecast", "LayerForecast", "forecast"]
