"""The policy as a document: ordered rules, of which the first that matches decides; and the bodies of its routes."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from src.api.schemas.base import JsonObject

__all__ = [
    "CLASS_VERBS",
    "DEFAULT_RULES",
    "Decision",
    "ExplainRequest",
    "Explanation",
    "PassedRule",
    "PolicyDocument",
    "PolicyInForce",
    "PolicyView",
    "Rule",
    "TimeWindow",
    "Verb",
]

Decision = Literal["allow", "ask", "two_people", "deny"]
Role = Literal["viewer", "member", "approver", "admin"]
Verb = Literal["read", "change", "destructive", "get", "logs", "apply", "patch", "scale", "restart", "delete"]
CLASS_VERBS = frozenset({"read", "change", "destructive"})
"""Verbs that are known of every call; the others only of tools of ours."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[str, Field(max_length=253)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1, max_length=200)]
"""A name or a glob (`*`, `?`, `[abc]`), or a list of them of which one must match. Case does not count."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: object) -> object:
        """A matcher whose list a template left empty must not match everything."""
        empty = [str(name) for name, value in given.items() if value is None] if isinstance(given, dict) else []
        if empty:
            raise ValueError(f"{empty[0]} stands there without a value; give it one or leave it out")
        return given


class TimeWindow(_Strict):
    """When a rule holds: on these days, in these hours, by the clocks of a named time zone.

    Hours over midnight (`22:00-06:00`) belong to the day on which they begin.
    """

    timezone: str = Field(max_length=100)
    weekdays: Annotated[tuple[Weekday, ...], BeforeValidator(_listed), Field(min_length=1, max_length=7)] | None = None
    hours: Patterns | None = None

    @field_validator("timezone")
    @classmethod
    def _named(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value} is not a time zone such as Europe/Berlin or UTC") from error
        return value

    @field_validator("hours")
    @classmethod
    def _spans(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in value or ():
            begin, _, end = one.partition("-")
            if not _HOURS.fullmatch(one) or begin == end:
                raise ValueError(f"{one} is not a span of hours such as 09:00-17:30")
        return value

    @model_validator(mode="after")
    def _says_when(self) -> "TimeWindow":
        if self.weekdays is None and self.hours is None:
            raise ValueError("name weekdays, hours, or both")
        return self


class Rule(_Strict):
    """What is decided where every matcher that is given matches. `reason` is for the people and the model told of it.

    The matchers of objects (`kinds`, `namespaces`, `clusters`) must match together on one object.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    decision: Decision
    reason: str | None = Field(default=None, min_length=1, max_length=500)
    roles: Annotated[tuple[Role, ...], BeforeValidator(_listed), Field(min_length=1, max_length=4)] | None = None
    users: Patterns | None = None
    servers: Patterns | None = None
    tools: Patterns | None = None
    verbs: Annotated[tuple[Verb, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)] | None = None
    kinds: Patterns | None = None
    namespaces: Patterns | None = None
    clusters: Patterns | None = None
    time: TimeWindow | None = None

    @field_validator("kinds")
    @classmethod
    def _as_in_a_manifest(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in value or ():
            if not one or set(one) & set("/. "):
                raise ValueError(f"write {one!r} as the kind of a manifest, such as Deployment")
        return value


DEFAULT_RULES = (
    Rule(name="default-reads", decision="allow", verbs=("read",)),
    Rule(name="default-changes", decision="ask"),
)
"""Where no rule of a file matches, or there is none: reads of trusted servers run, all else is asked for."""


class PolicyDocument(_Strict):
    """`policy.yaml`. `requester_may_destroy`: whether whoever asked for something destructive may approve it alone
    although somebody else could."""

    rules: tuple[Rule, ...] = Field(default=(), max_length=200)
    requester_may_destroy: bool = Field(default=False, strict=True)

    @field_validator("rules")
    @classmethod
    def _each_by_its_name(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in (*value, *DEFAULT_RULES)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]}; a decision is recorded by its rule's name")
        return value

    @property
    def ordered(self) -> tuple[Rule, ...]:
        """As they are tried: the file's, then those that stand for what it leaves open."""
        return (*self.rules, *DEFAULT_RULES)


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The last policy that could be read, and where it is from; `loaded_at` in ms, None for the default.

    `problem`: why what is there now can't be used. While there is one, nothing is allowed without being asked for.
    """

    document: PolicyDocument = field(default_factory=PolicyDocument)
    source: str = "default"
    loaded_at: int | None = None
    problem: str | None = None


class PolicyView(BaseModel):
    """The policy in force. `rules` are tried in this order; `problem` is why the file as it is now is not used."""

    source: str
    loaded_at: int | None
    problem: str | None
    requester_may_destroy: bool
    rules: list[Rule]


class ExplainRequest(BaseModel):
    """A call that may be made: by the caller, or, for an admin who asks, by `user` (an e-mail); now, or `at` (ms)."""

    model_config = ConfigDict(extra="forbid")
    tool: str = Field(min_length=1, max_length=200)
    args: JsonObject = Field(default_factory=dict)
    user: str | None = Field(default=None, max_length=320)
    at: int | None = Field(default=None, ge=0, le=253_402_300_799_000)


class PassedRule(BaseModel):
    """A rule that did not match, and why."""

    rule: str
    because: str


class Explanation(BaseModel):
    """What the policy says. `guessed`: what could not be known of the call, so that the careful side was taken.

    What a change touches is known for sure from its preview alone; here it is what the arguments say.
    """

    decision: Decision
    rule: str
    reason: str | None
    guessed: str | None
    votes_needed: int
    passed: list[PassedRule]
