"""Record the README's terminal session on the sandbox: `python -m tests.support.first_minute` writes the picture."""

import asyncio
import html
import re
import sys
import tempfile
from pathlib import Path

from tests.support.api_user import ApiUser
from tests.support.product import UpProcess, start_product
from tests.support.services import PROJECT
from tests.support.terminal_picture import Step, draw_picture

__all__ = ["PICTURE", "QUESTION", "draw_session", "extract_text"]

PICTURE = PROJECT / "docs" / "pictures" / "first-minute.svg"
QUESTION = "fix checkout in shop"


async def draw_session(running: UpProcess) -> str:
    """Draw the question, the proposed change, its approval and its result as a terminal shows them."""
    async with running.open_user() as me:
        return draw_picture(f'skyflo chat "{QUESTION}"', await _session(me))


async def _session(me: ApiUser) -> list[Step]:
    asked = await me.ask(QUESTION)
    done = await me.decide(asked, asked.waiting[0])
    return [("", asked.events), ("a", done.events)]


def extract_text(svg: str) -> str:
    """Return the text of an SVG picture."""
    return html.unescape(re.sub(r"<[^>]*>", "", svg)).replace("\xa0", " ")


async def _write(folder: Path) -> None:
    with start_product(folder, None, "", SANDBOX="auto", HOME=str(folder), LLM_MODEL="", LLM_HOST="") as running:
        await running.wait_until_listening()
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(await draw_session(running))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(_write(Path(made)))
    sys.stdout.write(f"{PICTURE.relative_to(PROJECT)}\n")
