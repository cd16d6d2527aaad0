"""Check for optional packages."""

import importlib.util

__all__ = ["is_installed"]


def is_installed(package: str) -> bool:
    """Whether the package can be imported. It is not imported for that."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # loaded, but without a spec
        return False
