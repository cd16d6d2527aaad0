"""Find the checkout, and the default data folder of `skyflo up`."""

import os
from pathlib import Path

__all__ = ["default_data_folder", "find_checkout"]


def find_checkout() -> Path | None:
    """Return the root of the checkout that this code is in, or None if it was installed as a package."""
    root = Path(__file__).resolve().parents[4]
    return root if (root / "engine" / "pyproject.toml").is_file() else None


def default_data_folder() -> Path:
    """Return `.data` of the checkout, or `skyflo` in the user's data folder (`XDG_DATA_HOME`)."""
    checkout = find_checkout()
    if checkout is not None:
        return checkout / ".data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "skyflo"
