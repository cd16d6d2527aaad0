"""Options that several commands share, with their help texts."""

from typing import Annotated

import typer

__all__ = ["EXIT_CODES", "AsJson", "Insecure", "Limit", "Server"]

EXIT_CODES = """
Exit codes: 0 success; 1 the run failed; 2 invalid command line; 3 the run waits for an approval; 4 the engine is
unreachable or refused the request; 5 finished, but a change was denied, expired, or its outcome is unknown;
130 stopped.
"""

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The engine's URL. Default: SKYFLO_SERVER, the engine of the last login, or http://127.0.0.1:8080 (PORT).",
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow sending a password or token over plain HTTP to another machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Maximum number of entries.")]
