"""Circuits as plain data: gates, observables, encodings, ansätze, capture, OpenQASM, drawing."""
