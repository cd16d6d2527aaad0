"""Run `skyflo restored`: on the database itself, without an engine."""

from src.cli.console import Terminal
from src.cli.errors import STOPPED, UsageError
from src.cli.prompts import Prompt

__all__ = ["restored"]

_QUESTION = (
    "Is every engine that uses this database stopped? Every open approval and every run that has not ended will be "
    "ended. [y/N] "
)


def restored(confirmed: bool) -> int:
    """Ask for a confirmation, then close everything that is open in the database of these settings."""
    if not confirmed:
        if not Terminal().interactive:
            raise UsageError("Stop every engine that uses the database, then pass --yes.")
        if not Prompt().ask(_QUESTION).lower().startswith("y"):
            return STOPPED
    from src.api.restored import main

    return main()
