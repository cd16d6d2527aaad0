"""Who did something, as the audit trail names it."""

from dataclasses import dataclass
from typing import Final

__all__ = ["ENGINE", "Actor"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever stands behind a change.

    `id` is `user:<id>`, `local`, `token:<name>`, `policy:<rule>` or `engine`; `name` is what people call that person at
    the time, and for a token whose it is.
    """

    id: str
    name: str = ""


ENGINE: Final = Actor("engine")
