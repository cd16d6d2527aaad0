"""Decide who speaks next when a model ends its answer without a tool call.

Rules instead of a second model call: they cost nothing, are deterministic, and prefer to stop. A run that continues by
mistake costs money; one that stops by mistake needs one word from the user.
"""

import re
from typing import Literal

__all__ = ["should_continue"]

LAST_CHARACTERS = 600

_ACTIONS = (
    "analy[sz]e|apply|check|collect|compare|confirm|continue|create|delete|describe|examine|execute|fetch|find|fix|gather|"
    "get|inspect|investigate|list|look|monitor|patch|proceed|query|read|restart|retrieve|retry|review|roll|run|scale|"
    "search|see|start|take|test|trace|trigger|try|update|use|verify|view|wait"
)
_ANNOUNCES_ACTION = re.compile(
    r"\b(?:let me|let's|i'?ll|i will|i'?m going to|i am going to|i'?m now|next,? i(?:'ll| will)?|now,? i(?:'ll| will)?)"
    rf"\s+(?:(?:now|first|also|then|next|quickly|just|go ahead and|start by|begin by)\s+)*(?:{_ACTIONS})(?:ing)?\b",
    re.IGNORECASE,
)
_LEAVES_IT_TO_THE_USER = re.compile(
    r"\b(?:let me know|if you|once you|when you|after you|unless you|would you|do you|should i|shall i|may i|can i|"
    r"could you|can you|please|you can|you could|you may|as soon as|whenever|after approval|once approved)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?…:])\s+|\n+")


def should_continue(text: str, reason: Literal["stop", "length", "tool_calls", "content_filter"]) -> bool:
    """Whether the model should continue without the user.

    True if its answer was cut at the length limit, or if its last sentence announces an action of its own and leaves
    nothing to the user. False in doubt.
    """
    end = text[-LAST_CHARACTERS:].replace("\u2019", "'").strip()
    if not end or reason == "content_filter":
        return False
    if reason == "length":
        return True
    last = _last_sentence(end)
    if last.endswith("?") or _LEAVES_IT_TO_THE_USER.search(last):
        return False
    return bool(_ANNOUNCES_ACTION.search(last))


def _last_sentence(text: str) -> str:
    sentences = [sentence.strip(" *_`\t") for sentence in _SENTENCE_END.split(text)]
    return next((sentence for sentence in reversed(sentences) if sentence), "")
