"""Reading `policy.yaml`: reloads, errors by rule and field, and replacements of the file."""

import asyncio
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from src.api.adapters import policy_file
from src.api.adapters.policy_file import MAX_BYTES, PolicyFile
from tests.support.clock import FakeClock
from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.promise("policy", "fail-closed")

GOOD = "rules: [{name: free, decision: allow}]"


def replace_file(path: Path, text: str | bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(text if isinstance(text, bytes) else text.encode())
    temporary.replace(path)


async def read_problem(path: Path) -> str:
    found = (await PolicyFile(path, True, FakeClock()).current()).problem
    assert found is not None
    return found


async def test_missing_file_means_default_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    default = await PolicyFile(path, False, FakeClock()).current()
    assert (default.source, default.problem, default.loaded_at) == ("default", None, None)
    assert await read_problem(path) == "it does not exist"


async def test_changed_file_is_reloaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "policy.yaml", FakeClock()
    policies = PolicyFile(path, False, clock)
    await policies.current()
    replace_file(path, GOOD)
    first = await policies.current()
    assert ([rule.name for rule in first.document.rules], first.loaded_at) == (["free"], clock.now())
    assert await policies.current() is first
    path.write_text(GOOD.replace("free", "wide"))
    assert [rule.name for rule in (await policies.current()).document.rules] == ["wide"]
    with caplog.at_level(logging.ERROR):
        replace_file(path, "rules: [")
        bad = await policies.current()
        assert await policies.current() is bad
    assert ([rule.name for rule in bad.document.rules], bad.problem) == (["wide"], "it is not YAML at line 1")
    assert len(caplog.records) == 1
    path.unlink()
    assert (await policies.current()).problem == "it does not exist"
    replace_file(path, GOOD)
    assert (await policies.current()).problem is None


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nrules: []"
RULE = "rules:\n- {name: one, decision: allow, "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("budgets: [{name: all, run_usd: 1}]", "budget all: run_usd does not hold for a model without a known price"),
        ("budgets: [{name: all}]", "budget all: it limits nothing"),
        ("budgets: [{name: a, run_tokens: 1}, {name: a, run_tokens: 2}]", "two budgets are called a"),
        ("budgets: [{run_tokens: 0, name: none}]", "budget none: run_tokens: "),
        ("", "it is empty"),
        ("[]", "valid dictionary"),
        ("rules: [}", "it is not YAML at line 1"),
        (BOMB, "line 2 has an alias"),
        ("[" * 2_000, "nested too deep"),
        (b"rules: \xff", "not UTF-8"),
        ("#" * (MAX_BYTES + 1), "larger than"),
        ("rules: !!python/object/apply:os.system [x]", "not YAML"),
        ("rules: []\nrules: []", "rules appears twice"),
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
        ("? [a]\n: 1", "line 1 has a key that is not plain text"),
    ],
)
async def test_invalid_policy_is_explained(tmp_path: Path, text: str | bytes, says: str) -> None:
    replace_file(tmp_path / "policy.yaml", text)
    found = await read_problem(tmp_path / "policy.yaml")
    assert says in found
    assert len(found) < 5_000


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _link_loop(path: Path) -> None:
    path.symlink_to(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _huge_file(path: Path) -> None:
    path.write_bytes(b"rules: []\n" * 1_000_000)


REPLACEMENTS: list[tuple[Callable[[Path], None], str]] = [
    (_fifo, "it is not a file"),
    (Path.mkdir, "it is not a file"),
    (_dangling_link, "it is a link to a missing file"),
    (_link_loop, "it can't be read: Too many levels of symbolic links"),
    (_socket, "it is not a file"),
    (_huge_file, "it is larger than 65536 bytes"),
]


@pytest.mark.parametrize(("make", "says"), REPLACEMENTS)
async def test_unreadable_replacement_keeps_last_valid_rules(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], says: str
) -> None:
    """Reading does not block; the error is logged once, and a restored file is used again."""
    path = tmp_path / "policy.yaml"
    policies = PolicyFile(path, False, FakeClock())
    replace_file(path, GOOD)
    assert (await policies.current()).problem is None
    path.unlink()
    make(path)
    with caplog.at_level(logging.ERROR):
        bad = await policies.current()
        assert await policies.current() == bad
    assert (bad.problem, [rule.name for rule in bad.document.rules]) == (says, ["free"])
    assert [record.__dict__["action"] for record in caplog.records] == ["policy.bad"]
    path.rmdir() if path.is_dir() else path.unlink()
    replace_file(path, GOOD)
    assert (await policies.current()).problem is None


async def test_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to("nowhere")
    found = await PolicyFile(tmp_path / "policy.yaml", False, FakeClock()).current()
    assert found.problem == "it is a link to a missing file"


async def test_changes_within_one_mtime_tick_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    policies = PolicyFile(path, True, FakeClock())
    for name in ("free", "wide", "none"):
        path.write_text(GOOD.replace("free", name))
        os.utime(path, ns=(time.time_ns(), 10**9 * int(time.time())))
        assert [rule.name for rule in (await policies.current()).document.rules] == [name]
    assert await policies.current() is await policies.current()


def _mount_version(folder: Path, version: int, text: str) -> None:
    """Update the file as a kubelet mounts a ConfigMap: one folder for each version, and one link that moves."""
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


async def test_config_map_updates_are_atomic(tmp_path: Path) -> None:
    """A read may start just as the old version disappears; the next one exists by then."""
    _mount_version(tmp_path, 0, GOOD)
    policies = PolicyFile(tmp_path / "policy.yaml", True, FakeClock())

    async def swap() -> None:
        for version in range(1, 100):
            await asyncio.to_thread(_mount_version, tmp_path, version, GOOD.replace("free", f"v{version}"))

    swapping = asyncio.create_task(swap())
    while not swapping.done():
        found = await policies.current()
        assert (found.problem, len(found.document.rules)) == (None, 1)
    await swapping
    found = await policies.current()
    assert ([rule.name for rule in found.document.rules], found.problem) == (["v99"], None)


async def test_thousands_of_fields_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_file, "READ_TIMEOUT_SECONDS", PATIENCE)
    names = b"".join(b"k%x: 1\n" % n for n in range(6_000))
    replace_file(tmp_path / "policy.yaml", names)
    assert "Extra inputs" in await read_problem(tmp_path / "policy.yaml")


def _read_examples() -> list[str]:
    parts = (PROJECT / "docs" / "policy.md").read_text().split("```yaml\n")[1:]
    return [part.partition("```")[0] for part in parts]


@pytest.mark.parametrize("example", _read_examples())
async def test_documented_examples_are_valid(tmp_path: Path, example: str) -> None:
    replace_file(tmp_path / "policy.yaml", example)
    found = await PolicyFile(tmp_path / "policy.yaml", True, FakeClock()).current()
    assert (found.problem, bool(found.document.rules or found.document.budgets)) == (None, True)
