"""Secrets are masked wherever they stand, whatever surrounds them, and in time that grows with the text alone."""

import base64
import json
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.api.schemas.base import Json
from src.api.utils.redaction import Redactor, is_secret_name

CANARY = "c4nary-V4lue-9f3"
ENCODED = base64.b64encode(CANARY.encode()).decode()
CONFIGURED = "configured/secret+value"
REDACTOR = Redactor(b"a key of the tests, 32 bytes long", [CONFIGURED, "short"])
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
BEGIN = "-----BEGIN"  # apart, so that whoever looks for keys finds none here
PEM = f"{BEGIN} RSA PRIVATE KEY-----\n{ENCODED}\n-----END RSA PRIVATE KEY-----"

HOLDERS = [
    f"password={CANARY}",
    f"DB_PASSWORD: {CANARY}",
    f'export API_KEY="{CANARY}"',
    f"client_secret='{CANARY} {CANARY}'",
    f'{{"accessToken": "{CANARY}"}}',
    f'{{"x": "{{\\"apiKey\\": \\"{CANARY}\\"}}"}}',
    f'{{"password":"{CANARY}\\"{CANARY}"}}',
    f"mysql --host db --password {CANARY} shop",
    f"redis-cli --auth-token={CANARY}",
    f"Authorization: Bearer {CANARY}",
    f"curl -H 'authorization: Basic {ENCODED}'",
    f"postgres://shop:{CANARY}@db:5432/shop",
    f"https://hooks.slack.com/services/T0/B0/{CANARY}",
    f"    client-key-data: {ENCODED}\n    token: {CANARY}",
    f"passphrase: two words and {CANARY}\nuser: bob",
    f"token: |\n  {CANARY}\n  {CANARY}\nuser: bob",
    f"apiVersion: v1\nkind: Secret\ndata:\n  a: {ENCODED}\n",
    f"kind: Secret\nstringData:\n  a: |\n    {CANARY}\n    {CANARY}\n  b: {CANARY} {CANARY}\n",
    f"- apiVersion: v1\n  data:\n    a: {ENCODED}\n  kind: Secret\n",
    f" kind: Secret\n data:\n-  a: {ENCODED}\n+  a: {ENCODED}\n",
    f'{{"kind":"Secret","data":{{"a":"{ENCODED}"}}}} and more',
    f'last-applied: "{{\\"data\\":{{\\"a\\":\\"{ENCODED}\\"}},\\"kind\\":\\"Secret\\"}}"',
    PEM,
    PEM.replace("\n", "\\n"),
    PEM.partition("-----END")[0],
]
TOKENS = [
    JWT,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_0123456789abcdefghij_ABCDEF",
    "glpat-0123456789abcdefghij",
    "xoxb-123456789012-abcdefghijkl",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "sk-proj-0123456789abcdefghij",
    "hvs.0123456789abcdefghijklmn",
]
HARMLESS = [
    "deployment.apps/api scaled from 3 to 5",
    "invalid syntax: unexpected token: something",
    "secretName: registry-credentials",
    "secretKeyRef:\n  name: db\n  key: url",
    "max_tokens=4096 prompt_tokens: 12 completion_tokens: 7",
    "kind: ConfigMap\ndata:\n  colour: blue\n",
    "automountServiceAccountToken: true",
    "image: registry.example.org/team/app@sha256:0a1b2c",
    "http://svc.ns.svc.cluster.local:8080/path?x=1",
    "basic authentication is on",
    "imagePullSecrets:\n- name: registry",
]


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("text", HOLDERS)
def test_a_secret_in_text_is_masked(text: str) -> None:
    shown = REDACTOR.redact_text(f"before\n{text}\nafter")
    assert CANARY not in shown
    assert ENCODED not in shown
    assert "masked, " in shown
    assert shown.startswith("before\n")
    assert REDACTOR.redact_text(shown) == shown


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "got {}, then", '"{}"', "x={}&y", "({})", "/{}/", "\n{}\n"])
def test_a_token_is_known_by_its_look(token: str, around: str) -> None:
    assert token not in REDACTOR.redact_text(around.format(token))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert REDACTOR.redact_text(text) == text


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "spelling",
    [CONFIGURED, base64.b64encode(CONFIGURED.encode()).decode(), "configured%2Fsecret%2Bvalue", json.dumps(CONFIGURED)],
)
def test_the_values_of_our_own_settings_are_masked_in_every_spelling(spelling: str) -> None:
    assert spelling.strip('"') not in REDACTOR.redact_text(f"error near {spelling} here")
    assert REDACTOR.redact_text("a short text") == "a short text"


@pytest.mark.promise("secrets")
def test_structure_is_kept_and_values_are_masked() -> None:
    secret: Json = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"a": ENCODED}, "stringData": {"b": CANARY}}
    shown = REDACTOR.redact([secret, {"kind": "SecretList", "items": [{"data": {"c": ENCODED}}]}, 1, None, True])
    assert isinstance(shown, list)
    assert shown[0] == {
        "kind": "Secret",
        "metadata": {"name": "db"},
        "data": {"a": REDACTOR.masked(CANARY)},
        "stringData": {"b": REDACTOR.masked(CANARY)},
    }
    assert CANARY not in str(shown)
    assert ENCODED not in str(shown)
    assert shown[2:] == [1, None, True]
    assert REDACTOR.redact(shown) == shown


@pytest.mark.promise("secrets")
def test_telling_names_mask_their_values() -> None:
    environment: Json = {"env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PORT", "value": "80"}]}
    shown = REDACTOR.redact({"apiKey": CANARY, "secretName": "db", "password": "", "token": 5, **environment})
    assert shown == {
        "apiKey": REDACTOR.masked(CANARY),
        "secretName": "db",
        "password": "",
        "token": 5,
        "env": [{"name": "DB_PASSWORD", "value": REDACTOR.masked(CANARY)}, {"name": "PORT", "value": "80"}],
    }


def test_fingerprints_tell_values_apart_and_nothing_without_the_key() -> None:
    other = Redactor(b"another key")
    assert REDACTOR.masked("one") == REDACTOR.masked(b"one") != REDACTOR.masked("two")
    assert other.masked("one") != REDACTOR.masked("one")
    assert REDACTOR.masked("ä") == REDACTOR.masked("ä".encode())
    assert REDACTOR.masked("ä").startswith("masked, 2 bytes, ")


@pytest.mark.promise("bounded")
def test_what_is_nested_too_deeply_is_left_out() -> None:
    value: Json = CANARY
    for _ in range(500):
        value = [value]
    assert "too deeply" in str(REDACTOR.redact(value))


@pytest.mark.parametrize(("name", "secret"), [("AWS_ACCESS_KEY_ID", True), ("tokens", False), ("tokenPath", False)])
def test_names(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = REDACTOR.redact_text(text)
    assert REDACTOR.redact_text(once) == once


PIECES = st.sampled_from([*HOLDERS, *HARMLESS, "\n", "---\n", " ", "{", '"', "\\", ": ", "masked, ", "- "])


@pytest.mark.promise("secrets")
@settings(max_examples=200)
@given(st.lists(PIECES, max_size=6), st.sampled_from(HOLDERS), st.lists(PIECES, max_size=3))
def test_lines_around_it_do_not_bring_a_secret_to_light(before: list[str], holder: str, after: list[str]) -> None:
    shown = REDACTOR.redact_text("\n".join([*before, "", holder, "", *after]))
    assert CANARY not in shown


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=8, max_size=60))
def test_any_password_in_a_field_of_that_name_is_masked(value: str) -> None:
    assert value not in str(REDACTOR.redact({"password": f"{value}!"}))


RUNAWAYS = [
    "eyJ-", "eyJa.", "password:", 'password="', "password", "a://", "://a:", '"data":{', f"{BEGIN} PRIVATE KEY-----",
    "x", " ", "token ", "- ", "bearer ", "Bearer a", ":", "\\", '\\"', "secret_", "--token", "=", "kind: Secret\n",
    "kind: Secret\ndata:\n  a: b\n", "token: |\n", "  - password: |\n", "sk-", "AKIA", "a: b\n", "\n", "{}", "'",
]  # fmt: skip


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("piece", RUNAWAYS)
def test_no_text_makes_it_run_away(piece: str) -> None:
    def seconds(size: int) -> float:
        text = "kind: Secret " + piece * (size // len(piece)) + " password"
        began = time.process_time()
        REDACTOR.redact_text(text)
        return time.process_time() - began

    seconds(1024)
    small = max(min(seconds(32 * 1024) for _ in range(3)), 0.004)
    assert seconds(256 * 1024) < small * 8 * 4
