"""Foreign text made fit for a terminal, and numbers made fit for people.

What a model or a tool says is data. Nothing in it may move the cursor, write a title, open a link or turn the reading
direction: `clean` takes such characters out, `visible` shows that they are there, for what somebody is to approve.
"""

import json
import re

from src.cli.jsontypes import Json, JsonObject

__all__ = ["ago", "arguments", "clean", "clock", "line", "pretty", "seconds", "visible"]

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC and the other strings, to their end
    r"|\x1b[ -/]*[0-~]?",  # all others, whole or begun
    re.DOTALL,
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
_MAX_PRETTY = 20_000


def clean(said: str) -> str:
    """Without escape sequences, control and direction characters; lines and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", said.replace("\r\n", "\n").replace("\r", "\n")))


def visible(said: str) -> str:
    """The same harmless, and nothing left out: each such character becomes one that can be seen."""
    return _CONTROLS.sub(lambda found: _picture(found[0]), said.replace("\r\n", "\n"))


def line(said: str, most: int = 100) -> str:
    """As one line of at most so many characters."""
    one = " ".join(clean(said[: most * 20]).split())
    return one if len(one) <= most else f"{one[: most - 1]}…"


def arguments(of: JsonObject, most: int = 70) -> str:
    """`name=web replicas=4`: enough to tell calls apart."""
    return line(" ".join(f"{name}={_plain(value)}" for name, value in list(of.items())[:12]), most)


def pretty(value: Json) -> str:
    """JSON to be read, whatever it holds."""
    written = visible(json.dumps(value, indent=2, ensure_ascii=False))
    if len(written) <= _MAX_PRETTY:
        return written
    return f"{written[:_MAX_PRETTY]}\n… {len(written) - _MAX_PRETTY} more characters"


def seconds(ms: float) -> str:
    if ms < 9_950:
        return f"{ms / 1000:.1f} s"
    whole = round(ms / 1000)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def clock(ms: float) -> str:
    """A time that is left, roughly."""
    left = max(0, round(ms / 1000))
    if left < 100:
        return f"{left} s"
    return f"{left // 60} min" if left < 7200 else f"{left // 3600} h {left % 3600 // 60} min"


def ago(then: int, now: int) -> str:
    return "just now" if now - then < 1500 else f"{clock(now - then)} ago"


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
