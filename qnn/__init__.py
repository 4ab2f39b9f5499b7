"""qnn: quantum neural networks as torch modules, and an honest comparison with classical models."""

__version__ = "0.1.0"
