"""`policy.yaml` on a disk: read, read again, and what is wrong with it said by rule and field."""

import asyncio
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable
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
        (f"{RULE}namespaces: }}", "rule one: namespaces stands there without a value"),
        (f"{RULE}time: null}}", "rule one: time stands there without a value"),
        ("rules:", "rules stands there without a value"),
        (f"{RULE}namespaces: [no]}}", "rule one: namespaces.0"),
        (f"{RULE}kinds: apps/v1/Deployment}}", "rule one: kinds: write 'apps/v1/Deployment' as the kind"),
        (b"rules: []\x00", "not YAML"),
        ("rules: []".encode("utf-16"), "not UTF-8"),
        ("rules: []\n---\nrules: []", "not YAML"),
        ("? [a]\n: 1", "line 1 has a name that is no word"),
    ],
)
async def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, says: str) -> None:
    written(tmp_path / "policy.yaml", text)
    found = await problem_of(tmp_path / "policy.yaml")
    assert says in found
    assert len(found) < 5_000


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _huge(path: Path) -> None:
    path.write_bytes(b"rules: []\n" * 1_000_000)


NO_FILES: list[tuple[Callable[[Path], None], str]] = [
    (_fifo, "it is not a file"),
    (Path.mkdir, "it is not a file"),
    (_nowhere, "it is a link to what is not there"),
    (_loop, "it can't be read: Too many levels of symbolic links"),
    (_socket, "it is not a file"),
    (_huge, "it is larger than 65536 bytes"),
]


@pytest.mark.parametrize(("make", "says"), NO_FILES)
async def test_what_takes_its_place_leaves_the_last_good_rules(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], says: str
) -> None:
    """And nobody waits for it; it is told once, and the good file is good again when it is back."""
    path = tmp_path / "policy.yaml"
    policies = PolicyFile(path, False, FakeClock())
    written(path, GOOD)
    assert (await policies.current()).problem is None
    path.unlink()
    make(path)
    with caplog.at_level(logging.ERROR):
        bad = await policies.current()
        assert await policies.current() == bad
    assert (bad.problem, [rule.name for rule in bad.document.rules]) == (says, ["free"])
    assert [record.__dict__["action"] for record in caplog.records] == ["policy.bad"]
    path.rmdir() if path.is_dir() else path.unlink()
    written(path, GOOD)
    assert (await policies.current()).problem is None


async def test_a_link_to_nothing_is_not_the_default(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to("nowhere")
    found = await PolicyFile(tmp_path / "policy.yaml", False, FakeClock()).current()
    assert found.problem == "it is a link to what is not there"


async def test_two_changes_in_one_tick_of_the_disks_clock_are_both_seen(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    policies = PolicyFile(path, True, FakeClock())
    for name in ("free", "wide", "none"):
        path.write_text(GOOD.replace("free", name))
        os.utime(path, ns=(time.time_ns(), 10**9 * int(time.time())))
        assert [rule.name for rule in (await policies.current()).document.rules] == [name]
    assert await policies.current() is await policies.current()


def _mounted(folder: Path, version: int, text: str) -> None:
    """As a kubelet puts a ConfigMap into a pod: a folder of its own for each version, and one link that moves."""
    own = folder / f"..{version}"
    own.mkdir()
    (own / "policy.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(own.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if version == 0:
        (folder / "policy.yaml").symlink_to("..data/policy.yaml")
    for old in folder.glob("..[0-9]*"):
        if old != own:
            shutil.rmtree(old)


async def test_a_config_map_is_followed_and_never_seen_by_halves(tmp_path: Path) -> None:
    """A look may meet the moment when the old version has gone: then the next one is there already."""
    _mounted(tmp_path, 0, GOOD)
    policies = PolicyFile(tmp_path / "policy.yaml", True, FakeClock())

    async def swap() -> None:
        for version in range(1, 100):
            await asyncio.to_thread(_mounted, tmp_path, version, GOOD.replace("free", f"v{version}"))

    swapping = asyncio.create_task(swap())
    while not swapping.done():
        found = await policies.current()
        assert (found.problem, len(found.document.rules)) == (None, 1)
    await swapping
    found = await policies.current()
    assert ([rule.name for rule in found.document.rules], found.problem) == (["v99"], None)


async def test_thousands_of_names_are_refused_and_not_compared_one_by_one(tmp_path: Path) -> None:
    names = b"".join(b"k%x: 1\n" % n for n in range(6_000))
    written(tmp_path / "policy.yaml", names)
    assert "Extra inputs" in await problem_of(tmp_path / "policy.yaml")


def _examples() -> list[str]:
    parts = (PROJECT / "docs" / "policy.md").read_text().split("```yaml\n")[1:]
    return [part.partition("```")[0] for part in parts]


@pytest.mark.parametrize("example", _examples())
async def test_the_examples_of_the_documentation_hold(tmp_path: Path, example: str) -> None:
    written(tmp_path / "policy.yaml", example)
    found = await PolicyFile(tmp_path / "policy.yaml", True, FakeClock()).current()
    assert (found.problem, bool(found.document.rules)) == (None, True)
