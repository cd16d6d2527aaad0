"""A session of the first minute, on the sandbox, and its picture: `python -m tests.support.first_minute` writes it."""

import asyncio
import html
import re
import sys
import tempfile
from pathlib import Path

from tests.support.person import Person
from tests.support.product import Engine, engine
from tests.support.services import PROJECT
from tests.support.terminal_picture import Step, picture

__all__ = ["ASKED", "PICTURE", "drawn", "words_of"]

PICTURE = PROJECT / "docs" / "pictures" / "first-minute.svg"
ASKED = "fix checkout in shop"


async def drawn(running: Engine) -> str:
    """What a terminal shows of the question, the change that is proposed, its approval and its end."""
    async with running.person() as me:
        return picture(f'skyflo chat "{ASKED}"', await _session(me))


async def _session(me: Person) -> list[Step]:
    asked = await me.ask(ASKED)
    done = await me.decide(asked, asked.waiting[0])
    return [("", asked.events), ("a", done.events)]


def words_of(svg: str) -> str:
    """The text of a picture."""
    return html.unescape(re.sub(r"<[^>]*>", "", svg)).replace("\xa0", " ")


async def _write(folder: Path) -> None:
    with engine(folder, None, "", SANDBOX="auto", HOME=str(folder), LLM_MODEL="", LLM_HOST="") as running:
        await running.listens()
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(await drawn(running))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(_write(Path(made)))
    sys.stdout.write(f"{PICTURE.relative_to(PROJECT)}\n")
