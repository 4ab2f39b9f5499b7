"""Fewer bits: int8 for classical layers, grids of angles for circuits."""
