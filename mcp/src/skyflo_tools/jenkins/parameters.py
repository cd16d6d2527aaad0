"""Check the values for a build against the parameters that its job defines.

Jenkins drops values of other names without a word, and answers an illegal choice with an error page.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skyflo_tools.errors import InvalidArguments
from skyflo_tools.jenkins.models import ParameterDefinition

REQUEST_PARAMETER = "SKYFLO_REQUEST_ID"
"""A job that defines this parameter gets a value of its own with each request, by which its build is found again."""
HIDDEN = "(secret)"


@dataclass(frozen=True)
class BuildValues:
    """What is sent: form fields, files, and lines that show them without secrets."""

    form: Mapping[str, str]
    files: Mapping[str, tuple[str, bytes]]
    lines: tuple[str, ...]
    request_id: str = ""


def choose_values(
    definitions: Sequence[ParameterDefinition],
    given: Mapping[str, str],
    given_secrets: Mapping[str, str],
    request_id: str = "",
) -> BuildValues:
    """Choose what is sent for each parameter. Raises InvalidArguments for what Jenkins would drop or refuse."""
    known = {each.name: each for each in definitions}
    _reject_unknown(known, [*given, *given_secrets])
    form: dict[str, str] = {}
    files: dict[str, tuple[str, bytes]] = {}
    lines: list[str] = []
    for name, definition in known.items():
        value = given_secrets.get(name, given.get(name))
        if name == REQUEST_PARAMETER and value is None:
            value = request_id = request_id or secrets.token_hex(16)
        if value is None:
            lines.append(f" {name}: {_describe_default(definition)}")
            continue
        if definition.is_secret and name in given:
            raise InvalidArguments(f"{name} is a secret parameter", hint="pass it in secret_parameters")
        if definition.choices and value not in definition.choices:
            raise InvalidArguments(f"{name} must be one of {', '.join(definition.choices[:50])}")
        if definition.is_file:
            files[name] = (name, value.encode())
            lines.append(f"+{name}: a file of {len(value.encode())} bytes")
            continue
        form[name] = value
        lines.append(f"+{name}: {HIDDEN if name in given_secrets else value}")
    return BuildValues(form, files, tuple(lines), request_id)


def _reject_unknown(known: Mapping[str, ParameterDefinition], names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(known))
    twice = sorted({name for name in names if names.count(name) > 1})
    if unknown:
        there_are = ", ".join(known) or "none"
        raise InvalidArguments(f"the job has no parameter {', '.join(unknown[:5])}; it has {there_are}")
    if twice:
        raise InvalidArguments(f"{', '.join(twice)} is given twice")


def _describe_default(definition: ParameterDefinition) -> str:
    if definition.is_secret:
        return "its default, which is hidden"
    return "no file" if definition.is_file else f"its default {definition.default!r}"
