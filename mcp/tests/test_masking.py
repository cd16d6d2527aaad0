"""Secrets stay inside: canaries are planted everywhere and looked for in everything that comes out."""

import base64
import logging

import pytest
from toolkit import KEY, Result, Toolbox, World, deployment

from skyflo_tools.jsontypes import JsonObject, canonical
from skyflo_tools.redaction import Fingerprints, clean_text, mask_object

CANARY = "canary-7f3a9-open-sesame"
ENCODED = base64.b64encode(CANARY.encode()).decode()


def silent(*results: Result | JsonObject) -> None:
    """Fails if a canary is in any of it."""
    for result in results:
        text = canonical(result.data) + result.text if isinstance(result, Result) else canonical(result)
        assert CANARY not in text
        assert ENCODED not in text


def secret(name: str = "db", **data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data or {"pass": CANARY}}


@pytest.mark.promise("secrets")
async def test_a_secret_is_never_shown(toolbox: Toolbox, world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await world.create("secrets", secret())
    one: dict[str, object] = {"kind": "secret", "namespace": world.namespace}
    shown = await toolbox.read("k8s_get", **one, name="db", output="yaml")
    assert f"masked, {len(CANARY)} bytes, " in shown.text
    silent(
        shown,
        await toolbox.read("k8s_get", **one),
        await toolbox.read("k8s_get", **one, output="yaml"),
        await toolbox.read("k8s_get", **one, output="wide"),
        await toolbox.read("k8s_describe", **one, name="db"),
    )
    assert CANARY not in caplog.text


@pytest.mark.promise("secrets")
async def test_a_secret_in_the_last_applied_copy_is_not_shown(toolbox: Toolbox, world: World) -> None:
    body = secret()
    body["metadata"] = {
        "name": "db",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": canonical(secret())},
    }
    await world.create("secrets", body)
    silent(await toolbox.read("k8s_get", kind="secret", name="db", namespace=world.namespace, output="yaml"))


@pytest.mark.promise("secrets")
async def test_a_change_of_a_secret_shows_that_it_changes_but_not_what(
    toolbox: Toolbox, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for value in ("first-value-of-it", CANARY):
        arguments: JsonObject = {"manifests": canonical(secret(**{"pass": value})), "namespace": world.namespace}
        preview = await toolbox.preview("k8s_apply", arguments)
        result = await toolbox.granted("k8s_apply", arguments, preview["preconditions"])
        assert not result.is_error, result.text
        silent(preview, result)
        settled = await toolbox.read("grant_settle", id="approval-other")
        silent(settled)
    lines = [line for line in str(preview["diff"]).splitlines() if "masked" in line]
    assert [line[0] for line in lines] == ["-", "+"]
    assert lines[0][1:] != lines[1][1:]
    assert CANARY not in caplog.text


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("encoded", [True, False])
async def test_errors_about_a_secret_do_not_quote_it(toolbox: Toolbox, world: World, encoded: bool) -> None:
    await world.create("secrets", secret())
    value: JsonObject = {"data": {"pass": CANARY + "!"}} if encoded else {"stringData": {"pass": [CANARY]}}
    arguments: JsonObject = {"kind": "secret", "name": "db", "namespace": world.namespace, "patch": value}
    refused = await toolbox.call("k8s_patch__preview", arguments)
    assert refused.is_error
    silent(refused)
    manifest = canonical(secret() | {"data": {"pass": CANARY + "!"}, "kind": "Secret"})
    refused = await toolbox.call("k8s_apply__preview", {"manifests": manifest, "namespace": world.namespace})
    assert refused.is_error
    silent(refused)


@pytest.mark.promise("secrets")
async def test_passwords_in_other_objects_are_masked(toolbox: Toolbox, world: World) -> None:
    body = deployment()
    env = [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PLAIN", "value": "shown"}]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = env
    await world.create("deployments", body)
    await world.config_map("settings", api_key=CANARY, url=f"postgres://joe:{CANARY}@db/x", note="shown")
    one: dict[str, object] = {"namespace": world.namespace, "output": "yaml"}
    results = [await toolbox.read("k8s_get", **one, kind=kind) for kind in ("deploy", "cm")]
    silent(*results, await toolbox.read("k8s_describe", kind="deploy", name="web", namespace=world.namespace))
    assert all("shown" in result.text for result in results)


@pytest.mark.promise("secrets")
async def test_our_own_keys_are_masked_wherever_they_come_from(toolbox: Toolbox, world: World) -> None:
    token = str(world.api.connection.user.token)
    await world.config_map("leak", a=f"seen: {token}", b=f"and {KEY}")
    shown = await toolbox.read("k8s_get", kind="cm", name="leak", namespace=world.namespace, output="yaml")
    assert KEY not in shown.text
    assert len(token) < 6 or token not in shown.text


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghijklmnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "aws AKIAIOSFODNN7EXAMPLE key",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_0123456789abcdefghijABCDEFGHIJ",
        "glpat-0123456789abcdefghij",
        "xoxb-0123456789-abcdefghij",
        "sk-proj-0123456789abcdefghij",
        "password=hunter2hunter2",
        'token: "hunter2hunter2"',
        "client-key-data: aHVudGVyMmh1bnRlcjI=",
        "postgres://joe:hunter2hunter2@db:5432/shop",
        "-----BEGIN" + " RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_token_looking_strings_are_masked(text: str) -> None:
    cleaned = clean_text(f"before {text} after")
    assert "[masked]" in cleaned
    assert cleaned.startswith("before")
    assert cleaned.endswith("after")
    for part in ("hunter2", "EXAMPLE", "ABCDEFGHIJ", "MIIEabc", "dozjgNry", "abcdefghij"):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "secretName: web-tls",
        "secret:\n  secretName: web-certificate",
        "automountServiceAccountToken: true",
        "imagePullSecrets: [registry]",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "uid: 7a893bb4-acab-413c-aa58-eef650d2c6e3",
        "tokenExpirationSeconds: 3607",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


def test_broken_characters_become_replacement_characters() -> None:
    assert clean_text("a\x00b") == "a\ufffdb"
    assert clean_text("a\ud800b") in ("a?b", "a\ufffdb")


def test_fingerprints_tell_equality_and_depend_on_the_key() -> None:
    body: JsonObject = {"kind": "Secret", "data": {"a": ENCODED, "b": ENCODED}, "stringData": "odd"}
    one, other = (mask_object(body, Fingerprints(key)) for key in (b"one", b"other"))
    assert one["data"]["a"] == one["data"]["b"] != other["data"]["a"]
    assert one["stringData"] == "[masked]"
