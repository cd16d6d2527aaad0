"""Check an exported audit log without the engine.

It shares no code with the engine, so that a fault there can't hide itself.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, UsageError
from src.cli.jsontypes import Json, JsonObject, inner, number, parse_object, text
from src.cli.text import one_line

__all__ = ["verify_file"]

_NOTE = (
    "Without AUDIT_KEY, a file can only prove that it is consistent, and that it matches a seal you stored elsewhere."
)


class _Tampered(Exception):
    """The file does not match its hashes; the message says where."""


@dataclass
class _Progress:
    """State of the check after the lines read so far.

    Keeps the last entry and seal, and the hashes that later seals must repeat.
    """

    is_complete: bool = True
    stream: str = ""
    entry_number: int = 0
    entry_hash: str = ""
    entries: int = 0
    seals: int = 0
    seal_hash: str = ""
    has_ended: bool = False
    entry_hashes: dict[tuple[str, int], str] = field(default_factory=dict)
    seal_hashes: dict[int, str] = field(default_factory=dict)


def verify_file(path: Path, seal: str | None, as_json: bool) -> int:
    """Check an export and print the result.

    Raises `UsageError` if the file is not an export.
    """
    progress, fault = _Progress(), ""
    try:
        for each in _read_lines(path):
            _check_line(progress, each)
        _check_end(progress, seal)
    except _Tampered as found:
        fault = str(found)
    status = "tampered" if fault else "intact"
    if as_json:
        write_json({"status": status, "fault": fault or None, "entries": progress.entries, "seals": progress.seals})
        return FAILED if fault else DONE
    terminal = Terminal()
    counts = f"Entries: {progress.entries}. Seals: {progress.seals}."
    summary = f"✗ CHANGED. {one_line(fault, 400)}" if fault else f"✓ The file is consistent: {counts}"
    terminal.show(Text(summary, "red" if fault else "green"))
    terminal.note(
        Text(
            _NOTE
            if progress.is_complete
            else f"{_NOTE} This file is a filtered export: missing entries can't be detected."
        )
    )
    return FAILED if fault else DONE


def _read_lines(path: Path) -> Iterator[JsonObject]:
    with path.open(encoding="utf-8") as file:
        for line_number, raw in enumerate(file, 1):
            try:
                yield parse_object(raw)
            except ValueError as error:
                raise _Tampered(f"Line {line_number} is not JSON.") from error


def _check_line(progress: _Progress, each: JsonObject) -> None:
    match text(each, "kind"):
        case "export":
            progress.is_complete = not inner(each, "filters")
        case "entry":
            _check_entry(progress, each)
        case "seal":
            _check_seal(progress, each)
        case "end":
            progress.has_ended = True
            if (number(each, "entries"), number(each, "seals")) != (progress.entries, progress.seals):
                raise _Tampered("Lines are missing: the counts at the end of the file do not match.")
        case _:
            raise UsageError("This is not an export of an audit log: create one with `skyflo audit export`.")


def _check_entry(progress: _Progress, each: JsonObject) -> None:
    stream, n, place = text(each, "stream"), number(each, "n"), f"entry {number(each, 'n')} of {text(each, 'stream')}"
    parts: list[Json] = [
        each.get(name) for name in ("stream", "n", "action", "actor", "actor_name", "at", "body", "previous")
    ]
    if _sha256(parts) != text(each, "hash"):
        raise _Tampered(f"{place} was changed.".capitalize())
    expected = (progress.entry_number + 1, progress.entry_hash) if stream == progress.stream else (1, "")
    follows = n == expected[0] and text(each, "previous") == expected[1]
    if not follows and (progress.is_complete or n == expected[0]):
        raise _Tampered(f"The entry before {place} is missing or was changed.")
    progress.stream, progress.entry_number, progress.entry_hash = stream, n, text(each, "hash")
    progress.entries += 1
    if progress.is_complete:
        progress.entry_hashes[stream, n] = progress.entry_hash


def _check_seal(progress: _Progress, each: JsonObject) -> None:
    n, place = number(each, "n"), f"Seal {number(each, 'n')}"
    parts: list[Json] = [each.get(name) for name in ("n", "previous", "root", "count", "created_at", "key_id", "mac")]
    if n != progress.seals + 1 or text(each, "previous") != progress.seal_hash:
        raise _Tampered(f"{place} does not follow the one before it.")
    heads: Json = json.loads(text(each, "heads"))
    leaves = heads if isinstance(heads, list) else []
    if (
        _sha256(parts) != text(each, "hash")
        or text(each, "root") != _merkle_root([_canonical(leaf) for leaf in leaves]).hex()
    ):
        raise _Tampered(f"{place} was changed.")
    for leaf in leaves:
        stream, _, last, expected_hash = leaf if isinstance(leaf, list) and len(leaf) == 4 else ("", 0, 0, "")
        if progress.entry_hashes.get((str(stream), int(str(last)))) != expected_hash:
            raise _Tampered(f"Entry {last} of {stream}, which seal {n} covers, is missing or was changed.")
    progress.seals, progress.seal_hash = n, text(each, "hash")
    progress.seal_hashes[n] = progress.seal_hash


def _check_end(progress: _Progress, seal: str | None) -> None:
    if not progress.has_ended:
        raise _Tampered("The end of the file is missing.")
    if seal is None:
        return
    n, _, expected_hash = seal.partition(":")
    if not n.isdecimal():
        raise UsageError("Write the seal as NUMBER:HASH.")
    if progress.seal_hashes.get(int(n)) != expected_hash:
        raise _Tampered(f"Seal {n} is missing or differs from your copy.")


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(parts: list[Json]) -> str:
    return hashlib.sha256(_canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _merkle_root(leaves: list[str]) -> bytes:
    """Compute the Merkle tree hash of RFC 6962."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0].encode() if leaves else b"").digest()
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _merkle_root(leaves[:left]) + _merkle_root(leaves[left:])).digest()
