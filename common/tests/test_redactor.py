"""Masks keep structure, known values are hidden in every spelling, and masks that come back are found."""

import base64
import json
import string
from urllib.parse import quote

import pytest
from harmless_corpus import HARMLESS_TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st
from secret_corpus import CANARY, ENCODED, SECRET_TEXTS, WRAPPINGS

from skyflo_common.jsontypes import Json, JsonObject
from skyflo_common.redaction import Exhausted, Fingerprints, Redactor, contains_mask, is_mask, is_secret_name
from tests.support.examples import up_to

KEY = b"a key of the tests, 32 bytes long"
CONFIGURED = "configured/secret+value"
REDACTOR = Redactor(KEY, [CONFIGURED, "short"])
MASK = REDACTOR.mask("a value")


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "spelling",
    [
        CONFIGURED,
        base64.b64encode(CONFIGURED.encode()).decode(),
        quote(CONFIGURED, safe=""),
        json.dumps(CONFIGURED).strip('"'),
        CONFIGURED.encode().hex(),
        *(base64.b64encode(f"{'x' * n}:{CONFIGURED}:rest".encode()).decode() for n in range(3)),
        *(base64.urlsafe_b64encode(f"{'x' * n}?{CONFIGURED}?".encode()).decode() for n in range(3)),
    ],
)
def test_known_values_are_hidden_in_every_spelling(spelling: str) -> None:
    shown = REDACTOR.redact_text(f"error near {spelling} here")
    assert spelling not in shown
    assert spelling[6:18] not in shown
    assert shown.startswith("error near ")
    assert shown.endswith(" here")
    assert spelling not in json.dumps(REDACTOR.redact({spelling: [f"x {spelling}"]}))
    assert spelling not in json.dumps(Redactor(KEY).hide_values({"a": f"x {spelling}"}, [CONFIGURED]))


def test_short_values_are_hidden_only_as_whole_fields() -> None:
    assert REDACTOR.redact_text("a short text") == "a short text"
    assert REDACTOR.redact({"note": "short", "text": "a short one"}) == {"note": MASK_OF_SHORT, "text": "a short one"}
    assert Redactor(KEY, ["true", "1"]).redact({"a": "true", "b": "1"}) == {"a": "true", "b": "1"}


MASK_OF_SHORT = REDACTOR.mask("short")


def test_words_of_masks_may_be_secrets_without_harm() -> None:
    redactor = Redactor(KEY, ["masked", "masked, 7", "bytes,"])
    once = redactor.redact_text(f"password={CANARY} masked and bytes,")
    assert redactor.redact_text(once) == once
    assert redactor.redact(once) == once


@pytest.mark.promise("secrets")
def test_lines_of_known_values_are_hidden() -> None:
    value = f"first line of it, long enough\n{CANARY}-and-more\n"
    assert "V4lue" not in Redactor(KEY, [value]).redact_text(f"seen: {CANARY}-and-more")


@pytest.mark.promise("secrets")
def test_structure_is_kept_and_values_are_masked() -> None:
    secret: Json = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"a": ENCODED}, "stringData": {"b": CANARY}}
    shown = REDACTOR.redact([secret, {"kind": "SecretList", "items": [{"data": {"c": ENCODED}}]}, 1, None, True])
    assert isinstance(shown, list)
    assert shown[0] == {
        "kind": "Secret",
        "metadata": {"name": "db"},
        "data": {"a": REDACTOR.mask(CANARY)},
        "stringData": {"b": REDACTOR.mask(CANARY)},
    }
    assert shown[2:] == [1, None, True]
    assert REDACTOR.redact(shown) == shown


@pytest.mark.promise("secrets")
def test_secret_names_mask_their_values() -> None:
    environment: Json = {"env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PORT", "value": "80"}]}
    numbers: Json = {"password": 123456, "token": 5, "pin": 1234}
    shown = REDACTOR.redact({"apiKey": CANARY, "secretName": "db", "secret": "", "n": numbers, **environment})
    assert shown == {
        "apiKey": REDACTOR.mask(CANARY),
        "secretName": "db",
        "secret": "",
        "n": {"password": REDACTOR.mask("123456"), "token": 5, "pin": 1234},
        "env": [{"name": "DB_PASSWORD", "value": REDACTOR.mask(CANARY)}, {"name": "PORT", "value": "80"}],
    }


@pytest.mark.promise("secrets")
def test_values_masked_in_one_place_are_hidden_in_all() -> None:
    shown = REDACTOR.redact({"password": CANARY, "note": f"it is {CANARY}", "list": [CANARY], CANARY: ENCODED})
    assert "V4lue" not in json.dumps(shown)
    assert ENCODED not in json.dumps(shown)
    assert REDACTOR.redact({"password": "postgres", "image": "postgres:15"}) == {
        "password": REDACTOR.mask("postgres"),
        "image": "postgres:15",
    }


def test_hidden_values_are_listed_decoded_too() -> None:
    found = REDACTOR.hidden_values({"kind": "Secret", "data": {"a": ENCODED}, "spec": {"password": "p", "x": "y"}})
    assert found == {ENCODED, CANARY, "p"}
    assert "V4lue" not in REDACTOR.with_secrets(found).redact_text(f"metadata.annotations.x: {CANARY}")


@pytest.mark.promise("secrets")
def test_a_rule_of_names_is_not_escaped_by_a_new_name() -> None:
    live: Json = {"env": [{"name": "DB_PASSWORD", "value": "pw12"}]}
    renamed: Json = {"env": [{"name": "COLOUR", "value": "pw12"}]}
    redactor = REDACTOR.with_secrets(REDACTOR.hidden_values(live))
    assert "pw12" not in json.dumps(redactor.redact(renamed))


def test_fingerprints_show_equality_and_need_the_key() -> None:
    other = Redactor(b"another key")
    assert REDACTOR.mask("one") == REDACTOR.mask(b"one") != REDACTOR.mask("two")
    assert other.mask("one") != REDACTOR.mask("one")
    assert REDACTOR.mask("ä").startswith("masked, 2 bytes, ")
    assert Fingerprints(KEY).mask("one") == REDACTOR.mask("one")
    assert is_mask(REDACTOR.mask("one"))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_ACCESS_KEY_ID", True), ("tokens", False), ("tokenPath", False), ("ACCOUNT_PASSWORD", True),
        ("DISCOUNT_TOKEN", True), ("MAX_TOKENS", False), ("token_count", False), ("MYSQL_PWD", True),
        ("PGPASSWORD", True),
        ("DB_PASS", True), ("pass", True), ("passes", False), ("compass", False), ("secretName", False),
        ("tokenTTL", False), ("passwordPolicy", False), ("imagePullSecrets", False), ("apiKey", True), ("APIKEY", True),
        ("api-key", True), ("primary_key", False), ("publicKey", False), ("KEY", False), ("monkey", False),
        ("password2", True), ("password_confirmation", True), ("passwordHash", True), ("proxy_pass", False),
        ("checksum/secret", False), ("secretsManager", False), ("clientSecret", True), ("secret_id", True),
    ],
)  # fmt: skip
def test_names_are_read_by_words(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@pytest.mark.promise("bounded")
def test_values_nested_too_deeply_are_masked() -> None:
    value: Json = CANARY
    for _ in range(500):
        value = [value]
    shown = REDACTOR.redact(value)
    assert "masked, nested too deeply" in str(shown)
    assert contains_mask({"x": shown if isinstance(shown, str) else str(shown)})


@pytest.mark.promise("bounded")
def test_values_of_too_many_parts_are_masked_as_a_whole() -> None:
    assert REDACTOR.redact([1] * 300_000) == "masked, too large to be checked"
    assert REDACTOR.redact_text("x" * (17 * 1024 * 1024)).startswith("masked, 17825792 bytes, ")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"manifests": f"metadata:\n  annotations:\n    a.b/c: {MASK}\n"}, 'metadata.annotations["a.b/c"]'),
        ({"manifests": f"a: 1\n---\nb: [x, '{MASK}']\n"}, "manifests, document 2: b[1]"),
        ({"manifests": json.dumps({"spec": {"env": [{"name": "A", "value": MASK}]}})}, "manifests: spec.env[0].value"),
        ({"manifests": '{"a": "m\\u0061sked, 7 bytes, 0a1b2c3d"}'}, "manifests: a"),
        ({"manifests": 'a: "m\\x61sked, 7\n  bytes, 0a1b2c3d"\nb: c\n'}, "manifests: a"),
        ({"patch": {"data": {"x": base64.b64encode(MASK.encode()).decode()}}}, "patch.data.x"),
        ({"patch": {"data": {"x": base64.b64encode(f"user:{MASK}!".encode()).decode()}}}, "patch.data.x"),
        ({"patch": [{"op": "add", "path": "/data/x", "value": f"a {MASK}"}]}, "patch[0].value"),
        ({"value": "Masked, 10 bytes"}, "value"),
        ({"value": "masked, nested too deeply"}, "value"),
        ({"value": "[masked]"}, "value"),
        ({"url": quote(f"x?password={MASK}")}, "url"),
        ({"labels": {MASK: "x"}}, f'labels["{MASK}"]'),
        ({"values": f"not: [yaml\n{MASK}"}, "values"),
    ],
)  # fmt: skip
def test_masks_are_found_wherever_they_stand(value: Json, place: str) -> None:
    found = contains_mask(value)
    assert found is not None
    assert place in found


def test_values_too_large_to_be_searched_for_masks_are_refused() -> None:
    with pytest.raises(Exhausted):
        contains_mask({"x": [1] * 300_000})
    assert contains_mask({"x": "the masked, 10 of them", "n": 1}) is None


@pytest.mark.promise("secrets")
def test_arguments_that_look_like_a_manifest_but_cannot_be_read_are_masked() -> None:
    broken = f"kind: Secret\n\tstringData: {{a: {CANARY}"
    assert REDACTOR.redact_arguments({"text": broken, "n": 1}) == {"text": REDACTOR.mask(broken), "n": 1}
    assert REDACTOR.redact_arguments({"text": "plain words: of a sentence"}) == {"text": "plain words: of a sentence"}


PIECES = st.sampled_from([*SECRET_TEXTS, *HARMLESS_TEXTS, "\n", "---\n", " ", "{", '"', "\\", ": ", "masked, ", "- "])


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = REDACTOR.redact_text(text)
    assert REDACTOR.redact_text(once) == once


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_secrets_are_masked_in_whatever_carries_them(wrapping: str) -> None:
    for holder in SECRET_TEXTS:
        text = WRAPPINGS[wrapping](holder)
        shown = REDACTOR.redact_text(text)
        assert CANARY not in shown, text
        assert ENCODED not in shown, text
        assert REDACTOR.redact_text(shown) == shown


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_harmless_texts_pass_in_nearly_all_that_carries_them(wrapping: str) -> None:
    carried = [WRAPPINGS[wrapping](text) for text in HARMLESS_TEXTS]
    masked = [text for text in carried if REDACTOR.redact_text(text) != text]
    assert len(masked) <= len(HARMLESS_TEXTS) // 25, masked  # what a quote ends, behind a name, is not always clear


@pytest.mark.promise("secrets")
def test_lines_without_secrets_keep_their_time_stamps() -> None:
    stamp = "2026-11-30T16:00:00Z "
    text = "\n".join(stamp + line for line in ("one", "password: |", f"  {CANARY}", f"  {CANARY}", "user: bob", "two"))
    first, *middle, last = REDACTOR.redact_text(text).split("\n")
    assert (first, last) == (f"{stamp}one", f"{stamp}two")
    assert middle[0].endswith("password: |")
    assert "masked, " in middle[1]


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("distance", range(1, 9))
def test_another_secret_beside_a_secret_does_not_show_it(distance: int) -> None:
    others = [
        text.replace(CANARY, "Zq8-0ther-W4lnut").replace(ENCODED, "WnE4LTB0aGVyLVc0bG51dA==") for text in SECRET_TEXTS
    ]
    for number, holder in enumerate(SECRET_TEXTS):
        other = others[(number * 7 + distance * 31) % len(others)]
        for text in (f"{other}\n{holder}", f"{holder}\n{other}"):
            shown = REDACTOR.redact_text(text)
            assert CANARY not in shown, text
            assert ENCODED not in shown, text


@pytest.mark.promise("secrets")
@settings(max_examples=up_to(300))
@given(st.lists(PIECES, max_size=6), st.sampled_from(SECRET_TEXTS), st.lists(PIECES, max_size=3))
def test_lines_around_a_secret_do_not_show_it(before: list[str], holder: str, after: list[str]) -> None:
    shown = REDACTOR.redact_text("\n".join([*before, "", holder, "", *after]))
    assert CANARY not in shown
    assert ENCODED not in shown


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=8, max_size=60))
def test_any_password_under_that_name_is_masked(value: str) -> None:
    shown = REDACTOR.redact({"password": f"{value}!"})
    assert isinstance(shown, dict)
    assert value not in str(shown["password"])


HOLDS_SECRET = [
    ({"manifests": "kind: Secret\nstringData: {password: V4lue-of-it}\n"}, True),
    ({"manifests": "kind: Secret\ndata: {password: VjRsdWU=}\n"}, True),
    ({"kind": "secret", "patch": '{"data": {"a": "VjRsdWU="}}'}, True),
    ({"manifests": "kind: Secret\nstringData: {a: [\n"}, True),
    ({"text": "the key is a-known-secret-of-ours"}, True),
    ({"manifests": "kind: Secret\nmetadata: {name: s}\n"}, False),
    ({"manifests": "env: [{name: API_TOKEN, value: a-value-that-works}]"}, False),
    ({"annotation": "nginx.ingress.kubernetes.io/auth-secret: basic-auth"}, False),
    ({"manifests": "a: [\n"}, False),
]


@pytest.mark.parametrize(("arguments", "expected"), HOLDS_SECRET)
def test_values_of_secrets_are_told_from_what_is_only_masked(arguments: JsonObject, expected: bool) -> None:
    redactor = Redactor(b"k" * 32, ["a-known-secret-of-ours"])
    assert redactor.holds_secret(arguments, ["manifests", "patch"]) is expected
