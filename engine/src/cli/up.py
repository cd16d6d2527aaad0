"""`skyflo up`: the engine in this very process."""

import os

__all__ = ["up"]


def up(host: str | None, port: int | None, sandbox: str | None, fresh_sandbox: bool) -> int:
    """Serves until it is stopped. What is not said here is as the environment and `.env` say."""
    said = {
        "HOST": host,
        "PORT": None if port is None else str(port),
        "SANDBOX": sandbox,
        "SANDBOX_FRESH": "true" if fresh_sandbox else None,
    }
    os.environ.update({name: value for name, value in said.items() if value is not None})
    from src.api.up import main

    return main()
