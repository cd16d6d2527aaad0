"""Lengths of time."""

__all__ = ["DAY_MS"]

DAY_MS = 86_400_000
