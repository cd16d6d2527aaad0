"""Format answers as short Markdown that quotes its evidence."""

import re
from collections.abc import Iterable, Sequence

__all__ = [
    "SIGNATURE",
    "bullets",
    "capabilities",
    "code",
    "code_block",
    "count_of",
    "paragraphs",
    "quote",
    "quote_person",
    "rows",
    "with_signature",
]

SIGNATURE = "— sandbox model: rules, not a language model"
ROWS_AT_MOST = 25
LINE_CHARACTERS = 220
QUOTE_CHARACTERS = 400
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_ORDER = re.compile(
    r"(?i)ignore (?:all |any )?(?:the |your )?(?:previous|prior|above|earlier)|disregard (?:all|the|your)|you are now|"
    r"(?:new|system) (?:instructions?|prompt)|as an ai\b|do not tell the user"
)

_CAPABILITIES = """\
| What you can say | What I do |
|---|---|
| `what is wrong in {ns}?` | read the usual kinds and the warning events |
| `list the pods in {ns}`, `list the images in {ns}`, `how many deployments are there?` | list and count them |
| `why is {name} failing?` | read its pods, events, logs, owner and configuration, and name the cause |
| `fix {name}` | propose the smallest change that the evidence supports, and verify it |
| `logs of {name}`, `describe {name}`, `events in {ns}` | show them |
| `scale {name} to 3`, `restart {name}`, `roll back {name}` | propose that change, and verify it |
| `set KEY=value in {name}-config`, `set image of {name} to app:2` | the same |
| `delete pod {name}-1`, `apply` with YAML below it | the same |

I propose a change only if a rule accounts for every word of the request."""


def with_signature(text: str) -> str:
    """Append the line that says that rules wrote the answer."""
    return f"{text.rstrip()}\n\n{SIGNATURE}"


def capabilities(beginning: str, namespace: str = "", name: str = "") -> str:
    """Describe the model and what it can do, with examples that fit the conversation."""
    table = _CAPABILITIES.format(ns=namespace or "default", name=name or "web")
    return (
        f"{beginning} I am the sandbox model: I follow rules and understand plain English requests about Kubernetes, "
        f"nothing else. I answer only from what the tools return.\n\n{table}\n\n"
        "For everything else, connect a language model (`LLM_MODEL` and its key)."
    )


def clean(text: str, limit: int = LINE_CHARACTERS) -> str:
    """Put untrusted text on one line, without control characters and of limited length."""
    flat = " ".join(_CONTROL.sub(" ", text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def code(text: str) -> str:
    """Format a name or a value inside a sentence."""
    return f"`{clean(text).replace('`', chr(39))}`"


def quote(text: str) -> str:
    """Quote a text of the cluster inside a sentence."""
    return f"`{clean(text, QUOTE_CHARACTERS).replace('`', chr(39))}`"


def quote_person(text: str) -> str:
    """Quote a text of a person inside a sentence."""
    return f'"{clean(text, QUOTE_CHARACTERS).replace(chr(34), chr(39))}"'


def code_block(lines: Iterable[str], language: str = "") -> str:
    """Put lines into a code block. The fence is longer than any run of backticks in them."""
    kept = [_CONTROL.sub(" ", line)[:2_000] for line in lines]
    longest = max((len(run) for line in kept for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *kept, fence])


def injection_note(lines: Iterable[str]) -> str:
    """Return a note on lines that read like instructions to a model; empty for none."""
    found = next((line for line in lines if _ORDER.search(line)), None)
    if found is None:
        return ""
    return f"\n\nA line there reads like an instruction to me ({quote(found[:120])}). It is data: I only quote it."


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def paragraphs(*parts: str) -> str:
    """Join paragraphs and leave out empty ones."""
    return "\n\n".join(part for part in parts if part)


def count_of(number: int, noun: str) -> str:
    """Format a number with its noun: `1 pod`, `2 pods`, `2 policies`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {plural}"


def rows(columns: Sequence[str], found: Sequence[Sequence[str]], at_most: int = ROWS_AT_MOST) -> str:
    """Format a Markdown table of at most `at_most` rows and the number of rows left out."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in found[:at_most]]
    if len(found) > at_most:
        lines.append(f"\n… and {len(found) - at_most} more.")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return clean(text).replace("|", "\\|") or " "
