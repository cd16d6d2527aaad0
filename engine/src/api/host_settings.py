"""Load the engine's settings for a command that works on the database itself, on the engine's host."""

import os

from src.api.config.local_defaults import set_local_defaults
from src.api.config.settings import Settings, env_files, merge_environment
from src.api.errors import StoreUnavailable

__all__ = ["load_host_settings"]


def load_host_settings() -> Settings:
    """Load the settings that the engine of this machine uses.

    Raises `SettingsError`, and `StoreUnavailable` if it has no database here.
    """
    if "JWT_SECRET" not in merge_environment(env_files(os.environ)):
        set_local_defaults()
    settings = Settings.load()
    file = settings.data_dir / "skyflo.sqlite3"
    if settings.embedded and not file.is_file():
        raise StoreUnavailable(f"There is no database at {file}. Run this where the engine runs, with its DATA_DIR.")
    return settings
