"""Make untrusted text safe for a terminal, and format numbers for people.

Text from a model or a tool must not move the cursor, set a title, open a link or change the reading direction:
`remove_controls` removes such characters. `escape_controls` makes them visible, for text that a person has to approve.
"""

import json
import re

from src.cli.jsontypes import Json, JsonObject

__all__ = [
    "escape_controls",
    "format_age",
    "format_arguments",
    "format_duration",
    "format_json",
    "format_time_left",
    "one_line",
    "remove_controls",
]

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC and the other string sequences, up to their end
    r"|\x1b[ -/]*[0-~]?",  # all others, complete or not
    re.DOTALL,
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
_MAX_PRETTY = 20_000


def remove_controls(source: str) -> str:
    """Remove escape sequences, control and direction characters; keep line breaks and tabs."""
    return _CONTROLS.sub("", _ESCAPES.sub("", source.replace("\r\n", "\n").replace("\r", "\n")))


def escape_controls(source: str) -> str:
    """Replace each control or direction character by a visible form, so that nothing is hidden."""
    return _CONTROLS.sub(lambda found: _visible_form(found[0]), source.replace("\r\n", "\n"))


def one_line(source: str, limit: int = 100) -> str:
    """Join a text to one line of at most `limit` characters."""
    one = " ".join(remove_controls(source[: limit * 20]).split())
    return one if len(one) <= limit else f"{one[: limit - 1]}…"


def format_arguments(source: JsonObject, limit: int = 70) -> str:
    """Format arguments as `name=web replicas=4`, short enough to tell calls apart."""
    return one_line(" ".join(f"{name}={_plain_value(value)}" for name, value in list(source.items())[:12]), limit)


def format_json(value: Json) -> str:
    """Format JSON for reading, bounded in length and with control characters escaped."""
    written = escape_controls(json.dumps(value, indent=2, ensure_ascii=False))
    if len(written) <= _MAX_PRETTY:
        return written
    return f"{written[:_MAX_PRETTY]}\n… {len(written) - _MAX_PRETTY} more characters"


def format_duration(ms: float) -> str:
    if ms < 9_950:
        return f"{ms / 1000:.1f} s"
    whole = round(ms / 1000)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def format_time_left(ms: float) -> str:
    """Format a remaining time roughly."""
    left = max(0, round(ms / 1000))
    if left < 100:
        return f"{left} s"
    return f"{left // 60} min" if left < 7200 else f"{left // 3600} h {left % 3600 // 60} min"


def format_age(then: int, now: int) -> str:
    return "just now" if now - then < 1500 else f"{format_time_left(now - then)} ago"


def _plain_value(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _visible_form(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"
