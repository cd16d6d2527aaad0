"""Find in a log why a program ended: its most informative lines, and a setting that it misses."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skyflo_common.jsontypes import objects_at, text_at
from skyflo_sandbox.model.evidence import Evidence, containers_of
from skyflo_sandbox.model.tool_output import Log

__all__ = ["MissingKey", "find_missing_key", "find_similar_key", "informative_lines", "is_masked"]

LINES_SHOWN = 4
_INFORMATIVE = re.compile(
    r"(?i)\b(?:fatal|panic|error|exception|traceback|critical|failed|cannot|can't|could"
    r" not|unable|refused|denied|missing|"
    r"required|undefined|not (?:set|found|defined)|no such|invalid|must be|killed|segfault|abort)\w*"
)
_ABSENT = re.compile(
    r"(?i)\bmissing\b|\bnot"
    r" (?:set|found|defined|provided|configured|present|specified)\b|\brequire[ds]?\b|\bundefined\b|"
    r"\bno such\b|\bmust be\b|\bmust not be empty\b|\bunset\b|\bKeyError\b|\bis empty\b|\bno"
    r" value\b|\bneeds?\b|\bexpected\b|"
    r"\bnull\b|\bunbound variable\b|\bcannot read\b|\bwithout\b"
)
_KEY = re.compile(
    r"\b(?P<upper>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b|[\"'`](?P<quoted>[A-Za-z_][\w.-]{1,100})[\"'`]|"
    r"\b(?P<dotted>[a-z][a-z0-9]*(?:[._][a-z0-9]+)+)\b(?![/:(])|\b(?:variable|setting|key|env|config)\s+(?P<named>[A-Za-z_][\w.-]*)"
)
_SETTING = re.compile(r"(?i)\b(?:config(?:uration|map)?|env(?:ironment)?|variables?|settings?|key|option|property)\b")
_NOT_KEYS = frozenset({"error", "fatal", "panic", "config", "configuration", "variable", "environment"})


@dataclass(frozen=True)
class MissingKey:
    """A setting that the program asks for and does not get, with the log line about it."""

    key: str
    line: str


def informative_lines(evidence: Evidence, container: str) -> list[str]:
    """Return the lines that say most about the end of a container, from its previous run where there is one."""
    lines = _lines(evidence.previous, container) or _lines(evidence.logs, container)
    informative = [line for line in lines if _INFORMATIVE.search(line)]
    return (informative or lines)[-LINES_SHOWN:]


def find_missing_key(evidence: Evidence, container: str) -> MissingKey | None:
    """Return the latest setting that the log calls missing; one that no ConfigMap has by now comes first."""
    found = [
        MissingKey(key, line)
        for line in reversed([*_lines(evidence.previous, container), *_lines(evidence.logs, container)])
        if _ABSENT.search(line)
        for key in _keys(line)
        if key not in _variables(evidence, container) and _is_setting(key, line, evidence)
    ]
    since = {key for data in evidence.maps.values() for key in data or {}}
    return next((each for each in found if each.key not in since), found[0] if found else None)


def find_similar_key(key: str, maps: Mapping[str, Mapping[str, str] | None]) -> tuple[str, str] | None:
    """Return the ConfigMap and the key with the most similar spelling."""
    best: tuple[float, str, str] | None = None
    for name, data in maps.items():
        for other in data or {}:
            ratio = difflib.SequenceMatcher(None, _plain(key), _plain(other)).ratio()
            if ratio >= 0.8 and (best is None or ratio > best[0]):
                best = (ratio, name, other)
    return (best[1], best[2]) if best else None


def is_masked(value: str) -> bool:
    """Whether the tools have masked the value."""
    return "[masked]" in value or value.startswith("masked, ") or "[redacted" in value


def _plain(key: str) -> str:
    return key.lower().replace("-", "_").replace(".", "_")


def _is_setting(key: str, line: str, evidence: Evidence) -> bool:
    """Whether a word is a setting: in capitals, called one by its line, or similar to a key of a ConfigMap."""
    return key.isupper() or _SETTING.search(line) is not None or find_similar_key(key, evidence.maps) is not None


def _keys(line: str) -> Iterable[str]:
    """List the words of a line that may be settings, those in capitals first."""
    found = [
        match[group]
        for group in ("upper", "quoted", "named", "dotted")
        for match in _KEY.finditer(line)
        if match[group]
    ]
    return [key for key in dict.fromkeys(found) if key.lower() not in _NOT_KEYS]


def _lines(found: Sequence[Log], container: str) -> list[str]:
    mine = [log for log in found if log.container == container] or (list(found) if len(found) == 1 else [])
    return [line for log in mine for line in log.lines if line.strip()]


def _variables(evidence: Evidence, container: str) -> set[str]:
    """Return the names of the variables in the container's spec."""
    spec = next((each for each in containers_of(evidence.spec) if text_at(each, "name") == container), {})
    return {text_at(each, "name") for each in objects_at(spec, "env")}
