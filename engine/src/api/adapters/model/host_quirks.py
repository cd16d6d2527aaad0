"""Learn from a host's refusals which parts of a request it does not accept, and which it requires."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from src.api.adapters.model.chat_completions import FILLED_FIELD
from src.api.ports import ChatMessage

__all__ = ["HostQuirks"]

MAX_TEXT = 20_000

_MENTIONS_USAGE = re.compile(r"stream_options|include_usage", re.IGNORECASE)
_IS_MISSING = re.compile(r"missing|required|must|passed back|provide[ds]?\b|expected|need", re.IGNORECASE)
_IS_UNKNOWN = re.compile(
    r"\bextra\b|unknown|unrecogni[sz]ed|unsupported|unexpected|not (?:supported|permitted|allowed)|additional propert|"
    r"forbidden",
    re.IGNORECASE,
)


@dataclass(slots=True)
class HostQuirks:
    """What a host has refused so far. `state` is that of `RequestFormat`."""

    refuses_usage: bool = False
    state: Literal["return", "omit", "fill"] = "return"

    def learn(self, refusal: str, messages: Sequence[ChatMessage], origin: str) -> bool:
        """Learn from the text of a refusal. Returns whether to send the request again in another form."""
        text = refusal[:MAX_TEXT]
        if not self.refuses_usage and _MENTIONS_USAGE.search(text):
            self.refuses_usage = True
            return True
        if FILLED_FIELD in text and _IS_MISSING.search(text) and not _IS_UNKNOWN.search(text):
            is_new = self.state == "omit" or (self.state == "return" and _lacks_thinking(messages, origin))
            self.state = "fill" if is_new else self.state
            return is_new
        states = [message.state.message for message in messages if message.state and message.state.origin == origin]
        sent = {name for state in states for name in state}
        is_named = any(name in text for name in sent if name != "content")
        is_refused = is_named or ("messages" in text and bool(_IS_UNKNOWN.search(text)))
        if self.state != "omit" and states and is_refused:
            self.state = "omit"
            return True
        return False


def _lacks_thinking(messages: Sequence[ChatMessage], origin: str) -> bool:
    """Whether a turn with calls was sent without its thinking."""
    return any(
        message.calls
        and not (message.state and message.state.origin == origin and message.state.message.get(FILLED_FIELD))
        for message in messages
    )
