"""Read the code blocks of the documentation, and the commands of those in a shell's language."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from tests.support.services import PROJECT

__all__ = ["Snippet", "commands_of", "settings_of", "snippets"]

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LOOP = re.compile(r"^(?:for|while|do|done|if|then|else|fi)\b")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
_SUBSTITUTION = re.compile(r'^\w+="?\$\((.+)\)"?$')
"""A line that keeps what a command prints."""
_SEPARATORS = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True)
class Snippet:
    """A code block: its page, its language, and its text without indentation."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        first = next((line for line in self.text.splitlines() if line.strip()), "")
        return f"{self.page}: {first[:50]}"


def snippets() -> list[Snippet]:
    """Return every code block of the pages that people write; generated pages and decisions have none to run."""
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*/README.md")]
    return [snippet for page in sorted(pages) for snippet in _read(page)]


def _read(page: Path) -> Iterator[Snippet]:
    for block in _BLOCK.finditer(page.read_text()):
        yield Snippet(str(page.relative_to(PROJECT)), block["language"], textwrap.dedent(block["body"]))


def commands_of(snippet: Snippet) -> list[list[str]]:
    """Return the words of each command, without assignments, redirections and the words of loops."""
    lines = snippet.text.replace("\\\n", " ").splitlines()
    if snippet.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [command for line in lines for command in _split(line)]


def _split(line: str) -> Iterator[list[str]]:
    if _LOOP.match(line.strip()):
        return
    line = _SUBSTITUTION.sub(r"\1", line.strip())
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
    reader.whitespace_split = True
    command: list[str] = []
    words = iter([*reader, ";"])
    for word in words:
        if word in _SEPARATORS:
            command = _without_assignments(command)
            if command:
                yield command
            command = []
        elif word in (">", ">>", "<", ">&"):
            next(words, None)
        else:
            command.append(word)


def _without_assignments(command: list[str]) -> list[str]:
    return list(dropwhile(_ASSIGNMENT.match, command))


def settings_of(snippet: Snippet) -> dict[str, str]:
    """Return the settings of a block in the form of `.env`: names and values, without comments."""
    found: dict[str, str] = {}
    for line in snippet.text.splitlines():
        text = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if text:
            name, _, value = text.partition("=")
            found[name] = value
    return found
