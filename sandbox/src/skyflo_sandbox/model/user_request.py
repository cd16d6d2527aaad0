"""A parsed user message: an intent, the objects it names and its values."""

from dataclasses import dataclass, field
from typing import Literal

from skyflo_sandbox.model.targets import Target

__all__ = ["Intent", "UserRequest"]

Intent = Literal[
    "again", "also", "apply", "can_i", "clusters", "delete", "describe", "events", "fix", "greeting",
    "help", "image", "images", "list", "logs", "no", "other", "refused", "restart", "roll_back", "rollout",
    "running", "scale", "set", "thanks", "why", "yes",
]  # fmt: skip


@dataclass(frozen=True)
class UserRequest:
    """What the user asks for. A field that the intent does not use is empty.

    `number` is a wanted number of replicas, `by` a difference, `direction` "up" or "down" where the user said so.
    `whole` means that the question covers everything, whatever the conversation was about. `unused` holds the words
    that no rule accounts for: a change with such words has the intent `refused`. `verb` is the verb of a refused
    change, or of a question about permissions.
    """

    intent: Intent
    target: Target = field(default_factory=Target)
    number: int | None = None
    by: int | None = None
    direction: str = ""
    key: str = ""
    value: str = ""
    image: str = ""
    container: str = ""
    selector: str = ""
    grep: str = ""
    tail: int = 0
    previous: bool = False
    manifest: str = ""
    verb: str = ""
    unused: str = ""
    unhealthy: bool = False
    slow: bool = False
    whole: bool = False
    yaml: bool = False
