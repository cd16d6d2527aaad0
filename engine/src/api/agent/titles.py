"""Generate a conversation title with one small model call, and validate the answer."""

import re
import unicodedata
from contextlib import aclosing
from dataclasses import dataclass

from skyflo_common.redaction import Redactor
from src.api.agent import prompts
from src.api.errors import ModelCut
from src.api.ports import ChatMessage, Finished, Model, ModelRequest, TextDelta, TextWasThinking, Usage
from src.api.utils.text import clean

__all__ = ["MAX_TITLE", "GeneratedTitle", "clean_title", "generate_title"]

MAX_TITLE = 80
"""In characters. A longer answer is not a title but a reply to the message."""

ANSWER_TOKENS = 1_000
"""More than a title needs: reasoning models use tokens before the answer."""

MAX_MESSAGE = 20_000
"""Characters of a message that are scanned for secrets. The model gets the first of them."""

MAX_ANSWER = 8_000

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"`+|\*{2,}")
_LABEL = re.compile(r"\A(?:title|titel|titre|título|titolo)\s*[:\uff1a]\s*", re.IGNORECASE)
_REFUSED = re.compile(
    r"(?:i'?m|i am) (?:sorry|unable|not able)\b|i (?:can't|cannot|won't)\b|sorry\b|as an ai\b", re.IGNORECASE
)
_QUOTES = frozenset(
    (
        *('""', "''", "\u201c\u201d", "\u201e\u201c", "\u201e\u201d", "\u2018\u2019", "\u201a\u2018"),
        *("\u00ab\u00bb", "\u00bb\u00ab", "\u2039\u203a", "\u300c\u300d", "\u300e\u300f"),
    )
)
_TRAILING = ".\u3002 "
_JOINERS = "\u200c\u200d"
"""Invisible, but required by some scripts and emoji."""


@dataclass(frozen=True, slots=True)
class GeneratedTitle:
    """The generated title, None if the answer is unusable, and the call's usage."""

    title: str | None
    usage: Usage


async def generate_title(model: Model, model_name: str, text: str, redactor: Redactor) -> GeneratedTitle:
    """Generate a title for the conversation that begins with this text. Secrets are masked in both directions.

    Raises `ModelError`.
    """
    message = prompts.frame_title_message(redactor.redact_text(text[:MAX_MESSAGE]))
    messages = (ChatMessage("system", prompts.title_request()), ChatMessage("user", message))
    answer, end = "", None
    async with aclosing(model.stream(ModelRequest(model_name, messages, max_tokens=ANSWER_TOKENS))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, TextDelta) and len(answer) < MAX_ANSWER:
                answer += chunk.text
            elif isinstance(chunk, TextWasThinking):
                answer = ""
            elif isinstance(chunk, Finished):
                end = chunk
    if end is None:
        raise ModelCut("The model's answer was cut before its end.")
    is_whole = end.reason == "stop" and len(answer) < MAX_ANSWER
    # Mask last, since removed characters may have split a secret.
    title = redactor.redact_text(clean_title(answer) or "") if is_whole else ""
    return GeneratedTitle(title if 0 < len(title) <= MAX_TITLE else None, end.usage)


def clean_title(answer: str) -> str | None:
    """Return the first line with text, without the decoration that models add; None if it is no title."""
    lines = _THINKING.sub("", clean(answer)).splitlines()
    title = next((shown for line in lines if any(map(str.isalnum, shown := _strip_markup(line)))), "")
    return title if 0 < len(title) <= MAX_TITLE and not _REFUSED.match(title.replace("\u2019", "'")) else None


def _strip_markup(line: str) -> str:
    """Remove control characters, bidirectional marks, Markdown, quotation marks and a final full stop."""
    seen = "".join(each for each in line.replace("\t", " ") if each in _JOINERS or unicodedata.category(each)[0] != "C")
    title = " ".join(_MARKUP.sub("", seen).lstrip("#> ").split())
    return _unquoted(_LABEL.sub("", _unquoted(title)))


def _unquoted(title: str) -> str:
    title = title.rstrip(_TRAILING)
    while title[:1] + title[-1:] in _QUOTES and title[0] not in title[1:-1]:
        title = title[1:-1].strip().rstrip(_TRAILING)
    return title
