"""Lengths of time that many files count with; no clock is read here."""

DAY_S = 86_400

CLOCKS_DIFFER_MAX_S = 300
"""How far the clocks of two honest machines may differ; what lies further ahead is not of this time."""
