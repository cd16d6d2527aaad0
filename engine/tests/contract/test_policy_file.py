"""`policy.yaml` on a disk: read, read again, and what is wrong with it said by rule and field."""

import logging
import os
from pathlib import Path

import pytest

from src.api.adapters.policy_file import MAX_BYTES, PolicyFile
from tests.support.clock import FakeClock
from tests.support.services import PROJECT

pytestmark = pytest.mark.promise("policy", "fail-closed")

GOOD = "rules: [{name: free, decision: allow}]"


def written(path: Path, text: str | bytes) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(text if isinstance(text, bytes) else text.encode())
    aside.replace(path)


async def problem_of(path: Path) -> str:
    found = (await PolicyFile(path, True, FakeClock()).current()).problem
    assert found is not None
    return found


async def test_no_file_is_the_default_unless_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    default = await PolicyFile(path, False, FakeClock()).current()
    assert (default.source, default.problem, default.loaded_at) == ("default", None, None)
    assert await problem_of(path) == "it is not there"


async def test_it_is_read_again_when_it_has_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "policy.yaml", FakeClock()
    policies = PolicyFile(path, False, clock)
    await policies.current()
    written(path, GOOD)
    first = await policies.current()
    assert ([rule.name for rule in first.document.rules], first.loaded_at) == (["free"], clock.now())
    assert await policies.current() is first
    path.write_text(GOOD.replace("free", "wide"))
    assert [rule.name for rule in (await policies.current()).document.rules] == ["wide"]
    with caplog.at_level(logging.ERROR):
        written(path, "rules: [")
        bad = await policies.current()
        assert await policies.current() is bad
    assert ([rule.name for rule in bad.document.rules], bad.problem) == (["wide"], "it is not YAML at line 1")
    assert len(caplog.records) == 1
    path.unlink()
    assert (await policies.current()).problem == "it is not there"
    written(path, GOOD)
    assert (await policies.current()).problem is None


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nrules: []"
RULE = "rules:\n- {name: one, decision: allow, "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        ("[]", "valid dictionary"),
        ("rules: [}", "it is not YAML at line 1"),
        (BOMB, "line 2 has an alias"),
        ("[" * 20_000, "nested too deep"),
        (b"rules: \xff", "not UTF-8"),
        ("#" * (MAX_BYTES + 1), "larger than"),
        ("rules: !!python/object/apply:os.system [x]", "not YAML"),
        ("rules: []\nrules: []", "rules stands twice"),
        ("rule: []", "rule: Extra inputs"),
        (f"{RULE}namespace: x}}", "rule one: namespace: Extra"),
        (f"{RULE}verbs: [remove]}}", "rule one: verbs.0"),
        (f"{RULE}kinds: []}}", "rule one: kinds"),
        (f"{RULE}time: {{timezone: Mars, hours: '09:00-10:00'}}}}", "rule one: time.timezone: Mars is not a time zone"),
        (f"{RULE}time: {{timezone: UTC, hours: 9-10}}}}", "rule one: time.hours: 9-10 is not a span"),
        (f"{RULE}time: {{timezone: UTC}}}}", "name weekdays, hours, or both"),
        ("rules:\n- {decision: allow}", "rule number 1: name"),
        ("rules:\n- {name: one, decision: maybe}", "rule one: decision"),
        ("rules:\n- {name: default-reads, decision: allow}", "two rules are called default-reads"),
        ("requester_may_destroy: 'yes'", "requester_may_destroy"),
    ],
)
async def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, says: str) -> None:
    written(tmp_path / "policy.yaml", text)
    found = await problem_of(tmp_path / "policy.yaml")
    assert says in found
    assert len(found) < 5_000


async def test_what_is_no_file_does_not_hold_anybody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")
    assert await problem_of(tmp_path / "policy.yaml") == "it is not a file"


def _examples() -> list[str]:
    parts = (PROJECT / "docs" / "policy.md").read_text().split("```yaml\n")[1:]
    return [part.partition("```")[0] for part in parts]


@pytest.mark.parametrize("example", _examples())
async def test_the_examples_of_the_documentation_hold(tmp_path: Path, example: str) -> None:
    written(tmp_path / "policy.yaml", example)
    found = await PolicyFile(tmp_path / "policy.yaml", True, FakeClock()).current()
    assert (found.problem, bool(found.document.rules)) == (None, True)
