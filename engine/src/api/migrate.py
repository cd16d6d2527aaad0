"""The command `aerich`: Tortoise ORM's built-in migrations under the names that Aerich's users know.

    aerich upgrade [--wait SECONDS]    applies what the database lacks; waits for one that does not answer yet
    aerich migrate [--name NAME]       writes a migration for what the models changed; read it before you apply it
    aerich downgrade [TO] --yes        undoes the last migration, or all after TO ("zero": all); rows are lost by it
    aerich history                     what was applied
    aerich heads                       the newest migration there is

The database is the one that POSTGRES_DATABASE_URL or DATA_DIR names, in the environment or `.env`. Aerich itself writes
the SQL of the one dialect that it was run on; these migrations are the same for both (`docs/adr/0010-migrations.md`).
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from tortoise.cli.cli import run_cli_async

from src.api.adapters.store import migrations
from src.api.config.database import database_url
from src.api.errors import StoreUnavailable

__all__ = ["main"]

RETRY_SECONDS = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], Awaitable[int]] = options.run
    try:
        return asyncio.run(_run(run, options))
    except (StoreUnavailable, ValidationError, ValueError) as error:
        print(f"aerich: {error}", file=sys.stderr)
        return 1


async def _run(command: Callable[[argparse.Namespace], Awaitable[int]], options: argparse.Namespace) -> int:
    return await command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "aerich", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run in {"history": _history, "heads": _heads}.items():
        commands.add_parser(name).set_defaults(run=run)
    upgrade = commands.add_parser("upgrade")
    upgrade.add_argument("--wait", type=float, default=0.0, metavar="SECONDS")
    upgrade.set_defaults(run=_upgrade)
    migrate = commands.add_parser("migrate")
    migrate.add_argument("--name")
    migrate.set_defaults(run=_migrate)
    downgrade = commands.add_parser("downgrade")
    downgrade.add_argument("to", nargs="?", metavar="TO")
    downgrade.add_argument("--yes", action="store_true")
    downgrade.set_defaults(run=_downgrade)
    return parser


async def _upgrade(options: argparse.Namespace) -> int:
    names = await _migrate_within(options.wait)
    return _say([f"applied {name}" for name in names] or ["nothing to apply: the database is up to date"])


async def _migrate_within(seconds: float) -> list[str]:
    """Apply all missing migrations, and try again for so long while the database is unavailable."""
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            return await migrations.migrate(database_url())
        except StoreUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                print(f"aerich: {error} Trying for {seconds:g} s.", file=sys.stderr, flush=True)
            told = True
            await asyncio.sleep(RETRY_SECONDS)


async def _downgrade(options: argparse.Namespace) -> int:
    if not options.yes:
        print("aerich: a downgrade drops tables and columns with what is in them; pass --yes", file=sys.stderr)
        return 2
    names = await migrations.downgrade(database_url(), options.to)
    return _say([f"undone {name}" for name in names] or ["nothing to undo"])


async def _history(_: argparse.Namespace) -> int:
    return _say(await migrations.list_applied(database_url()) or ["no migration was applied"])


async def _heads(_: argparse.Namespace) -> int:
    return await _tortoise("heads")


async def _migrate(options: argparse.Namespace) -> int:
    return await _tortoise("makemigrations", *(["--name", options.name] if options.name else []))


async def _tortoise(*arguments: str) -> int:
    """Run a Tortoise command that only reads or writes files."""
    return await run_cli_async(["-c", "src.api.config.database.TORTOISE_ORM", *arguments]) or 0


def _say(lines: list[str]) -> int:
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
