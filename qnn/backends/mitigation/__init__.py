"""Error mitigation around any backend: readout mitigation and zero-noise extrapolation."""

from qnn.backends.mitigation.backend import Mitigated
from qnn.backends.mitigation.options import read

__all__ = ["Mitigated", "read"]
