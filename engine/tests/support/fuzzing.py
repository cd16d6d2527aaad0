"""Generate requests from an OpenAPI document, send them to a running engine, and check the responses against it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig

from tests.support.waiting import PATIENCE

__all__ = ["Campaign"]

EXAMPLES_PER_OPERATION = 3

CONFIG: dict[str, Any] = {
    "seed": 1,
    "generation": {"with-security-parameters": False, "database": "none"},
    "checks": {
        "positive_data_acceptance": {
            "enabled": False
        },  # our own check below distinguishes invalid shapes from invalid values
        "negative_data_rejection": {"expected-statuses": ["4xx"]},
        "ignored_auth": {"enabled": False},  # each request is also sent without a token
        "use_after_free": {"enabled": False},
        "ensure_resource_availability": {"enabled": False},
    },
}


# Leave out addresses that the format "email" allows but no mail server accepts. Names are one visible line.
schemathesis.openapi.format("display-name", strategies.from_regex(r"[a-z][a-z ]{1,30}[a-z]", fullmatch=True))
schemathesis.openapi.format("email", strategies.from_regex(r"[a-z]{1,12}@[a-z]{3,12}\.(com|org)", fullmatch=True))


@dataclass
class Campaign:
    """One fuzzing run. `people` maps names to headers, `known` maps path parameters to existing ids.

    For each operation and kind (valid, and invalid by schema) `examples` requests are generated. They are the same
    in each run unless `differing`.
    """

    document: dict[str, Any]
    address: str
    people: Mapping[str, Mapping[str, str]]
    known: Mapping[str, str]
    examples: int = EXAMPLES_PER_OPERATION
    differing: bool = False
    sent: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._schema = schemathesis.openapi.from_dict(self.document, config=SchemathesisConfig.from_dict(CONFIG))

    def run(self, method: str, path: str) -> None:
        """Fuzz one operation. Raises with the request and the failed check when a response is not declared."""
        operation = self._schema[path][method]
        with requests.Session() as session:
            for strategy in self._strategies(operation):
                self._each(strategy, session)

    def _strategies(self, operation: Any) -> Iterator[Any]:
        here = {one: self.known[one] for one in _path_names(operation) if one in self.known}
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and not _has_constraints(operation):
                continue
            yield operation.as_strategy(generation_mode=mode)
            if here and (mode is GenerationMode.POSITIVE or operation.body):
                yield operation.as_strategy(generation_mode=mode, path_parameters=here)

    def _each(self, strategy: Any, session: requests.Session) -> None:
        @hypothesis.settings(
            max_examples=self.examples,
            derandomize=not self.differing,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(strategy)
        def ask(case: Any) -> None:
            for name, headers in self.people.items():
                self._ask(case, session, dict(headers))
                self.sent[name] = self.sent.get(name, 0) + 1

        ask()

    def _ask(self, case: Any, session: requests.Session, headers: dict[str, str]) -> None:
        checks = [check_declared_shape_is_accepted]
        case.call_and_validate(self.address, session, headers=headers, timeout=PATIENCE, additional_checks=checks)


def check_declared_shape_is_accepted(_: object, response: Any, case: Case[Any]) -> None:
    """Check that a request with a declared shape is rejected only for its values, never for its shape."""
    shaped = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if shaped and response.status_code == 422 and response.json()["code"] == "invalid_request":
        raise AssertionError(f"The document allows what is refused: {response.json()['detail']}")


def _path_names(operation: Any) -> list[str]:
    return [parameter.name for parameter in operation.path_parameters]


def _has_constraints(operation: Any) -> bool:
    """Return whether the document constrains the request in any way that a test could violate."""
    parts = chain(operation.path_parameters, operation.query, operation.headers, operation.cookies, operation.body)
    return any(True for _ in parts)
