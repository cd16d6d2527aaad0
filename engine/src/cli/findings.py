"""What a check finds: a state with a sign, what there is to say, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from src.cli.words import line

__all__ = ["SIGNS", "Finding", "State", "bad", "bare", "good", "odd", "reason"]

State = Literal["ok", "warning", "error"]
SIGNS: dict[State, str] = {"ok": "✓", "warning": "!", "error": "✗"}
Check = Callable[[], list["Finding"]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. A warning can be lived with, an error can't."""

    name: str
    state: State
    said: str


def good(name: str, said: str) -> Finding:
    return Finding(name, "ok", line(said, 500))


def odd(name: str, said: str) -> Finding:
    return Finding(name, "warning", line(said, 500))


def bad(name: str, said: str) -> Finding:
    return Finding(name, "error", line(said, 500))


def bare(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{parts.path}".rstrip("/")


def reason(error: BaseException) -> str:
    """In a few words, without the address that a library puts there."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    kind = type(error).__name__
    return {"ConnectError": "connection refused", "TimeoutError": "no answer in time"}.get(kind, kind)
