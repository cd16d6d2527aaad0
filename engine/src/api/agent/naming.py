"""A conversation's title: one small call of a model, and what of its answer can be a title."""

import re
import unicodedata
from contextlib import aclosing
from dataclasses import dataclass

from src.api.agent import prompts
from src.api.errors import ModelCut
from src.api.ports import ChatMessage, Finished, Model, ModelRequest, TextDelta, Usage
from src.api.utils.redaction import Redactor
from src.api.utils.text import clean

__all__ = ["MAX_TITLE", "Named", "as_title", "name_it"]

MAX_TITLE = 80
"""Characters. What is longer is no title but an answer to the message."""

ANSWER_TOKENS = 1_000
"""More than any title has: a model that reasons needs room for it."""

LOOKED_AT = 20_000
"""Characters of a message that are looked through for secrets, of which the model gets the first."""

MAX_ANSWER = 8_000

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
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
_STOPS = ".\u3002 "
_JOINERS = "\u200c\u200d"
"""Invisible too, but whole scripts and emoji need them."""


@dataclass(frozen=True, slots=True)
class Named:
    """What came of a call: no title where the answer can't be one."""

    title: str | None
    usage: Usage


async def name_it(model: Model, model_name: str, text: str, redactor: Redactor) -> Named:
    """Asks for a title of the conversation that begins with this text. Neither way a secret passes.

    Raises `ModelError`.
    """
    said = prompts.to_be_named(redactor.redact_text(text[:LOOKED_AT]))
    messages = (ChatMessage("system", prompts.title_request()), ChatMessage("user", said))
    answer, end = "", None
    async with aclosing(model.stream(ModelRequest(model_name, messages, max_tokens=ANSWER_TOKENS))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, TextDelta) and len(answer) < MAX_ANSWER:
                answer += chunk.text
            elif isinstance(chunk, Finished):
                end = chunk
    if end is None:
        raise ModelCut("The model's answer was cut before its end.")
    is_whole = end.reason == "stop" and len(answer) < MAX_ANSWER
    # Masked last: what was taken out may have stood in the midst of a secret.
    title = redactor.redact_text(as_title(answer) or "") if is_whole else ""
    return Named(title if 0 < len(title) <= MAX_TITLE else None, end.usage)


def as_title(answer: str) -> str | None:
    """The first line that says something, without what models put around a title; None where it is none."""
    lines = _THOUGHT.sub("", clean(answer)).splitlines()
    title = next((shown for line in lines if any(map(str.isalnum, shown := _bare(line)))), "")
    return title if 0 < len(title) <= MAX_TITLE and not _REFUSED.match(title.replace("\u2019", "'")) else None


def _bare(line: str) -> str:
    """Without control characters, those that turn the reading direction, Markdown, quotation marks, a full stop."""
    seen = "".join(each for each in line.replace("\t", " ") if each in _JOINERS or unicodedata.category(each)[0] != "C")
    title = " ".join(_MARKUP.sub("", seen).lstrip("#> ").split())
    return _unquoted(_LABEL.sub("", _unquoted(title)))


def _unquoted(title: str) -> str:
    title = title.rstrip(_STOPS)
    while title[:1] + title[-1:] in _QUOTES and title[0] not in title[1:-1]:
        title = title[1:-1].strip().rstrip(_STOPS)
    return title
