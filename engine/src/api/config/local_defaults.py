"""The settings that `skyflo up` and the other commands on this machine use where nothing is set."""

import os

from src.api.config.locations import default_data_folder
from src.api.config.settings import env_files, merge_environment

__all__ = ["set_local_defaults"]


def set_local_defaults() -> dict[str, str]:
    """Set local mode and its data folder where they are unset, and return the whole environment."""
    values = merge_environment(env_files(os.environ))
    for name, value in (("LOCAL_MODE", "true"), ("DATA_DIR", str(default_data_folder()))):
        if name not in values:
            os.environ[name] = values[name] = value
    return values
