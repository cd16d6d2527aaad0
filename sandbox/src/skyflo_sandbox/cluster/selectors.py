"""Label and field selectors, with the errors of the API server for those that can't be read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.naming import label_problems
from skyflo_sandbox.cluster.statuses import Refused, bad_request, quoted
from skyflo_sandbox.jsontypes import JsonObject, dig, strings_at, text_at

__all__ = ["Matches", "by_fields", "by_labels", "matching"]

Matches = Callable[[JsonObject], bool]

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset({"=", "==", "!=", "!", "(", ")", ",", "<", ">"})
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_AT_MOST = 200


@dataclass(frozen=True)
class _Requirement:
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def fits(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "!":
            return self.key not in labels
        if self.operator in ("<", ">"):
            return _compares(labels.get(self.key, ""), self.operator, self.values[0])
        if self.operator == "in":
            return labels.get(self.key) in self.values
        return labels.get(self.key) not in self.values


def _compares(label: str, operator: str, value: str) -> bool:
    if not _NUMBER.fullmatch(label):
        return False
    return int(label) > int(value) if operator == ">" else int(label) < int(value)


def matching(label_selector: str, field_selector: str, kind: Kind) -> Matches:
    """Whether an object fits both selectors; empty ones fit all. Raises `Refused` (400)."""
    labels, fields = by_labels(label_selector), by_fields(field_selector, kind)
    return lambda body: labels(body) and fields(body)


def by_labels(selector: str) -> Matches:
    """`app=api,tier!=cache,env in (a,b),!old`."""
    requirements = _Labels(selector).requirements()
    return lambda body: all(each.fits(strings_at(body, "metadata", "labels")) for each in requirements)


class _Labels:
    """The grammar of label selectors, read token by token."""

    def __init__(self, selector: str) -> None:
        self._tokens = _TOKEN.findall(selector)

    def requirements(self) -> list[_Requirement]:
        found: list[_Requirement] = []
        while self._tokens:
            if self._peek() != "!" and self._peek() in _SYMBOLS:
                raise bad_request(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement())
            if self._tokens:
                self._comma()
        if len(found) > _AT_MOST:
            raise bad_request(f"a selector may have at most {_AT_MOST} requirements")
        return found

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def _comma(self) -> None:
        if self._peek() != ",":
            raise bad_request(f"found '{self._peek()}', expected: ',' or 'end of string'")
        self._take()
        if not self._tokens or (self._peek() != "!" and self._peek() in _SYMBOLS):
            raise bad_request(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> _Requirement:
        absent = self._peek() == "!"
        if absent:
            self._take()
        key = self._take()
        if not key or key in _SYMBOLS:
            raise _unreadable(f"found '{key}', expected: identifier")
        _check_label(key, "")
        if absent:
            return _Requirement(key, "!")
        if self._peek() in ("", ","):
            return _Requirement(key, "exists")
        return self._operation(key, self._take())

    def _operation(self, key: str, operator: str) -> _Requirement:
        if operator in ("in", "notin"):
            return _Requirement(key, operator, self._values(key))
        if operator in ("<", ">"):
            return self._comparison(key, operator)
        if operator not in ("=", "==", "!="):
            raise _unreadable(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        if self._peek() in _SYMBOLS - {","}:
            raise _unreadable(f"found '{self._peek()}', expected: identifier")
        value = "" if self._peek() in ("", ",") else self._take()
        _check_label(key, value)
        return _Requirement(key, "notin" if operator == "!=" else "in", (value,))

    def _comparison(self, key: str, operator: str) -> _Requirement:
        value = self._take()
        if not _NUMBER.fullmatch(value):
            raise _unreadable(f"values[0][{key}]: Invalid value: {quoted(value)}: the value must be an integer")
        return _Requirement(key, operator, (value,))

    def _values(self, key: str) -> tuple[str, ...]:
        if self._peek() != "(":
            raise _unreadable(f"found '{self._peek()}' expected: '('")
        self._take()
        values: list[str] = []
        while (word := self._take()) != ")":
            if word == ",":
                values += [""] if self._peek() in (",", ")") else []
            elif not word or word in _SYMBOLS or self._peek() not in (",", ")"):
                raise _unreadable(f"found '{word if word in _SYMBOLS else self._peek()}', expected: ',' or ')'")
            else:
                _check_label(key, word)
                values.append(word)
        return tuple(values)


def _unreadable(why: str) -> Refused:
    return bad_request(f"unable to parse requirement: {why}")


def _check_label(key: str, value: str) -> None:
    for problem in label_problems("<nil>", {key: ""}):
        raise _unreadable(f"<nil>: {problem.message}")
    for problem in label_problems(f"values[0][{key}]", {key: value}):
        raise _unreadable(f"{problem.field}: {problem.message}")


_ABOUT = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Pod": (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        "Node": ("spec.unschedulable",),
        "Namespace": ("status.phase",),
        "Service": ("spec.clusterIP", "spec.type"),
        "Secret": ("type",),
        "Event": (*(f"involvedObject.{each}" for each in _ABOUT), "reason", "reportingComponent", "source", "type"),
    }
)
_TERM = re.compile(r"([^=!]*)(!=|==|=)((?:[^=,\\]|\\[=,\\])*)", re.DOTALL)
_EVERYWHERE = ("metadata.name", "metadata.namespace")


def by_fields(selector: str, kind: Kind) -> Matches:
    """`status.phase=Running,metadata.name!=x`, by the fields that the kind can be selected by."""
    terms = [_term(each, kind) for each in re.split(r"(?<!\\),", selector) if each] if selector else []
    return lambda body: all((_text(kind, body, field) == value) == wanted for field, value, wanted in terms)


def _term(text: str, kind: Kind) -> tuple[str, str, bool]:
    parts = _TERM.fullmatch(text)
    if parts is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    field, operator, value = parts[1], parts[2], re.sub(r"\\([,=\\])", r"\1", parts[3])
    if field not in _EVERYWHERE and field not in _FIELDS.get(kind.kind, ()):
        raise bad_request(_unknown(field, kind))
    return field, value, operator != "!="


def _unknown(field: str, kind: Kind) -> str:
    if kind.kind in _FIELDS or kind.is_custom:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _text(kind: Kind, body: JsonObject, field: str) -> str:
    if kind.kind == "Event" and field == "source":
        return text_at(body, "source", "component") or text_at(body, "reportingComponent")
    value = dig(body, *field.split("."))
    if field in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value is True else "false"
    return value if isinstance(value, str) else ""
