"""The policy document: ordered rules, of which the first match decides. Also the bodies of the policy endpoints."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from src.api.schemas.base import JsonObject

__all__ = [
    "BY_POLICY",
    "CLASS_VERBS",
    "DEFAULT_RULES",
    "ActivePolicy",
    "BudgetRule",
    "ExplainRequest",
    "Explanation",
    "PassedRule",
    "PolicyDocument",
    "PolicyView",
    "Rule",
    "RuleDecision",
    "TimeWindow",
    "Verb",
]

RuleDecision = Literal["allow", "ask", "two_people", "deny"]
Role = Literal["viewer", "member", "approver", "admin"]
Verb = Literal[
    "read",
    "change",
    "destructive",
    "get",
    "logs",
    "apply",
    "create",
    "patch",
    "scale",
    "restart",
    "delete",
    "drain",
    "exec",
]
BY_POLICY = "policy:"
"""Prefix of `decided_by` if a policy rule decided."""

CLASS_VERBS = frozenset({"read", "change", "destructive"})
"""Verbs that apply to every call. The others are known only for our own tools."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_RULE_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[str, Field(max_length=253)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(min_length=1, max_length=200)]
"""A name or a glob (`*`, `?`, `[abc]`), or a list of them, one of which must match. Case is ignored."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: object) -> object:
        """Reject null values: a matcher that a template left empty must not match everything."""
        empty = [str(name) for name, value in given.items() if value is None] if isinstance(given, dict) else []
        if empty:
            raise ValueError(f"{empty[0]} stands there without a value; give it one or leave it out")
        return given


class TimeWindow(_Strict):
    """When a rule applies: weekdays and hours in a named time zone.

    Hours across midnight (`22:00-06:00`) belong to the day on which they begin.
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
    """A rule applies if all its matchers match. `reason` is shown to people and the model.

    The object matchers (`kinds`, `namespaces`, `clusters`) must match together on one object.
    """

    name: str = Field(pattern=_RULE_NAME)
    decision: RuleDecision
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


class BudgetRule(_Strict):
    """Budgets of the people that its matchers name, in place of those of the settings. Days are in UTC.

    The first rule that matches a person applies; what it leaves out stays as in the settings.
    """

    name: str = Field(pattern=_RULE_NAME)
    roles: Annotated[tuple[Role, ...], BeforeValidator(_listed), Field(min_length=1, max_length=4)] | None = None
    users: Patterns | None = None
    run_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000_000, strict=True)
    run_usd: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)
    person_day_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000_000, strict=True)
    person_day_usd: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)

    @model_validator(mode="after")
    def _limits_tokens_beside_money(self) -> "BudgetRule":
        values = {"run": (self.run_usd, self.run_tokens), "person_day": (self.person_day_usd, self.person_day_tokens)}
        for scope, (usd, tokens) in values.items():
            if usd is not None and tokens is None:
                raise ValueError(
                    f"{scope}_usd does not hold for a model without a known price; give {scope}_tokens too"
                )
        if all(value is None for pair in values.values() for value in pair):
            raise ValueError("it limits nothing; give run_tokens or person_day_tokens")
        return self


DEFAULT_RULES = (
    Rule(name="default-reads", decision="allow", verbs=("read",)),
    Rule(name="default-changes", decision="ask"),
)
"""Apply if no rule of the file matches: reads of trusted servers run, everything else needs approval."""


class PolicyDocument(_Strict):
    """The content of `policy.yaml`.

    `requester_may_destroy` lets users approve their own destructive changes although others could approve them.
    """

    rules: tuple[Rule, ...] = Field(default=(), max_length=200)
    requester_may_destroy: bool = Field(default=False, strict=True)
    budgets: tuple[BudgetRule, ...] = Field(default=(), max_length=50)

    @field_validator("rules")
    @classmethod
    def _each_by_its_name(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in (*value, *DEFAULT_RULES)]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"two rules are called {twice[0]}; a decision is recorded by its rule's name")
        return value

    @field_validator("budgets")
    @classmethod
    def _each_budget_by_its_name(cls, value: tuple[BudgetRule, ...]) -> tuple[BudgetRule, ...]:
        twice = sorted(name for name, count in Counter(rule.name for rule in value).items() if count > 1)
        if twice:
            raise ValueError(f"two budgets are called {twice[0]}; a limit is reported by its name")
        return value

    @property
    def ordered(self) -> tuple[Rule, ...]:
        """The rules in evaluation order: those of the file, then the defaults."""
        return (*self.rules, *DEFAULT_RULES)


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """The last valid policy and its source. `loaded_at` is in ms, None for the default policy.

    `problem` is why the current file can't be used. While it is set, nothing is allowed without approval.
    """

    document: PolicyDocument = field(default_factory=PolicyDocument)
    source: str = "default"
    loaded_at: int | None = None
    problem: str | None = None


class PolicyView(BaseModel):
    """The active policy. `rules` are in evaluation order; `problem` is why the current file is not used."""

    source: str
    loaded_at: int | None
    problem: str | None
    requester_may_destroy: bool
    rules: list[Rule]
    budgets: list[BudgetRule] = []


class ExplainRequest(BaseModel):
    """A hypothetical call by the caller or, if an admin asks, by `user` (an e-mail); now, or `at` (ms)."""

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
    """The policy's decision. `guessed` is a fact that was unknown, so the safer result was assumed.

    Only a preview knows exactly what a change touches; here the arguments decide.
    """

    decision: RuleDecision
    rule: str
    reason: str | None
    guessed: str | None
    votes_needed: int
    passed: list[PassedRule]
