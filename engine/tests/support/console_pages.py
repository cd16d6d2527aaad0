"""Run the console blocks of a page as a person would: in one folder, one after the other.

A block is run if the line `<!-- run: NAME -->` stands before it. Lines that begin with `$ ` are commands, the others
what they print; `...` stands for any text.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import PATIENCE

__all__ = ["Step", "find_scenarios", "run_step"]

_BLOCK = re.compile(r"^<!-- run: (?P<name>[\w-]+) -->\n```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A command with the lines that it should print."""

    command: str
    printed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.command


def find_scenarios(page: Path) -> dict[str, list[Step]]:
    """Return the commands of a page by the name of their scenario, in order."""
    scenarios: dict[str, list[Step]] = {}
    for block in _BLOCK.finditer(page.read_text()):
        scenarios.setdefault(block["name"], []).extend(_parse(block["body"]))
    return scenarios


def _parse(body: str) -> Iterator[Step]:
    step: Step | None = None
    for line in body.splitlines():
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(line.removeprefix("$ "))
        elif step is not None:
            step.printed.append(line)
    if step is not None:
        yield step


def run_step(step: Step, folder: Path, environment: Mapping[str, str]) -> None:
    """Run one command with bash; fail unless it prints what the page says."""
    done = subprocess.run(
        ["bash", "-c", step.command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    expected = "\n".join(step.printed).strip()
    pattern = ".*?".join(map(re.escape, expected.split("...")))
    printed = done.stdout.strip()
    assert re.fullmatch(pattern, printed, re.DOTALL), f"{step.command}\nprinted:\n{printed}\nthe page says:\n{expected}"
