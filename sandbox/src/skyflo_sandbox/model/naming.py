"""A title, where a conversation is to be named: what is wanted and what it is about, in a few words."""

import re
from collections.abc import Mapping, Sequence

from skyflo_sandbox.model.answers import clean
from skyflo_sandbox.model.wire import Message
from skyflo_sandbox.model.words import Intent, Request, understood

__all__ = ["title_for"]

_ASKED = "Name the conversation"
_MESSAGE = re.compile(r"<message>\n(?P<said>.*)\n</message>", re.DOTALL)
_WORDS = 6
_BEGINNINGS: Mapping[Intent, str] = {
    "delete": "Delete",
    "describe": "Look at",
    "events": "Events of",
    "fix": "Fix",
    "list": "List",
    "logs": "Logs of",
    "restart": "Restart",
    "roll_back": "Roll back",
    "rollout": "Rollout of",
    "running": "State of",
    "scale": "Scale",
    "why": "Trouble with",
}


def title_for(messages: Sequence[Message]) -> str | None:
    """The title that these messages ask for, or None where they ask for something else."""
    is_asked = len(messages) == 2 and messages[0].role == "system" and messages[0].text.startswith(_ASKED)
    found = _MESSAGE.search(messages[1].text) if is_asked else None
    if found is None:
        return None
    request = understood(found["said"])
    about = _about(request)
    beginning = _BEGINNINGS.get(request.intent)
    return f"{beginning} {about}" if beginning and about else _shortened(found["said"])


def _about(request: Request) -> str:
    subject = request.subject
    what = clean(subject.names[0], 40) if subject.names else subject.kind
    if not subject.namespace:
        return what
    where = clean(subject.namespace, 30)
    return f"{what} in {where}" if what else where


def _shortened(said: str) -> str:
    words = clean(said.strip().splitlines()[0] if said.strip() else "A conversation", 60).split()
    shown = " ".join(words[:_WORDS]).rstrip(" .,:;?!")
    return (shown[:1].upper() + shown[1:]) or "A conversation"
