"""The options that many commands share, with their words in `--help`."""

from typing import Annotated

import typer

__all__ = ["EXIT_CODES", "AsJson", "Insecure", "Limit", "Server"]

EXIT_CODES = """
Exit codes: 0 done; 1 the run failed; 2 the command makes no sense; 3 it waits for an approval; 4 the engine can't be
reached or refuses; 5 done, but a change was denied, expired, or its outcome is unknown; 130 stopped.
"""

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The engine. Else SKYFLO_SERVER, else where you signed in last, else http://127.0.0.1:8080 (or PORT).",
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Send a password or token over plain http to another machine all the same.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show at most.")]
