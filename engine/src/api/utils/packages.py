"""Packages that may be there or not."""

import importlib.util

__all__ = ["is_installed"]


def is_installed(package: str) -> bool:
    """Whether it can be imported; nothing is imported for that."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # loaded, but from nowhere
        return False
