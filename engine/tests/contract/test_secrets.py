"""Where credentials are kept: the same promises of a Kubernetes Secret and of the local store on each database."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from src.api.adapters.secrets.cluster import ClusterAccess, from_kubeconfig, from_service_account
from src.api.adapters.secrets.kubernetes import MANAGED, KubernetesSecrets
from src.api.adapters.secrets.local import LocalSecrets
from src.api.adapters.secrets.places import Places
from src.api.adapters.secrets.sealing import Keys
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import Conflict, CredentialsUnreadable, EngineError, SecretsRefused, SecretsUnavailable
from src.api.ports import Secrets, Transaction
from src.api.schemas.query import Scalar
from src.api.schemas.records import SealedCredentials
from tests.support.services import Cluster
from tests.support.vault import Front, Vault, open_front

KEY, OTHER_KEY = "a" * 20 + "-the-first-key-of-the-tests", "b" * 20 + "-the-other-key-of-the-tests"
VALUES = {"username": "ci-bot", "api_token": "canary-11f0c8e2 \u00e4"}
OWNER = "0192-owner"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"skyflo-{abs(hash(request.node.nodeid)):x}"


@asynccontextmanager
async def in_cluster(access: ClusterAccess, namespace: str) -> AsyncIterator[KubernetesSecrets]:
    secrets = KubernetesSecrets(access, namespace)
    try:
        yield secrets
    finally:
        await secrets.aclose()


@pytest.fixture(params=["sqlite", "postgres", "kubernetes"])
def place(request: pytest.FixtureRequest) -> Vault | str:
    """A namespace, or the address of a database."""
    found = request.getfixturevalue("vault" if request.param == "kubernetes" else f"{request.param}_store_url")
    assert isinstance(found, Vault | str)
    return found


@pytest.fixture
async def secrets(place: Vault | str) -> AsyncIterator[Secrets]:
    if isinstance(place, Vault):
        async with in_cluster(place.access, place.namespace) as opened:
            yield opened
        return
    async with open_store(place) as store:
        yield LocalSecrets(store, Keys([KEY]))


async def refused(work: object, kind: type[EngineError]) -> str:
    """What the error says: a sentence, with no value in it."""
    with pytest.raises(kind) as caught:
        await work  # type: ignore[misc]
    assert caught.value.detail.endswith(".")
    assert "canary" not in caught.value.detail
    return caught.value.detail


async def test_what_is_put_is_read_until_it_is_removed(secrets: Secrets, name: str) -> None:
    await secrets.check()
    await secrets.put(name, OWNER, VALUES)
    ref = secrets.ref(name)
    assert ref.endswith(f"/{name}")
    assert dict(await secrets.read(ref)) == VALUES
    await secrets.remove(ref)
    assert "again" in await refused(secrets.read(ref), CredentialsUnreadable)
    await secrets.remove(ref)


async def test_the_same_again_is_nothing_and_something_else_is_refused(secrets: Secrets, name: str) -> None:
    for _ in range(2):
        await secrets.put(name, OWNER, VALUES)
    for owner, values in ((OWNER, {**VALUES, "api_token": "canary-2"}), (OWNER, {"username": "ci-bot"}), ("x", VALUES)):
        await refused(secrets.put(name, owner, values), Conflict)
    assert dict(await secrets.read(secrets.ref(name))) == VALUES


# -- the local store


async def overwrite(store: TortoiseStore, ref: str, **values: Scalar) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(SealedCredentials, {"ref": ref}, **values)

    await store.transaction(body)


async def test_what_was_changed_or_exchanged_is_never_read(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        local = LocalSecrets(store, Keys([KEY]))
        await local.put("a", OWNER, VALUES)
        await local.put("b", OWNER, {"username": "root", "api_token": "canary-root"})
        a, b = [await store.read(lambda r, n=n: r.get(SealedCredentials, ref=local.ref(n))) for n in "ab"]
        assert a is not None
        assert b is not None
        flipped = ("B" if a.sealed[30] != "B" else "C").join((a.sealed[:30], a.sealed[31:]))
        for wrong in (b.sealed, flipped, a.sealed[:-8], "", "%", a.sealed[:8]):
            await overwrite(store, a.ref, sealed=wrong)
            assert "not what was sealed" in await refused(local.read(a.ref), CredentialsUnreadable)
        await overwrite(store, a.ref, sealed=a.sealed, owner="somebody-else")
        assert "not what was sealed" in await refused(local.read(a.ref), CredentialsUnreadable)


async def test_keys_rotate_and_a_missing_one_is_told(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        before = LocalSecrets(store, Keys([KEY]))
        await before.put("a", OWNER, VALUES)
        both, after = LocalSecrets(store, Keys([OTHER_KEY, KEY])), LocalSecrets(store, Keys([OTHER_KEY]))
        await both.check()
        assert dict(await both.read(before.ref("a"))) == VALUES
        await both.put("b", OWNER, VALUES)
        assert dict(await after.read(before.ref("b"))) == VALUES
        assert "not among CREDENTIALS_KEY" in await refused(after.read(before.ref("a")), CredentialsUnreadable)
        assert "CREDENTIALS_KEY" in await refused(after.check(), SecretsUnavailable)
        none = LocalSecrets(store, Keys([]))
        assert "Set CREDENTIALS_KEY" in await refused(none.put("c", OWNER, VALUES), SecretsRefused)
        assert "CREDENTIALS_KEY" in await refused(none.check(), SecretsRefused)


@pytest.mark.promise("secrets")
async def test_nothing_is_in_the_clear_and_nothing_repeats(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        local = LocalSecrets(store, Keys([KEY]))
        for each in "abc":
            await local.put(each, OWNER, VALUES)
    with sqlite3.connect(sqlite_store_url.removeprefix("sqlite://")) as file:
        sealed = [str(row[0]) for row in file.execute("SELECT sealed FROM credentials")]
        assert len(set(sealed)) == 3
        assert not [line for line in file.iterdump() if "canary" in line or "ci-bot" in line]


# -- Kubernetes


async def test_a_secret_is_ours_and_never_changes(vault: Vault, name: str) -> None:
    async with in_cluster(vault.access, vault.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        assert secrets.ref(name) == f"{vault.namespace}/{name}"
    made = vault.kubectl.get("secret", name)
    assert (made["immutable"], made["type"]) == (True, "Opaque")
    assert made["metadata"]["labels"] == {**MANAGED, "skyflo.ai/integration": OWNER}
    assert set(made["data"]) == set(VALUES)


async def test_what_is_not_ours_is_neither_replaced_nor_read_nor_removed(vault: Vault, name: str) -> None:
    vault.kubectl("create", "secret", "generic", name, "--from-literal=username=theirs")
    async with in_cluster(vault.access, vault.namespace) as secrets:
        assert "It stays" in await refused(secrets.put(name, OWNER, VALUES), Conflict)
        await refused(secrets.read(secrets.ref(name)), CredentialsUnreadable)
        await secrets.remove(secrets.ref(name))
    assert vault.kubectl.exists("secret", name)


@pytest.fixture
async def front(vault: Vault) -> AsyncIterator[Front]:
    async with open_front(vault.access) as opened:
        yield opened


@pytest.mark.promise("once")
async def test_a_create_whose_answer_was_lost_is_found_again_and_not_repeated(
    vault: Vault, front: Front, name: str
) -> None:
    front.lose = {"POST"}
    async with in_cluster(front.reached, vault.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        assert front.seen == ["POST", "GET"]
        assert dict(await secrets.read(secrets.ref(name))) == VALUES


async def test_a_create_that_was_lost_itself_is_not_claimed_and_not_repeated(
    vault: Vault, front: Front, name: str
) -> None:
    front.drop = {"POST"}
    async with in_cluster(front.reached, vault.namespace) as secrets:
        await refused(secrets.put(name, OWNER, VALUES), SecretsUnavailable)
        assert front.seen == ["POST", "GET"]
    assert not vault.kubectl.exists("secret", name)


async def test_a_deletion_whose_answer_was_lost_is_told_and_can_be_asked_again(
    vault: Vault, front: Front, name: str
) -> None:
    async with in_cluster(front.reached, vault.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        front.lose, front.seen = {"DELETE", "GET"}, []
        await refused(secrets.remove(secrets.ref(name)), SecretsUnavailable)
        assert front.seen == ["GET", "GET", "DELETE"]
        await secrets.remove(secrets.ref(name))
    assert not vault.kubectl.exists("secret", name)


async def test_what_keeps_a_cluster_from_being_used_is_said(vault: Vault, name: str, tmp_path: Path) -> None:
    for namespace, says in (("default", "may not create Secrets"), ("kube-system", "Role")):
        async with in_cluster(vault.access, namespace) as secrets:
            assert says in await refused(secrets.put(name, OWNER, VALUES), SecretsRefused)
            assert "may not get Secrets" in await refused(secrets.check(), SecretsRefused)
    nowhere = ClusterAccess("http://127.0.0.1:9", vault.access.tls)
    async with in_cluster(nowhere, "default") as secrets:
        assert "can't be reached" in await refused(secrets.put(name, OWNER, VALUES), SecretsRefused)
    (tmp_path / "token").write_text("forged")
    (tmp_path / "ca.crt").write_bytes((vault.folder / "ca.crt").read_bytes())
    url = vault.server.removeprefix("https://")
    forged = from_service_account(*url.split(":"), tmp_path)
    async with in_cluster(forged, vault.namespace) as secrets:
        assert "Renew it" in await refused(secrets.put(name, OWNER, VALUES), SecretsRefused)


async def test_a_context_leads_to_the_cluster(vault: Vault, name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(vault.token)
    ways = {"token": vault.token}, {"tokenFile": "token"}
    for n, user in enumerate(ways):
        access = from_kubeconfig([tmp_path / "none", vault.kubeconfig(tmp_path / "config", **user)], "vault")
        assert vault.token not in repr(access)
        async with in_cluster(access, vault.namespace) as secrets:
            await secrets.put(f"{name}-{n}", OWNER, VALUES)


async def test_the_administrators_context_does_too(cluster: Cluster, vault: Vault, name: str) -> None:
    """By whatever that cluster's own kubeconfig signs in: a token or a client certificate."""
    async with in_cluster(from_kubeconfig([cluster.kubeconfig], cluster.context), vault.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        await secrets.remove(secrets.ref(name))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda file: file.touch(), "no complete context"),
        (lambda file: file.write_text("contexts: [{name: vault, context: {cluster: x}}]"), "no complete context"),
        (lambda file: file.write_text("{canary"), "can't be read"),
        (lambda file: file.write_text("clusters: canary"), "can't be read"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "can't be read"),
        (lambda file: file.write_text(kubeconfig({"exec": {"command": "aws"}})), "neither a token"),
        (lambda file: file.write_text(kubeconfig({"client-certificate-data": "canary"})), "can't be used"),
    ],
)
def test_a_context_that_can_not_be_used_is_told(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    file = tmp_path / "config"
    write(file)
    with pytest.raises(SecretsRefused, match=says) as told:
        from_kubeconfig([file], "vault")
    assert "canary" not in told.value.detail


def kubeconfig(user: dict[str, object]) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "vault", "context": {"cluster": "c", "user": "u"}}],
        }
    )


async def test_a_pod_without_a_service_account_is_told(tmp_path: Path) -> None:
    with pytest.raises(SecretsRefused, match="No service account"):
        from_service_account("::1", "443", tmp_path)


# -- one after the other


async def test_a_ref_is_followed_to_where_it_was_put(vault: Vault, sqlite_store_url: str, name: str) -> None:
    """An engine that moved to a cluster still reads and removes what its database keeps, and says what it can't."""
    async with open_store(sqlite_store_url) as store, in_cluster(vault.access, vault.namespace) as cluster:
        local = LocalSecrets(store, Keys([KEY]))
        before, after = Places(local, None), Places(local, cluster)
        for places in (before, after):
            await places.put(name, OWNER, VALUES)
            await places.check()
        kept, moved = before.ref(name), after.ref(name)
        assert (dict(await after.read(kept)), dict(await after.read(moved))) == (VALUES, VALUES)
        assert "local store" in await refused(before.read(moved), SecretsUnavailable)
        await after.remove(kept)
        await refused(after.read(kept), CredentialsUnreadable)
        assert dict(await after.read(moved)) == VALUES
