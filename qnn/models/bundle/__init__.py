"""The bundle: a trained model as plain data, in one folder or zip."""

from qnn.models.bundle.kinds import register_module
from qnn.models.bundle.read import Bundle, load, read_bundle
from qnn.models.bundle.write import save

__all__ = ["Bundle", "load", "read_bundle", "register_module", "save"]
