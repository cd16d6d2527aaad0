"""Secrets are masked in realistic texts and objects, and what is no secret stays as it is."""

import json

import pytest
from harmless_corpus import HARMLESS_TEXTS, HARMLESS_TREES
from secret_corpus import CANARY, ENCODED, SECRET_TEXTS, TOKENS, USER_AND_CANARY
from secret_trees import SECRET_TREES

from skyflo_common.jsontypes import Json
from skyflo_common.redaction import Redactor, contains_mask

REDACTOR = Redactor(b"a key of the tests, 32 bytes long")


def assert_hides_canary(text: str) -> None:
    for part in (CANARY, ENCODED, USER_AND_CANARY, "V4lue", ENCODED[4:16]):
        assert part not in text


def test_the_corpora_are_large() -> None:
    assert len(SECRET_TEXTS) + len(SECRET_TREES) >= 100
    assert len(HARMLESS_TEXTS) + len(HARMLESS_TREES) >= 100


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_secrets_in_text_are_masked(text: str) -> None:
    shown = REDACTOR.redact_text(f"before\n{text}\nafter")
    assert_hides_canary(shown)
    assert "masked, " in shown
    assert shown.startswith("before\n")
    assert REDACTOR.redact_text(shown) == shown
    assert contains_mask({"text": shown})


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_secrets_in_strings_of_results_are_masked(text: str) -> None:
    once = REDACTOR.redact({"content": [{"type": "text", "text": text}]})
    assert_hides_canary(json.dumps(once))
    assert REDACTOR.redact(once) == once


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "got {}, then", '"{}"', "x={}&y", "({})", "/{}/", "\n{}\n"])
def test_tokens_are_known_by_their_look(token: str, around: str) -> None:
    assert token not in REDACTOR.redact_text(around.format(token))


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("tree", SECRET_TREES, ids=lambda tree: json.dumps(tree)[:80])
def test_secrets_in_objects_are_masked(tree: Json) -> None:
    once = REDACTOR.redact(tree)
    assert_hides_canary(json.dumps(once))
    assert "masked, " in json.dumps(once)
    assert REDACTOR.redact(once) == once
    assert contains_mask(once)
    assert_hides_canary(REDACTOR.redact_manifest(json.dumps(tree)))
    assert_hides_canary(json.dumps(REDACTOR.redact({"manifests": json.dumps(tree)})))
    assert_hides_canary(json.dumps(REDACTOR.redact_arguments({"manifests": json.dumps(tree)}, ["manifests"])))


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_harmless_text_passes(text: str) -> None:
    assert REDACTOR.redact_text(text) == text
    assert REDACTOR.redact_text(f"before\n{text}\nafter") == f"before\n{text}\nafter"
    assert REDACTOR.redact({"text": text}) == {"text": text}
    assert REDACTOR.redact_arguments({"text": text}) == {"text": text}
    assert contains_mask({"text": text}) is None


@pytest.mark.parametrize("tree", HARMLESS_TREES, ids=lambda tree: json.dumps(tree)[:80])
def test_harmless_objects_pass(tree: Json) -> None:
    assert REDACTOR.redact(tree) == tree
    text = json.dumps(tree, indent=2)
    assert REDACTOR.redact({"text": text}) == {"text": text}
    assert REDACTOR.redact_arguments({"text": text}, ["text"]) == {"text": text}
    assert contains_mask({"text": text, "tree": tree}) is None
