"""How answers look: short Markdown that quotes its evidence, and the line that tells who is speaking."""

import re
from collections.abc import Iterable, Sequence

__all__ = [
    "MARK",
    "about_itself",
    "bullets",
    "code",
    "counted",
    "fenced",
    "lines_of",
    "marked",
    "quoted",
    "rows",
    "spoken",
]

MARK = "— sandbox model: rules, not a language model"
ROWS_AT_MOST = 25
LINE_CHARACTERS = 220
QUOTE_CHARACTERS = 400
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_ORDER = re.compile(
    r"(?i)ignore (?:all |any )?(?:the |your )?(?:previous|prior|above|earlier)|disregard (?:all|the|your)|you are now|"
    r"(?:new|system) (?:instructions?|prompt)|as an ai\b|do not tell the user"
)

_ABLE = """\
| What you can say | What I do |
|---|---|
| `what is wrong in {ns}?` | look at pods, workloads, services and warnings |
| `list the pods in {ns}`, `how many deployments are there?` | list, count, find what is not healthy |
| `why is {name} failing?` | read its pods, events, logs, owner and configuration, and name the cause |
| `fix {name}` | propose the least change that the evidence supports, and verify it |
| `logs of {name}`, `describe {name}`, `events in {ns}` | show them |
| `scale {name} to 3`, `restart {name}`, `roll back {name}` | propose that change, and verify it |
| `set KEY=value in {name}-config`, `set image of {name} to app:2` | the same |
| `delete pod {name}-1`, `apply` with YAML below it | the same |"""


def marked(text: str) -> str:
    """The text with the line that every last word ends with."""
    return f"{text.rstrip()}\n\n{MARK}"


def about_itself(beginning: str, namespace: str = "", name: str = "") -> str:
    """Who this is and what it can do, with examples that fit the conversation."""
    able = _ABLE.format(ns=namespace or "default", name=name or "web")
    return (
        f"{beginning} I am the sandbox model: I follow rules and understand plain English requests about Kubernetes, "
        f"nothing else. I answer only from what the tools return.\n\n{able}\n\n"
        "For everything else, connect a language model (`LLM_MODEL` and its key)."
    )


def clean(text: str, limit: int = LINE_CHARACTERS) -> str:
    """Text of others, on one line and of bounded length."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def code(text: str) -> str:
    """A name or a value inside a sentence."""
    return f"`{clean(text).replace('`', chr(39))}`"


def quoted(text: str) -> str:
    """What a system said, to the letter, inside a sentence."""
    return f"`{clean(text, QUOTE_CHARACTERS).replace('`', chr(39))}`"


def spoken(text: str) -> str:
    """What a person said, inside a sentence."""
    return f'"{clean(text, QUOTE_CHARACTERS).replace(chr(34), chr(39))}"'


def fenced(lines: Iterable[str], language: str = "") -> str:
    """Lines as they stand, in a fence that nothing among them can close."""
    kept = [_CONTROL.sub(" ", line)[:2_000] for line in lines]
    longest = max((len(run) for line in kept for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *kept, fence])


def orders_in(lines: Iterable[str]) -> str:
    """A remark on lines that read like an order to a model, or nothing."""
    found = next((line for line in lines if _ORDER.search(line)), None)
    if found is None:
        return ""
    return f"\n\nA line in there reads like an order to me ({quoted(found[:120])}). It is data: I only quote it."


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def lines_of(*parts: str) -> str:
    """Paragraphs; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def counted(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`, `2 replicas`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {plural}"


def rows(columns: Sequence[str], found: Sequence[Sequence[str]], at_most: int = ROWS_AT_MOST) -> str:
    """A Markdown table of at most so many rows; what is left out is counted."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in found[:at_most]]
    if len(found) > at_most:
        lines.append(f"\n… and {len(found) - at_most} more.")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return clean(text).replace("|", "\\|") or " "
