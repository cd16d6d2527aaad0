"""Parse label and field selectors, with the API server's error messages."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, dig, strings_at, text_at
from skyflo_sandbox.cluster.errors import ApiError, bad_request, quote
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.metadata_validation import label_problems

__all__ = ["ObjectFilter", "field_filter", "label_filter", "object_filter"]

ObjectFilter = Callable[[JsonObject], bool]

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset({"=", "==", "!=", "!", "(", ")", ",", "<", ">"})
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_MAX_REQUIREMENTS = 200


@dataclass(frozen=True)
class _Requirement:
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "!":
            return self.key not in labels
        if self.operator in ("<", ">"):
            return _compare_numbers(labels.get(self.key, ""), self.operator, self.values[0])
        if self.operator == "in":
            return labels.get(self.key) in self.values
        return labels.get(self.key) not in self.values


def _compare_numbers(label: str, operator: str, value: str) -> bool:
    if not _NUMBER.fullmatch(label):
        return False
    return int(label) > int(value) if operator == ">" else int(label) < int(value)


def object_filter(label_selector: str, field_selector: str, kind: Kind) -> ObjectFilter:
    """Build a filter from both selectors; an empty selector matches everything. Raises `ApiError` (400)."""
    labels, fields = label_filter(label_selector), field_filter(field_selector, kind)
    return lambda body: labels(body) and fields(body)


def label_filter(selector: str) -> ObjectFilter:
    """Build a filter from a label selector such as `app=api,tier!=cache,env in (a,b),!old`."""
    requirements = _LabelSelectorParser(selector).parse()
    return lambda body: all(each.matches(strings_at(body, "metadata", "labels")) for each in requirements)


class _LabelSelectorParser:
    """Parser of label selectors."""

    def __init__(self, selector: str) -> None:
        self._tokens = _TOKEN.findall(selector)

    def parse(self) -> list[_Requirement]:
        found: list[_Requirement] = []
        while self._tokens:
            if self._peek() != "!" and self._peek() in _SYMBOLS:
                raise bad_request(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            found.append(self._parse_requirement())
            if self._tokens:
                self._expect_comma()
        if len(found) > _MAX_REQUIREMENTS:
            raise bad_request(f"a selector may have at most {_MAX_REQUIREMENTS} requirements")
        return found

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def _expect_comma(self) -> None:
        if self._peek() != ",":
            raise bad_request(f"found '{self._peek()}', expected: ',' or 'end of string'")
        self._take()
        if not self._tokens or (self._peek() != "!" and self._peek() in _SYMBOLS):
            raise bad_request(f"found '{self._peek()}', expected: identifier after ','")

    def _parse_requirement(self) -> _Requirement:
        absent = self._peek() == "!"
        if absent:
            self._take()
        key = self._take()
        if not key or key in _SYMBOLS:
            raise _parse_error(f"found '{key}', expected: identifier")
        _check_label(key, "")
        if absent:
            return _Requirement(key, "!")
        if self._peek() in ("", ","):
            return _Requirement(key, "exists")
        return self._parse_operation(key, self._take())

    def _parse_operation(self, key: str, operator: str) -> _Requirement:
        if operator in ("in", "notin"):
            return _Requirement(key, operator, self._parse_values(key))
        if operator in ("<", ">"):
            return self._parse_comparison(key, operator)
        if operator not in ("=", "==", "!="):
            raise _parse_error(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        if self._peek() in _SYMBOLS - {","}:
            raise _parse_error(f"found '{self._peek()}', expected: identifier")
        value = "" if self._peek() in ("", ",") else self._take()
        _check_label(key, value)
        return _Requirement(key, "notin" if operator == "!=" else "in", (value,))

    def _parse_comparison(self, key: str, operator: str) -> _Requirement:
        value = self._take()
        if not _NUMBER.fullmatch(value):
            raise _parse_error(f"values[0][{key}]: Invalid value: {quote(value)}: the value must be an integer")
        return _Requirement(key, operator, (value,))

    def _parse_values(self, key: str) -> tuple[str, ...]:
        if self._peek() != "(":
            raise _parse_error(f"found '{self._peek()}' expected: '('")
        self._take()
        values: list[str] = []
        while (word := self._take()) != ")":
            if word == ",":
                values += [""] if self._peek() in (",", ")") else []
            elif not word or word in _SYMBOLS or self._peek() not in (",", ")"):
                raise _parse_error(f"found '{word if word in _SYMBOLS else self._peek()}', expected: ',' or ')'")
            else:
                _check_label(key, word)
                values.append(word)
        return tuple(values)


def _parse_error(why: str) -> ApiError:
    return bad_request(f"unable to parse requirement: {why}")


def _check_label(key: str, value: str) -> None:
    for problem in label_problems("<nil>", {key: ""}):
        raise _parse_error(f"<nil>: {problem.message}")
    for problem in label_problems(f"values[0][{key}]", {key: value}):
        raise _parse_error(f"{problem.field}: {problem.message}")


_INVOLVED_OBJECT_FIELDS = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
_SELECTABLE_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
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
        "Event": (
            *(f"involvedObject.{each}" for each in _INVOLVED_OBJECT_FIELDS),
            "reason",
            "reportingComponent",
            "source",
            "type",
        ),
    }
)
_TERM = re.compile(r"([^=!]*)(!=|==|=)((?:[^=,\\]|\\[=,\\])*)", re.DOTALL)
_COMMON_FIELDS = ("metadata.name", "metadata.namespace")


def field_filter(selector: str, kind: Kind) -> ObjectFilter:
    """Build a filter from a field selector such as `status.phase=Running,metadata.name!=x`."""
    terms = [_parse_term(each, kind) for each in re.split(r"(?<!\\),", selector) if each] if selector else []
    return lambda body: all((_field_value(kind, body, field) == value) == wanted for field, value, wanted in terms)


def _parse_term(text: str, kind: Kind) -> tuple[str, str, bool]:
    parts = _TERM.fullmatch(text)
    if parts is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    field, operator, value = parts[1], parts[2], re.sub(r"\\([,=\\])", r"\1", parts[3])
    if field not in _COMMON_FIELDS and field not in _SELECTABLE_FIELDS.get(kind.kind, ()):
        raise bad_request(_unknown_field_message(field, kind))
    return field, value, operator != "!="


def _unknown_field_message(field: str, kind: Kind) -> str:
    if kind.kind in _SELECTABLE_FIELDS or kind.is_custom:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _field_value(kind: Kind, body: JsonObject, field: str) -> str:
    if kind.kind == "Event" and field == "source":
        return text_at(body, "source", "component") or text_at(body, "reportingComponent")
    value = dig(body, *field.split("."))
    if field in ("spec.unschedulable", "spec.hostNetwork"):
        return "true" if value is True else "false"
    return value if isinstance(value, str) else ""
