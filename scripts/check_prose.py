"""Count invented or archaic words in docstrings, comments and documents; fail above five in 10,000 words.

    python scripts/check_prose.py [--places] [file ...]

Each package is counted separately, and so are the documents; with files, only the packages that hold them. `--places`
prints every line with such a word. The list is short: a text without these words can still be hard to read.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
LIMIT = 5.0
"""Odd words in 10,000 words of prose."""

PACKAGES: dict[str, tuple[str, ...]] = {
    "engine": ("engine/src/api", "engine/migrations"),
    "cli": ("engine/src/cli",),
    "engine tests": ("engine/tests",),
    "tool server": ("mcp",),
    "sandbox": ("sandbox",),
    "common": ("common",),
    "bench": ("bench", "scripts"),
    "docs": ("docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md", "SECURITY.md"),
}
SKIPPED = {".venv", "node_modules", "build", "dist", "generated", "__pycache__"}
_ODD = re.compile(
    r"\b(?:anew|whoever|whomever|nobody|somebody|whom|shall|kin|heed(?:s|ed|ing)?|tells|telling|told|beside|"
    r"bec[ao]mes? of|needs not|aside|in the midst|taken away|nothing of|whose turn|bell|doorbell|desk|"
    r"of its own making|thereof|hereby|betwixt|nought|lest)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@dataclass
class Count:
    """Words of prose in one package, and the lines that hold an odd one."""

    words: int = 0
    places: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.places) * 10_000 / max(self.words, 1)

    def add(self, path: Path, line: int, text: str) -> None:
        bare = _CODE.sub(" ", text)
        self.words += len(bare.split())
        for found in _ODD.finditer(bare):
            at = line + bare.count("\n", 0, found.start())
            self.places.append(f"{path.relative_to(PROJECT)}:{at}: {found.group(0)}")


def main() -> int:
    files = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    counts = {name: count_package(roots) for name, roots in PACKAGES.items() if not files or holds(roots, files)}
    for name, count in counts.items():
        if count.words:
            print(f"{name:14} {count.rate:5.1f} odd words in 10,000 ({len(count.places)} of {count.words})")
        if "--places" in sys.argv[1:] or count.rate > LIMIT:
            print("\n".join(f"  {place}" for place in count.places))
    return int(any(count.rate > LIMIT for count in counts.values()))


def holds(roots: tuple[str, ...], files: list[str]) -> bool:
    return any((PROJECT / file).is_relative_to(PROJECT / root) for root in roots for file in files)


def count_package(roots: tuple[str, ...]) -> Count:
    count = Count()
    for path in (each for root in roots for each in _files(PROJECT / root)):
        text = path.read_text()
        for line, prose in _python_prose(text) if path.suffix == ".py" else [(1, text)]:
            count.add(path, line, prose)
    return count


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = (path for suffix in ("py", "md") for path in root.rglob(f"*.{suffix}"))
    return sorted(path for path in found if not SKIPPED & set(path.parts))


def _python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings, attribute docstrings and comments with their first lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    if "#" not in text:
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
