"""What the policy says of a call. Pure: whoever asks brings the facts, and what is not known is said to be so.

It errs to the careful side. An `allow` matches only where all that it names is known and matches for every object; the
other decisions match where one object may be meant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from unicodedata import normalize
from zoneinfo import ZoneInfo

from src.api.agent.policy_facts import Target, kinds_named
from src.api.schemas.policy import CLASS_VERBS, Decision, PolicyInForce, Rule, TimeWindow

__all__ = ["Asked", "Passed", "Requester", "Ruling", "decide"]

_READING = frozenset({"get", "logs"})
_UNREADABLE = "The policy can't be read at the moment, so everything is asked for. GET /policy says why."


class Match(Enum):
    YES = "matches"
    NO = "does not match"
    UNKNOWN = "can't be known"


@dataclass(frozen=True, slots=True)
class Requester:
    """Whose wish it is. None: not known. `proven` names are those that nobody can give to themselves."""

    role: str | None = None
    names: tuple[str, ...] | None = None
    proven: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the policy sees it. `effect` is read, change or destructive; `verb` what is known beyond that.

    `targets` None: what it is about is not known. Empty: it is about no object. `at` is in ms.
    """

    requester: Requester
    server: str
    tool: str
    effect: str
    verb: str | None
    targets: tuple[Target, ...] | None
    at: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A rule that did not match, and the matcher that says so."""

    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision, and by which rule. `guessed`: the rule matched because something about the call is not known."""

    decision: Decision
    rule: str
    reason: str | None
    guessed: str | None = None
    passed: tuple[Passed, ...] = ()

    @property
    def votes(self) -> int:
        """How many people must say yes, where it is for people to decide."""
        return 2 if self.decision == "two_people" else 1

    @property
    def sentence(self) -> str:
        """Why, for people and for the model."""
        hint = f" ({self.guessed} can't be told; name it in full.)" if self.guessed else ""
        return f"By the rule {self.rule} of the policy{f': {self.reason}' if self.reason else '.'}{hint}"

    @property
    def decider(self) -> str:
        return f"policy:{self.rule}"


def decide(force: PolicyInForce, asked: Asked) -> Ruling:
    """The first rule that matches decides. While the file has a problem, what would be allowed is asked for."""
    passed: list[Passed] = []
    for rule in force.document.ordered:
        failed, guessed = _try(rule, asked)
        if failed is not None:
            passed.append(Passed(rule.name, failed))
        elif force.problem is not None and rule.decision == "allow":
            return Ruling("ask", rule.name, _UNREADABLE, None, tuple(passed))
        else:
            return Ruling(rule.decision, rule.name, rule.reason, guessed, tuple(passed))
    return Ruling("ask", "none", "No rule matches.", None, tuple(passed))


def _try(rule: Rule, asked: Asked) -> tuple[str | None, str | None]:
    """Which matcher keeps the rule from matching, or None; and which of them, if any, could only be guessed at."""
    guessed: str | None = None
    for name, found in _of_the_call(rule, asked):
        if found is Match.NO or (found is Match.UNKNOWN and rule.decision == "allow"):
            return f"{name} {found.value}", None
        if found is Match.UNKNOWN:
            guessed = guessed or name
    failed, unsure = _try_objects(rule, asked)
    return failed, guessed or unsure


def _of_the_call(rule: Rule, asked: Asked) -> list[tuple[str, Match]]:
    names = asked.requester.proven if rule.decision == "allow" else asked.requester.names
    given: list[tuple[str, object, Callable[[], Match]]] = [
        ("roles", rule.roles, lambda: _fit(rule.roles or (), _one(asked.requester.role))),
        ("users", rule.users, lambda: _any_fits(rule.users or (), names)),
        ("servers", rule.servers, lambda: _fit(rule.servers or (), (asked.server,))),
        ("tools", rule.tools, lambda: _fit(rule.tools or (), (asked.tool,))),
        ("verbs", rule.verbs, lambda: _verb(rule.verbs or (), asked)),
        ("time", rule.time, lambda: _within(rule.time, asked.at)),
    ]
    return [(name, match()) for name, wanted, match in given if wanted is not None]


def _try_objects(rule: Rule, asked: Asked) -> tuple[str | None, str | None]:
    if rule.kinds is None and rule.namespaces is None and rule.clusters is None:
        return None, None
    targets = (Target(),) if asked.targets is None else asked.targets
    tried = [_try_object(rule, target) for target in targets]
    if not tried:
        return "it is about no object", None
    if rule.decision == "allow":
        return next(((f"{name} {found.value}", None) for name, found in tried if found is not Match.YES), (None, None))
    may = [(name, found) for name, found in tried if found is not Match.NO]
    if not may:
        return f"{tried[0][0]} {Match.NO.value}", None
    sure = any(found is Match.YES for _, found in may)
    return None, None if sure else may[0][0]


def _try_object(rule: Rule, target: Target) -> tuple[str, Match]:
    """The worst of the matchers of objects, with its name."""
    given = [
        ("kinds", rule.kinds and kinds_named(rule.kinds), _one(target.kind)),
        ("namespaces", rule.namespaces, target.namespaces),
        ("clusters", rule.clusters, _one(target.cluster)),
    ]
    found = [(name, _fit(patterns, values)) for name, patterns, values in given if patterns is not None]
    for worst in (Match.NO, Match.UNKNOWN):
        for name, match in found:
            if match is worst:
                return name, match
    return found[0][0], Match.YES


def _one(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else (value,)


def _fit(patterns: Sequence[str], values: Sequence[str] | None) -> Match:
    """Whether what has one of these values matches, and each of them if it may be any."""
    if values is None:
        return Match.UNKNOWN
    fits = [any(_like(pattern, value) for pattern in patterns) for value in values]
    if not any(fits):
        return Match.NO
    return Match.YES if all(fits) else Match.UNKNOWN


def _any_fits(patterns: Sequence[str], names: Sequence[str] | None) -> Match:
    """Whether one of the names that somebody goes by matches."""
    if names is None:
        return Match.UNKNOWN
    return Match.YES if any(_fit(patterns, (name,)) is Match.YES for name in names) else Match.NO


def _like(pattern: str, value: str) -> bool:
    """Case does not count. Nothing, as the namespace of what has none, is matched by nothing alone."""
    return pattern == "" if value == "" else fnmatchcase(_plain(value), _plain(pattern))


def _plain(text: str) -> str:
    """The same for two texts that look the same."""
    return normalize("NFC", text.casefold())


def _verb(wanted: Sequence[str], asked: Asked) -> Match:
    classes = {"read": {"read"}, "change": {"change"}, "destructive": {"change", "destructive"}}
    own = classes.get(asked.effect, {"change", "destructive"})
    if own & set(wanted) or asked.verb in wanted:
        return Match.YES
    special = set(wanted) - CLASS_VERBS
    possible = special & _READING if asked.effect == "read" else special - _READING
    return Match.UNKNOWN if asked.verb is None and possible else Match.NO


def _within(window: TimeWindow | None, at: int) -> Match:
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
        return begin <= now < end and _on(local, days)
    return (now >= begin and _on(local, days)) or (now < end and _on(local - timedelta(days=1), days))


def _on(day: datetime, days: frozenset[str] | None) -> bool:
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return days is None or names[day.weekday()] in days
