"""Test the policy's decisions, and that unknown facts never make a decision more permissive."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_tools.tools import CHANGES, READS
from src.api.agent.policy import PolicyDecision, PolicyQuery, Requester, decide
from src.api.agent.policy_facts import (
    OWN_TOOLS,
    Target,
    targets_in_arguments,
    targets_of_objects,
    verb_of,
)
from src.api.schemas.policy import ActivePolicy, PolicyDocument

pytestmark = pytest.mark.promise("policy")

ANA = Requester("member", ("id-1", "ana@example.com", "Ana"), ("id-1", "ana@example.com"))
SCALE = PolicyQuery(ANA, "skyflo", "k8s_scale", "change", "scale", (Target("dev", "Deployment", ("web",)),), 0)
READ = replace(SCALE, tool="k8s_get", effect="read", verb="get")
DELETE = replace(SCALE, tool="k8s_delete", effect="destructive", verb="delete")
FOREIGN = replace(SCALE, server="ci", tool="deploy", verb=None, targets=None)


def policy(*rules: dict[str, Any], problem: str | None = None) -> ActivePolicy:
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)]
    return ActivePolicy(PolicyDocument.model_validate({"rules": named}), problem=problem)


def ruled(asked: PolicyQuery, decision: str, **matchers: Any) -> bool:
    """Return whether this one rule decides."""
    return decide(policy({"decision": decision, **matchers}), asked).rule == "rule-0"


def test_default_policy_runs_reads_and_asks_for_changes() -> None:
    assert decide(ActivePolicy(), READ).decision == "allow"
    assert decide(ActivePolicy(), SCALE).decision == "ask"
    assert decide(ActivePolicy(), FOREIGN).decision == "ask"


HERE = {"clusters": "dev", "kinds": "deployment", "namespaces": ["web", "shop-*"]}
TABLE: list[tuple[PolicyQuery, dict[str, Any], bool, bool]] = [
    # query, matchers, whether an allow rule matches, whether a deny rule does
    (SCALE, {}, True, True),
    (SCALE, HERE, True, True),
    (SCALE, {"clusters": "prod"}, False, False),
    (SCALE, {"verbs": "change"}, True, True),
    (SCALE, {"verbs": ["delete", "scale"]}, True, True),
    (SCALE, {"verbs": "destructive"}, False, False),
    (SCALE, {"verbs": "read"}, False, False),
    (DELETE, {"verbs": "change"}, True, True),
    (DELETE, {"verbs": "destructive"}, True, True),
    (READ, {"verbs": "get"}, True, True),
    (READ, {"verbs": "delete"}, False, False),
    (FOREIGN, {"verbs": "delete"}, False, True),
    (FOREIGN, {"verbs": "get"}, False, False),
    (FOREIGN, {"servers": "ci", "tools": "dep*"}, True, True),
    (FOREIGN, HERE, False, True),
    (replace(FOREIGN, effect="read"), {"verbs": "delete"}, False, False),
    (replace(FOREIGN, effect="read"), {"verbs": "logs"}, False, True),
    (SCALE, {"roles": ["member", "admin"]}, True, True),
    (SCALE, {"roles": "admin"}, False, False),
    (SCALE, {"users": "ANA@example.com"}, True, True),
    (SCALE, {"users": "id-1"}, True, True),
    (SCALE, {"users": "Ana"}, False, True),
    (SCALE, {"users": "ben@*"}, False, False),
    (replace(SCALE, requester=Requester()), {"roles": "admin"}, False, True),
    (replace(SCALE, requester=Requester()), {"users": "*"}, False, True),
    (replace(SCALE, targets=()), {"kinds": "*"}, False, False),
    (replace(SCALE, targets=(*(SCALE.targets or ()), Target("prod", "Node", ("",)))), HERE, False, True),
    (replace(SCALE, targets=(Target("dev", "Secret", ("a",)), Target("dev", "Pod", ("b",)))),
     {"kinds": "Secret", "namespaces": "b"}, False, False),
    (replace(SCALE, targets=(Target("dev", "Node", ("",)),)), {"namespaces": "*"}, False, False),
    (replace(SCALE, targets=(Target("dev", "Node", ("",)),)), {"namespaces": ""}, True, True),
    (replace(SCALE, targets=(Target("dev", "Namespace", ("", "prod")),)), {"namespaces": "prod"}, False, True),
    (replace(SCALE, targets=(Target(None, "Pod", ("web",)),)), {"clusters": "*"}, False, True),
    (SCALE, {"kinds": "deploy"}, True, True),
    (SCALE, {"kinds": "DEPLOYMENTS"}, True, True),
    (SCALE, {"kinds": "po"}, False, False),
    (SCALE, {"namespaces": "WEB"}, True, True),
    (SCALE, {"namespaces": ["we", "eb", "w?", "[w]"]}, False, False),
    (SCALE, {"namespaces": "[!a-v]eb"}, True, True),
    (SCALE, {"namespaces": "we[b"}, False, False),
    (SCALE, {"clusters": ""}, False, False),
    (replace(SCALE, targets=(Target("pro\u0301d", "Deployment", ("web",)),)), {"clusters": "PR\u00d3D"}, True, True),
    (replace(FOREIGN, tool="STRASSE"), {"tools": "stra\u00dfe"}, True, True),
    (replace(FOREIGN, tool="a\nb"), {"tools": "a*b"}, True, True),
    (replace(FOREIGN, tool="\uff44eploy"), {"tools": "deploy"}, False, False),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "matchers", "allows", "denies"), TABLE)
def test_rule_matchers(asked: PolicyQuery, matchers: dict[str, Any], allows: bool, denies: bool) -> None:
    assert ruled(asked, "allow", **matchers) is allows
    for decision in ("deny", "ask", "two_people"):
        assert ruled(asked, decision, **matchers) is denies


def test_first_matching_rule_decides_and_others_explain() -> None:
    rules = [
        {"decision": "deny", "namespaces": "prod"},
        {"decision": "two_people", "verbs": "scale", "reason": "be careful"},
        {"decision": "allow"},
    ]
    ruling = decide(policy(*rules), SCALE)
    assert (ruling.decision, ruling.rule, ruling.votes) == ("two_people", "rule-1", 2)
    assert [(each.rule, each.because) for each in ruling.passed] == [("rule-0", "namespaces does not match")]
    assert "be careful" in ruling.sentence


def test_uncertain_match_names_the_missing_argument() -> None:
    ruling = decide(policy({"decision": "deny", "clusters": "prod"}), replace(READ, targets=(Target(kind="Pod"),)))
    assert (ruling.decision, ruling.guessed) == ("deny", "clusters")
    assert "name it in full" in ruling.sentence


BERLIN = {"timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("at", "window", "holds"),
    [
        ("2026-11-20 09:00", {"weekdays": ["fri"], "hours": "09:00-17:00"}, True),
        ("2026-11-20 08:59", {"weekdays": ["fri"], "hours": "09:00-17:00"}, False),
        ("2026-11-20 17:00", {"weekdays": ["fri"], "hours": "09:00-17:00"}, False),
        ("2026-11-21 10:00", {"weekdays": ["fri"], "hours": "09:00-17:00"}, False),
        ("2026-11-20 23:00", {"weekdays": ["fri"], "hours": "22:00-06:00"}, True),
        ("2026-11-21 05:59", {"weekdays": ["fri"], "hours": "22:00-06:00"}, True),
        ("2026-11-20 05:59", {"weekdays": ["fri"], "hours": "22:00-06:00"}, False),
        ("2026-11-20 23:59", {"hours": ["00:00-01:00", "23:00-24:00"]}, True),
        ("2026-07-03 09:30", {"hours": "09:00-10:00"}, True),
        ("2026-11-22 12:00", {"weekdays": ["sat", "sun"]}, True),
        ("2026-11-23 00:00", {"weekdays": ["sun"], "hours": "22:00-24:00"}, False),
        ("2026-11-23 00:00", {"weekdays": ["sun"], "hours": "22:00-00:00"}, False),
        ("2026-11-22 23:59", {"weekdays": ["sun"], "hours": "22:00-00:00"}, True),
        ("2026-03-29 03:30", {"hours": "01:30-04:00"}, True),
        ("2026-03-29 01:59", {"hours": "02:00-03:00"}, False),
        ("2026-03-29 03:00", {"hours": "02:00-03:00"}, False),
        ("2026-10-25 02:30", {"weekdays": ["sun"], "hours": "02:00-03:00"}, True),
        ("2026-10-25 03:00", {"weekdays": ["sun"], "hours": "02:00-03:00"}, False),
        ("2026-03-30 00:30", {"weekdays": ["sun"], "hours": "23:00-01:00"}, True),
    ],
)
def test_time_windows_use_the_local_time_of_their_zone(at: str, window: dict[str, Any], holds: bool) -> None:
    moment = datetime.strptime(at, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    asked = replace(SCALE, at=int(moment.timestamp() * 1000))
    assert ruled(asked, "allow", time={**BERLIN, **window}) is holds


def test_repeated_hour_at_a_clock_change_matches_both_times() -> None:
    first = int(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
    for at, holds in ((first, True), (first + 3_600_000, True), (first + 7_200_000, False)):
        window = {**BERLIN, "hours": "02:00-03:00"}
        assert ruled(replace(SCALE, at=at), "deny", time=window) is holds


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(("asked", "rule", "decision"), [
    (READ, {"decision": "allow"}, "ask"),
    (SCALE, {"decision": "allow"}, "ask"),
    (SCALE, {"decision": "deny"}, "deny"),
    (SCALE, {"decision": "two_people"}, "two_people"),
    (READ, {"decision": "deny", "verbs": "delete"}, "ask"),
])  # fmt: skip
def test_unreadable_policy_file_allows_nothing(asked: PolicyQuery, rule: dict[str, Any], decision: str) -> None:
    assert decide(policy(rule, problem="it is not YAML"), asked).decision == decision


STRICT = {"allow": 0, "ask": 1, "two_people": 1, "deny": 1}
names = st.sampled_from(["a", "b", "prod"])
patterns = st.lists(st.sampled_from(["a", "b*", "prod", "*"]), min_size=1, max_size=2)
targets = st.builds(Target, names | st.none(), names | st.none(), st.none() | st.tuples(names))
rules = st.fixed_dictionaries(
    {"decision": st.sampled_from(["allow", "ask", "two_people", "deny"])},
    optional={"kinds": patterns, "namespaces": patterns, "clusters": patterns, "users": patterns},
)


@pytest.mark.promise("fail-closed")
@given(st.lists(targets, min_size=1, max_size=3), rules, st.integers(0, 4), st.integers(0, 2))
def test_missing_facts_never_allow_more(known: list[Target], rule: dict[str, Any], blind: int, which: int) -> None:
    """A rule that allows a call without a fact also allows it with that fact."""
    field = ("cluster", "kind", "namespaces", None, None)[blind]
    less = [replace(each, **{field: None}) if field and at == which else each for at, each in enumerate(known)]
    asked = replace(SCALE, targets=tuple(less) if blind < 4 else None)
    force = policy(rule)
    loose, sure = decide(force, asked), decide(force, replace(SCALE, targets=tuple(known)))
    if loose.decision == "allow":
        assert sure.decision == "allow"
    if sure.rule == "rule-0" and sure.decision != "allow":
        assert _strict(loose, sure)


def _strict(loose: PolicyDecision, sure: PolicyDecision) -> bool:
    return (loose.rule, loose.decision) == (sure.rule, sure.decision)


KINDS = ("Deployment", "Namespace", "Node", "Secret", "apps/v1/Deployment", "argoproj.io/v1alpha1/Rollout")
words = st.sampled_from(["a", "b", "prod", "dev-1"])


@given(
    st.lists(rules, max_size=4),
    st.sampled_from(["k8s_scale", "k8s_patch", "k8s_rollout_restart", "k8s_delete"]),
    st.fixed_dictionaries({"kind": st.sampled_from(KINDS), "name": words, "namespace": words, "cluster": words}),
)
def test_explanation_matches_the_decision(given_rules: list[dict[str, Any]], tool: str, args: dict[str, Any]) -> None:
    """The call names its object completely, in the same way as its preview."""
    kind = args["kind"].rpartition("/")[2]
    scoped = kind not in ("Namespace", "Node")
    named = f"{args['cluster']}/v1/{kind}/{args['namespace'] if scoped else ''}/{args['name']}"
    explained = decide(policy(*given_rules), replace(SCALE, targets=targets_in_arguments("skyflo", tool, args)))
    happens = decide(policy(*given_rules), replace(SCALE, targets=targets_of_objects([named])))
    if explained.guessed is None and happens.guessed is None and "Rollout" not in kind:
        assert (explained.decision, explained.rule) == (happens.decision, happens.rule)
    if explained.decision == "allow":
        assert happens.decision == "allow"


@pytest.mark.parametrize(
    ("args", "kind", "namespaces"),
    [
        ({"kind": "po", "namespace": "web"}, "Pod", ("web",)),
        ({"kind": "Secrets", "namespace": "web"}, "Secret", ("web",)),
        ({"kind": "v1/secrets", "namespace": "web"}, "Secret", ("web",)),
        ({"kind": "networkpolicies.networking.k8s.io", "namespace": "web"}, "NetworkPolicy", ("web",)),
        ({"kind": "ingresses.v1.networking.k8s.io"}, "Ingress", None),
        ({"kind": "pods", "namespace": "web", "all_namespaces": True}, "Pod", None),
        ({"kind": "nodes"}, "Node", ("",)),
        ({"kind": "ns", "name": "prod"}, "Namespace", ("", "prod")),
        ({"kind": "ns"}, "Namespace", None),
        ({"kind": "certificates", "namespace": "web"}, None, ("", "web")),
        ({"kind": "cert-manager.io/v1/Certificate", "namespace": "web"}, "Certificate", ("", "web")),
        ({"kind": "cert-manager.io/v1/Certificates"}, None, None),
        ({"kind": "secrets.example.org", "namespace": "web"}, None, ("", "web")),
        ({}, None, None),
        ({"kind": 7, "namespace": ["web"]}, None, None),
    ],
)  # fmt: skip
def test_read_targets_are_extracted(args: dict[str, Any], kind: str | None, namespaces: tuple[str, ...] | None) -> None:
    assert targets_in_arguments("skyflo", "k8s_get", args) == (Target(None, kind, namespaces),)


def test_targets_are_known_only_for_own_tools() -> None:
    assert targets_in_arguments("ci", "k8s_get", {"kind": "pods"}) is None
    assert targets_in_arguments("skyflo", "k8s_new", {"kind": "pods"}) is None
    assert verb_of("ci", "k8s_delete") is None
    assert targets_in_arguments("skyflo", "k8s_list_clusters", {}) == ()
    anywhere = {"manifests": "kind: Pod", "namespace": "web"}
    assert targets_in_arguments("skyflo", "k8s_apply", anywhere) == (Target(),), "each manifest names its own"
    assert targets_in_arguments("skyflo", "k8s_logs", {"namespace": "web"}) == (Target(None, "Pod", ("web",)),)
    assert targets_in_arguments("skyflo", "helm_status", {"namespace": "web"}) == (Target(None, "Secret", ("web",)),)


def test_preview_objects_are_parsed() -> None:
    stored = ["arn:aws:eks:eu:1:cluster%2Fprod/apps%2Fv1/Deployment/web/api", "dev/v1/Namespace//prod", "a thing"]
    assert targets_of_objects(stored) == (
        Target("arn:aws:eks:eu:1:cluster/prod", "Deployment", ("web",)),
        Target("dev", "Namespace", ("", "prod")),
        Target(),
    )
    assert targets_of_objects([]) is None


def test_every_own_tool_has_targets() -> None:
    assert {tool.info.name for tool in (*READS, *CHANGES)} == set(OWN_TOOLS)
