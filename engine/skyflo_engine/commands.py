"""The console scripts. They have the same name in a checkout, where the code is in `src`, and in a wheel."""

__all__ = ["aerich", "skyflo"]


def skyflo() -> int:
    """Run the command `skyflo` and return its exit code."""
    from src.cli.main import main

    return main()


def aerich() -> int:
    """Run the command `aerich`, which migrates the database, and return its exit code."""
    from src.api.migrate import main

    return main()
