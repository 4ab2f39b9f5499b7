"""Models made smaller, cheaper, or something else: pruning, distillation, quantisation, surrogates, with proof."""

from qnn.compression.bundles import compress_bundle
from qnn.compression.circuits.gradient_pruning import GradientPruning
from qnn.compression.circuits.pruning import prune_circuits
from qnn.compression.distillation.distilling import distill
from qnn.compression.measurement.deployment import Latency, compare_latency, latency_table
from qnn.compression.measurement.measuring import Measurement, Measuring, measure
from qnn.compression.measurement.report import CompressionReport, table
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.pruning import prune
from qnn.compression.quantisation.quantising import quantize
from qnn.compression.surrogates.series import surrogate

__all__ = [
    "CompressionReport",
    "GradientPruning",
    "Latency",
    "Measurement",
    "Measuring",
    "compare_latency",
    "compress_bundle",
    "distill",
    "latency_table",
    "measure",
    "prune",
    "prune_circuits",
    "prune_classical",
    "quantize",
    "surrogate",
    "table",
]
