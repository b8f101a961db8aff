"""Served traffic against the reference in the served model, and the small steps of a retraining."""

__version__ = "0.1.0"
