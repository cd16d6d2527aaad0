"""Answer the engine's request to name a conversation: the intent and its object in a few words."""

import re
from collections.abc import Mapping, Sequence

from skyflo_sandbox.model.chat_completions import Message
from skyflo_sandbox.model.intents import parse_request
from skyflo_sandbox.model.markdown import clean
from skyflo_sandbox.model.user_request import Intent, UserRequest

__all__ = ["title_for"]

_TITLE_PROMPT = "Name the conversation"
_MESSAGE = re.compile(r"<message>\n(?P<message>.*)\n</message>", re.DOTALL)
_WORDS = 6
_BEGINNINGS: Mapping[Intent, str] = {
    "delete": "Delete",
    "describe": "Look at",
    "events": "Events of",
    "fix": "Fix",
    "images": "Images in",
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
    """Return a title if the messages ask for one, else None."""
    is_asked = len(messages) == 2 and messages[0].role == "system" and messages[0].text.startswith(_TITLE_PROMPT)
    found = _MESSAGE.search(messages[1].text) if is_asked else None
    if found is None:
        return None
    request = parse_request(found["message"])
    about = _subject_of(request)
    beginning = _BEGINNINGS.get(request.intent)
    return f"{beginning} {about}" if beginning and about else _shortened(found["message"])


def _subject_of(request: UserRequest) -> str:
    target = request.target
    what = clean(target.names[0], 40) if target.names else target.kind
    if not target.namespace:
        return what
    where = clean(target.namespace, 30)
    return f"{what} in {where}" if what else where


def _shortened(message: str) -> str:
    words = clean(message.strip().splitlines()[0] if message.strip() else "A conversation", 60).split()
    shown = " ".join(words[:_WORDS]).rstrip(" .,:;?!")
    return (shown[:1].upper() + shown[1:]) or "A conversation"
