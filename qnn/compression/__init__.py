"""Models made smaller, cheaper, or something else: pruning, distillation, quantisation, surrogates, with proof."""

from qnn.compression.measuring import Measurement, measure
from qnn.compression.report import CompressionReport

__all__ = ["CompressionReport", "Measurement", "measure"]
