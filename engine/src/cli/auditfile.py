"""An export of the audit trail, checked without the engine that wrote it and without its code."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, WrongUse
from src.cli.jsontypes import Json, JsonObject, inner, number, parsed, text
from src.cli.words import line

__all__ = ["verify_file"]

_NOTE = "Without AUDIT_KEY a file proves no more than that it fits in itself, and to a seal that you kept elsewhere."


class _Changed(Exception):
    """What does not fit, in a sentence."""


@dataclass
class _Read:
    """What has been read so far: the last entry, the last seal, and what later seals have to name."""

    whole: bool = True
    stream: str = ""
    n: int = 0
    last: str = ""
    entries: int = 0
    seals: int = 0
    seal: str = ""
    ended: bool = False
    hashes: dict[tuple[str, int], str] = field(default_factory=dict)
    outside: dict[int, str] = field(default_factory=dict)


def verify_file(path: Path, seal: str | None, as_json: bool) -> int:
    """Raises `WrongUse` for what is no export."""
    read, fault = _Read(), ""
    try:
        for each in _lines(path):
            _take(read, each)
        _end(read, seal)
    except _Changed as found:
        fault = str(found)
    status = "tampered" if fault else "intact"
    if as_json:
        write_json({"status": status, "fault": fault or None, "entries": read.entries, "seals": read.seals})
        return FAILED if fault else DONE
    terminal = Terminal()
    counts = f"Entries: {read.entries}. Seals: {read.seals}."
    told = f"✗ CHANGED. {line(fault, 400)}" if fault else f"✓ The file fits in itself: {counts}"
    terminal.show(Text(told, "red" if fault else "green"))
    terminal.note(Text(_NOTE if read.whole else f"{_NOTE} This is a part of a trail: what is left out can't be seen."))
    return FAILED if fault else DONE


def _lines(path: Path) -> Iterator[JsonObject]:
    with path.open(encoding="utf-8") as file:
        for number_, raw in enumerate(file, 1):
            try:
                yield parsed(raw)
            except ValueError as error:
                raise _Changed(f"Line {number_} is not JSON.") from error


def _take(read: _Read, each: JsonObject) -> None:
    match text(each, "kind"):
        case "export":
            read.whole = not inner(each, "filters")
        case "entry":
            _entry(read, each)
        case "seal":
            _seal(read, each)
        case "end":
            read.ended = True
            if (number(each, "entries"), number(each, "seals")) != (read.entries, read.seals):
                raise _Changed("Lines are missing: the end of the file counts others.")
        case _:
            raise WrongUse("This is no export of an audit trail: make one with `skyflo audit export`.")


def _entry(read: _Read, each: JsonObject) -> None:
    stream, n, place = text(each, "stream"), number(each, "n"), f"entry {number(each, 'n')} of {text(each, 'stream')}"
    parts: list[Json] = [
        each.get(name) for name in ("stream", "n", "action", "actor", "actor_name", "at", "body", "previous")
    ]
    if _sha256(parts) != text(each, "hash"):
        raise _Changed(f"{place} is not what was written.".capitalize())
    wanted = (read.n + 1, read.last) if stream == read.stream else (1, "")
    follows = n == wanted[0] and text(each, "previous") == wanted[1]
    if not follows and (read.whole or n == wanted[0]):
        raise _Changed(f"What stands before {place} is missing or was changed.")
    read.stream, read.n, read.last = stream, n, text(each, "hash")
    read.entries += 1
    if read.whole:
        read.hashes[stream, n] = read.last


def _seal(read: _Read, each: JsonObject) -> None:
    n, place = number(each, "n"), f"Seal {number(each, 'n')}"
    parts: list[Json] = [each.get(name) for name in ("n", "previous", "root", "count", "created_at", "key_id", "mac")]
    if n != read.seals + 1 or text(each, "previous") != read.seal:
        raise _Changed(f"{place} does not follow the one before it.")
    heads: Json = json.loads(text(each, "heads"))
    leaves = heads if isinstance(heads, list) else []
    if _sha256(parts) != text(each, "hash") or text(each, "root") != _root([_canonical(leaf) for leaf in leaves]).hex():
        raise _Changed(f"{place} is not what was written.")
    for leaf in leaves:
        stream, _, last, told = leaf if isinstance(leaf, list) and len(leaf) == 4 else ("", 0, 0, "")
        if read.hashes.get((str(stream), int(str(last)))) != told:
            raise _Changed(f"Entry {last} of {stream}, which seal {n} covers, is missing or was changed.")
    read.seals, read.seal = n, text(each, "hash")
    read.outside[n] = read.seal


def _end(read: _Read, seal: str | None) -> None:
    if not read.ended:
        raise _Changed("The end of the file is missing.")
    if seal is None:
        return
    n, _, told = seal.partition(":")
    if not n.isdecimal():
        raise WrongUse("Write the seal as its number, a colon and its hash.")
    if read.outside.get(int(n)) != told:
        raise _Changed(f"Seal {n}, of which you have a copy, is not there or is another one.")


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(parts: list[Json]) -> str:
    return hashlib.sha256(_canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _root(leaves: list[str]) -> bytes:
    """As RFC 6962 has it."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0].encode() if leaves else b"").digest()
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _root(leaves[:left]) + _root(leaves[left:])).digest()
