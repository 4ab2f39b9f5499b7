"""Qiskit circuits made of a `Circuit`, and what is asked of them; this file itself does not load Qiskit."""
