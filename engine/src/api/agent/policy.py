"""Evaluate the policy for a call. Pure: the caller supplies the facts, and unknown ones are marked as unknown.

Evaluation is conservative. An `allow` rule matches only if every fact that it names is known and matches for every
object. Other rules match if one object may be affected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from unicodedata import normalize
from zoneinfo import ZoneInfo

from src.api.agent.policy_facts import Target, expand_kinds
from src.api.schemas.policy import CLASS_VERBS, ActivePolicy, Rule, RuleDecision, TimeWindow

__all__ = ["PolicyDecision", "PolicyQuery", "Requester", "SkippedRule", "applies_to", "decide"]

_READING = frozenset({"get", "logs"})
_UNREADABLE = "The policy can't be read at the moment, so everything is asked for. GET /policy says why."


class Match(Enum):
    YES = "matches"
    NO = "does not match"
    UNKNOWN = "can't be known"


@dataclass(frozen=True, slots=True)
class Requester:
    """The user who requests a call. None means unknown. `proven` names are those that users can't give themselves."""

    role: str | None = None
    names: tuple[str, ...] | None = None
    proven: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PolicyQuery:
    """A call as the policy sees it. `effect` is read, change or destructive; `verb` is more specific, None if unknown.

    `targets` None means that the objects are unknown; an empty tuple, that there are none. `at` is in ms.
    """

    requester: Requester
    server: str
    tool: str
    effect: str
    verb: str | None
    targets: tuple[Target, ...] | None
    at: int


@dataclass(frozen=True, slots=True)
class SkippedRule:
    """A rule that did not match, and the matcher that failed."""

    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """The decision and its rule. `guessed` is the matcher that matched only because a fact is unknown."""

    decision: RuleDecision
    rule: str
    reason: str | None
    guessed: str | None = None
    passed: tuple[SkippedRule, ...] = ()

    @property
    def votes(self) -> int:
        """Number of approvals needed if people decide."""
        return 2 if self.decision == "two_people" else 1

    @property
    def sentence(self) -> str:
        """The reason, for people and the model."""
        hint = f" ({self.guessed} can't be told; name it in full.)" if self.guessed else ""
        return f"By the rule {self.rule} of the policy{f': {self.reason}' if self.reason else '.'}{hint}"

    @property
    def decider(self) -> str:
        return f"policy:{self.rule}"


def decide(policy: ActivePolicy, query: PolicyQuery) -> PolicyDecision:
    """Return the decision of the first matching rule. While the file has a problem, `allow` becomes `ask`."""
    passed: list[SkippedRule] = []
    for rule in policy.document.ordered:
        failed, guessed = _match_rule(rule, query)
        if failed is not None:
            passed.append(SkippedRule(rule.name, failed))
        elif policy.problem is not None and rule.decision == "allow":
            return PolicyDecision("ask", rule.name, _UNREADABLE, None, tuple(passed))
        else:
            return PolicyDecision(rule.decision, rule.name, rule.reason, guessed, tuple(passed))
    return PolicyDecision("ask", "none", "No rule matches.", None, tuple(passed))


def applies_to(roles: Sequence[str] | None, users: Sequence[str] | None, requester: Requester) -> bool:
    """Return whether a budget's matchers match this user. A role or names that are unknown match none."""
    if roles is not None and requester.role not in roles:
        return False
    return users is None or _match_names(users, requester.names) is Match.YES


def _match_rule(rule: Rule, query: PolicyQuery) -> tuple[str | None, str | None]:
    """Return the matcher that fails, or None, and the first matcher that was only guessed, or None."""
    guessed: str | None = None
    for name, found in _match_call(rule, query):
        if found is Match.NO or (found is Match.UNKNOWN and rule.decision == "allow"):
            return f"{name} {found.value}", None
        if found is Match.UNKNOWN:
            guessed = guessed or name
    failed, unsure = _match_objects(rule, query)
    return failed, guessed or unsure


def _match_call(rule: Rule, query: PolicyQuery) -> list[tuple[str, Match]]:
    names = query.requester.proven if rule.decision == "allow" else query.requester.names
    given: list[tuple[str, object, Callable[[], Match]]] = [
        ("roles", rule.roles, lambda: _match_values(rule.roles or (), _as_tuple(query.requester.role))),
        ("users", rule.users, lambda: _match_names(rule.users or (), names)),
        ("servers", rule.servers, lambda: _match_values(rule.servers or (), (query.server,))),
        ("tools", rule.tools, lambda: _match_values(rule.tools or (), (query.tool,))),
        ("verbs", rule.verbs, lambda: _match_verb(rule.verbs or (), query)),
        ("time", rule.time, lambda: _match_time(rule.time, query.at)),
    ]
    return [(name, match()) for name, wanted, match in given if wanted is not None]


def _match_objects(rule: Rule, query: PolicyQuery) -> tuple[str | None, str | None]:
    if rule.kinds is None and rule.namespaces is None and rule.clusters is None:
        return None, None
    targets = (Target(),) if query.targets is None else query.targets
    results = [_match_object(rule, target) for target in targets]
    if not results:
        return "it is about no object", None
    if rule.decision == "allow":
        return next(
            ((f"{name} {found.value}", None) for name, found in results if found is not Match.YES), (None, None)
        )
    may = [(name, found) for name, found in results if found is not Match.NO]
    if not may:
        return f"{results[0][0]} {Match.NO.value}", None
    sure = any(found is Match.YES for _, found in may)
    return None, None if sure else may[0][0]


def _match_object(rule: Rule, target: Target) -> tuple[str, Match]:
    """Return the worst result among the object matchers, with the matcher's name."""
    given = [
        ("kinds", rule.kinds and expand_kinds(rule.kinds), _as_tuple(target.kind)),
        ("namespaces", rule.namespaces, target.namespaces),
        ("clusters", rule.clusters, _as_tuple(target.cluster)),
    ]
    found = [(name, _match_values(patterns, values)) for name, patterns, values in given if patterns is not None]
    for worst in (Match.NO, Match.UNKNOWN):
        for name, match in found:
            if match is worst:
                return name, match
    return found[0][0], Match.YES


def _as_tuple(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else (value,)


def _match_values(patterns: Sequence[str], values: Sequence[str] | None) -> Match:
    """Match one of several possible values: YES if all of them match, NO if none does."""
    if values is None:
        return Match.UNKNOWN
    fits = [any(_is_like(pattern, value) for pattern in patterns) for value in values]
    if not any(fits):
        return Match.NO
    return Match.YES if all(fits) else Match.UNKNOWN


def _match_names(patterns: Sequence[str], names: Sequence[str] | None) -> Match:
    """Match a user who has several names: YES if one of them matches."""
    if names is None:
        return Match.UNKNOWN
    return Match.YES if any(_match_values(patterns, (name,)) is Match.YES for name in names) else Match.NO


def _is_like(pattern: str, value: str) -> bool:
    """Match a glob, ignoring case. The empty namespace of cluster-wide objects matches only the empty pattern."""
    return pattern == "" if value == "" else fnmatchcase(_normalized(value), _normalized(pattern))


def _normalized(text: str) -> str:
    """Normalize text so that strings that look alike are equal."""
    return normalize("NFC", text.casefold())


def _match_verb(wanted: Sequence[str], query: PolicyQuery) -> Match:
    classes = {"read": {"read"}, "change": {"change"}, "destructive": {"change", "destructive"}}
    own = classes.get(query.effect, {"change", "destructive"})
    if own & set(wanted) or query.verb in wanted:
        return Match.YES
    special = set(wanted) - CLASS_VERBS
    possible = special & _READING if query.effect == "read" else special - _READING
    return Match.UNKNOWN if query.verb is None and possible else Match.NO


def _match_time(window: TimeWindow | None, at: int) -> Match:
    if window is None:
        return Match.YES
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(window.timezone))
    days = frozenset(window.weekdays) if window.weekdays else None
    spans = window.hours or ("00:00-24:00",)
    return Match.YES if any(_in_span(local, span, days) for span in spans) else Match.NO


def _in_span(local: datetime, span: str, days: frozenset[str] | None) -> bool:
    begin, _, end = span.partition("-")
    now = local.strftime("%H:%M")
    if begin < end:
        return begin <= now < end and _is_on_day(local, days)
    return (now >= begin and _is_on_day(local, days)) or (now < end and _is_on_day(local - timedelta(days=1), days))


def _is_on_day(day: datetime, days: frozenset[str] | None) -> bool:
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return days is None or names[day.weekday()] in days
