"""The time that redaction takes grows with the length of the text alone, and never holds up the event loop."""

import ast
import asyncio
import importlib
import pkgutil
import re
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import processor_time
import pytest

import skyflo_common
from skyflo_common.redaction import Redactor, contains_mask, redact_large, redact_large_text

REDACTOR = Redactor(b"a key of the tests, 32 bytes long", ["configured/secret+value"])
BEGIN = "-----BEGIN"

ROOT = Path(__file__).parents[2]
HOSTILE = [
    " ", "\t", "\n", "a.", "a", "A", "0", "-", ":", "=", "\\", '"', "'", "`", "[", "{", "(", "<", "@", "/", "#", "!",
    "&", "|", "password", "password:", 'password="', "password: ", "password:\n ", "password: |\n",
    "password: x\n  y\n", "--password ", "--password ' ", "password [", "<password>", "<password>x", "secret_",
    "token ", "--token", "key", "api-key", "name: token\n", 'name="password" ', "name: password\n ", "pass", "pwd=",
    "eyJ-", "eyJa.", "eyJaaaaaaaaa.", "AKIA", "sk-", "sk-a", "SG.", "$2y$", "$", "glpat-.", "Q~", "xoxb-", "a://",
    "://a:", "://a:b", "a@", "://@", ":a@", "a:b@", "bearer ", "Bearer a", "basic =", "sig=", "login a password ",
    "identified by ", "IDENTIFIED WITH a BY ", "redis-cli -a ", "curl -u ", "mysql -p", "docker login ",
    "--from-literal=a=", "secret --from-literal ", '"data":{', "data: {", "kind: Secret\n",
    "kind: Secret\ndata:\n  a: b\n", "kind: Secret\ndata:\n a", "  - password: |\n", f"{BEGIN} PRIVATE KEY-----",
    BEGIN, "LS0tLS1CRUdJTi", "masked, ", "masked, 1 ", "masked, 1 bytes, 0a1b2c3d", "asked%2C", "bWFza2VkLC",
    "a: b\n", "- ", "? ", "{a: ", "[a, ", "---\n", "a: &x\n", "\r\n", "\u0130", "hooks.slack.com/services/",
    "thin:a/", "a:b@tcp", "passwords: {", "Secret", "{{", "${", "$(", "configured/", "Y29uZmlndXJlZ", '{"a":"b"}',
    "log in with a/", "login as ", "user a password ", "api key: ", "pre-shared key ", "*:*:*:*:", "a:5432:b:c:",
    'PSK "', "echo ", "echo 'a' ", "echo x | ", "echo x | base64\n", "<<< x ", "sudo -S <<< x\n", "mysql\n- ",
    "cat <<EOF | chpasswd\n", "mysql, ", "mysql, -p", '"curl", ', "- -p\n", "value: ", "value: x name: otp ",
    "user a on >", "value: x\nname: token\n", "PASSWORD('", "mc alias set a ", "otp", "https://a1@sentry",
    "<a>", "<password ", '<a b="c" ', "<password><![CDATA[", "<key>token</key>", '"a" "', '("token", "', "&a b ", "''a",
    '"""', 'password = """', "password = <<A\n", "password = \\\n", "password: *a\n", "Private-Lines: 1\na\n",
    'auth": "aaaa', "sentinel auth-pass a ", "tokens: [a, ", "{kty: a, d: ",
    "\x1b[0m", "\x1b]", "\x1b", "\r", "2026-11-30T16:00:00Z ", "[a/b] ", "\n[", "\\'", "' ", "` ", '" ',
    "\\n", '\\"', "é", "\U0001f600", "x y ", "not: yes, ",
]  # fmt: skip


def compiled_patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern that a module of the package holds, in tables too."""
    found: dict[str, re.Pattern[str]] = {}
    for module in pkgutil.walk_packages(skyflo_common.__path__, "skyflo_common."):
        for name, value in vars(importlib.import_module(module.name)).items():
            values = (
                value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else [value]
            )
            for number, each in enumerate(values):
                if isinstance(each, re.Pattern):
                    found[f"{module.name}.{name}.{number}"] = each
    return found


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The median of the processor's time."""
    times = []
    for _ in range(rounds):
        with processor_time.without_garbage_collection():
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return statistics.median(times)


def assert_grows_with_size(work: Callable[[str], object], make: Callable[[int], str], size: int) -> None:
    """Four times the text takes about four times as long: sixteen times would be quadratic."""
    for rounds in (1, 3):  # only what looks slow is worth more looks
        small = max(seconds(lambda: work(make(size)), rounds), 0.0008)
        large = seconds(lambda: work(make(4 * size)), rounds)
        if large < small * 4 * 2.5:
            return
    pytest.fail(f"{size} characters take {small:.4f} s, four times as many {large:.4f} s")


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("name", compiled_patterns())
def test_every_pattern_is_linear(name: str) -> None:
    pattern = compiled_patterns()[name]

    def search_all(text: str) -> None:
        for _ in pattern.finditer(text):
            pass
        pattern.match(text)
        pattern.fullmatch(text)

    for piece in HOSTILE:
        for prefix, suffix in (("", ""), ("password: ", "\x00")):
            looked_at = prefix + piece * (8_000 // len(piece)) + suffix
            if seconds(lambda text=looked_at: search_all(text), 1) > 0.004:  # only slow ones are worth more looks
                assert_grows_with_size(
                    search_all, lambda size, p=piece, a=prefix, z=suffix: a + p * (size // len(p)) + z, 8_000
                )


# Python before 3.11.5 matches them wrongly (gh-100061, gh-106052): values were missed, and `finditer` did not end.
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9]{0,6},?[0-9]{0,6}\})\+|\(\?>")


@pytest.mark.promise("secrets")
def test_no_pattern_of_any_package_repeats_a_group_possessively() -> None:
    strings = [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node.value)
        for folder in ("common/src", "engine/src", "mcp/src", "sandbox/src")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(strings) > 10_000
    assert [place for place, text in strings if POSSESSIVE_GROUP.search(text)] == []


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_redaction_run_away(piece: str) -> None:
    def make(size: int) -> str:
        return "kind: Secret " + piece * (size // len(piece)) + " password"

    for work in (REDACTOR.redact_text, REDACTOR.redact, REDACTOR.redact_manifest, contains_mask):
        took = seconds(lambda work=work: work(make(16_000)), 1)
        if took >= 0.25:  # a busy machine may have cost the first look its caches
            took = seconds(lambda work=work: work(make(16_000)))
        assert took < 0.25 or took < 0.5 * processor_time.machine_slowness()
        if took > 0.015:
            assert_grows_with_size(work, make, 4_000)


FIVE_MEGABYTES = 5 * 1024 * 1024
WORST = ["a.", "password: x\n", "kind: Secret\ndata:\n  a: b\n", "eyJa.", "://a:b@", "x" * 100]


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("piece", WORST)
async def test_the_event_loop_answers_while_a_large_text_is_redacted(piece: str) -> None:
    text = "password: secret " + piece * (FIVE_MEGABYTES // len(piece))
    for work in (redact_large_text(REDACTOR, text, 0.5), redact_large(REDACTOR, {"content": [text]}, 0.5)):
        with processor_time.without_garbage_collection():
            waited = await longest_wait(work)
        assert waited < 0.2 or waited < 0.2 * processor_time.machine_slowness()


async def longest_wait(work: Coroutine[Any, Any, object]) -> float:
    """The most that this process worked, in seconds of the processor's time, before the loop came to a callback."""
    task = asyncio.ensure_future(work)
    longest = 0.0
    while not task.done():
        began = time.process_time()
        await asyncio.wait({task}, timeout=0.001)
        longest = max(longest, time.process_time() - began)
    await task
    return longest


@pytest.mark.promise("bounded")
async def test_behind_the_deadline_all_is_masked() -> None:
    text = "password: x\n" * 200_000
    with processor_time.at_most(2):
        assert await redact_large_text(REDACTOR, text, 0.05) == REDACTOR.mask(text)
        assert await redact_large(REDACTOR, {"a": text}, 0.05) == "masked, too large to be checked"


async def test_small_values_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", None)
    assert await redact_large(REDACTOR, {"a": ["b", {"password": "x1y2z3"}]}) != {}
    assert await redact_large_text(REDACTOR, "short") == "short"


async def test_a_cancelled_redaction_stops() -> None:
    task = asyncio.create_task(redact_large_text(REDACTOR, "password: x\n" * 400_000, 60))
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
