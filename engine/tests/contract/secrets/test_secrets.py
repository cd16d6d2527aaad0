"""The contract of credential stores: Kubernetes Secrets, and the local store on each database."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from src.api.adapters.secrets.cluster import ClusterAccess, read_kubeconfig, read_service_account
from src.api.adapters.secrets.encryption import EncryptionKeys
from src.api.adapters.secrets.kubernetes import MANAGED, KubernetesSecrets
from src.api.adapters.secrets.local import LocalSecrets
from src.api.adapters.secrets.router import SecretsRouter
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import Conflict, CredentialsUnreadable, EngineError, SecretsRefused, SecretsUnavailable
from src.api.ports import Secrets, Transaction
from src.api.schemas.query import Scalar
from src.api.schemas.records import SealedCredentials
from tests.support.secret_namespace import LossyApiProxy, SecretNamespace, open_lossy_proxy
from tests.support.services import Cluster

KEY, OTHER_KEY = "a" * 20 + "-the-first-key-of-the-tests", "b" * 20 + "-the-other-key-of-the-tests"
VALUES = {"username": "ci-bot", "api_token": "canary-11f0c8e2 \u00e4"}
OWNER = "0192-owner"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"skyflo-{abs(hash(request.node.nodeid)):x}"


@asynccontextmanager
async def open_in_cluster(access: ClusterAccess, namespace: str) -> AsyncIterator[KubernetesSecrets]:
    secrets = KubernetesSecrets(access, namespace)
    try:
        yield secrets
    finally:
        await secrets.aclose()


@pytest.fixture(params=["sqlite", "postgres", "kubernetes"])
def place(request: pytest.FixtureRequest) -> SecretNamespace | str:
    """A namespace, or the URL of a database."""
    found = request.getfixturevalue(
        "secret_namespace" if request.param == "kubernetes" else f"{request.param}_store_url"
    )
    assert isinstance(found, SecretNamespace | str)
    return found


@pytest.fixture
async def secrets(place: SecretNamespace | str) -> AsyncIterator[Secrets]:
    if isinstance(place, SecretNamespace):
        async with open_in_cluster(place.access, place.namespace) as opened:
            yield opened
        return
    async with open_store(place) as store:
        yield LocalSecrets(store, EncryptionKeys([KEY]))


async def expect_refusal(work: object, kind: type[EngineError]) -> str:
    """Check that the call fails with a sentence without secret values, and return it."""
    with pytest.raises(kind) as caught:
        await work  # type: ignore[misc]
    assert caught.value.detail.endswith(".")
    assert "canary" not in caught.value.detail
    return caught.value.detail


async def test_credentials_are_stored_read_and_removed(secrets: Secrets, name: str) -> None:
    await secrets.check()
    await secrets.put(name, OWNER, VALUES)
    ref = secrets.ref(name)
    assert ref.endswith(f"/{name}")
    assert dict(await secrets.read(ref)) == VALUES
    await secrets.remove(ref)
    assert "again" in await expect_refusal(secrets.read(ref), CredentialsUnreadable)
    await secrets.remove(ref)


async def test_repeated_write_is_idempotent_and_conflict_is_refused(secrets: Secrets, name: str) -> None:
    for _ in range(2):
        await secrets.put(name, OWNER, VALUES)
    for owner, values in ((OWNER, {**VALUES, "api_token": "canary-2"}), (OWNER, {"username": "ci-bot"}), ("x", VALUES)):
        await expect_refusal(secrets.put(name, owner, values), Conflict)
    assert dict(await secrets.read(secrets.ref(name))) == VALUES


# -- the local store


async def overwrite(store: TortoiseStore, ref: str, **values: Scalar) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(SealedCredentials, {"ref": ref}, **values)

    await store.transaction(body)


async def test_altered_or_swapped_credentials_are_not_read(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        local = LocalSecrets(store, EncryptionKeys([KEY]))
        await local.put("a", OWNER, VALUES)
        await local.put("b", OWNER, {"username": "root", "api_token": "canary-root"})
        a, b = [await store.read(lambda r, n=n: r.get(SealedCredentials, ref=local.ref(n))) for n in "ab"]
        assert a is not None
        assert b is not None
        flipped = ("B" if a.sealed[30] != "B" else "C").join((a.sealed[:30], a.sealed[31:]))
        for wrong in (b.sealed, flipped, a.sealed[:-8], "", "%", a.sealed[:8]):
            await overwrite(store, a.ref, sealed=wrong)
            assert "changed or swapped" in await expect_refusal(local.read(a.ref), CredentialsUnreadable)
        await overwrite(store, a.ref, sealed=a.sealed, owner="somebody-else")
        assert "changed or swapped" in await expect_refusal(local.read(a.ref), CredentialsUnreadable)


async def test_keys_rotate_and_missing_key_is_reported(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        before = LocalSecrets(store, EncryptionKeys([KEY]))
        await before.put("a", OWNER, VALUES)
        both, after = LocalSecrets(store, EncryptionKeys([OTHER_KEY, KEY])), LocalSecrets(
            store, EncryptionKeys([OTHER_KEY])
        )
        await both.check()
        assert dict(await both.read(before.ref("a"))) == VALUES
        await both.put("b", OWNER, VALUES)
        assert dict(await after.read(before.ref("b"))) == VALUES
        assert "not in CREDENTIALS_KEY" in await expect_refusal(after.read(before.ref("a")), CredentialsUnreadable)
        assert "CREDENTIALS_KEY" in await expect_refusal(after.check(), SecretsUnavailable)
        none = LocalSecrets(store, EncryptionKeys([]))
        assert "Set CREDENTIALS_KEY" in await expect_refusal(none.put("c", OWNER, VALUES), SecretsRefused)
        assert "CREDENTIALS_KEY" in await expect_refusal(none.check(), SecretsRefused)


@pytest.mark.promise("secrets")
async def test_stored_credentials_are_encrypted_and_unique(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        local = LocalSecrets(store, EncryptionKeys([KEY]))
        for each in "abc":
            await local.put(each, OWNER, VALUES)
    with closing(sqlite3.connect(sqlite_store_url.removeprefix("sqlite://"))) as file:
        sealed = [str(row[0]) for row in file.execute("SELECT sealed FROM credentials")]
        assert len(set(sealed)) == 3
        assert not [line for line in file.iterdump() if "canary" in line or "ci-bot" in line]


# -- Kubernetes


async def test_kubernetes_secret_is_labelled_and_immutable(secret_namespace: SecretNamespace, name: str) -> None:
    async with open_in_cluster(secret_namespace.access, secret_namespace.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        assert secrets.ref(name) == f"{secret_namespace.namespace}/{name}"
    made = secret_namespace.kubectl.get("secret", name)
    assert (made["immutable"], made["type"]) == (True, "Opaque")
    assert made["metadata"]["labels"] == {**MANAGED, "skyflo.ai/integration": OWNER}
    assert set(made["data"]) == set(VALUES)


async def test_foreign_secret_is_not_touched(secret_namespace: SecretNamespace, name: str) -> None:
    secret_namespace.kubectl("create", "secret", "generic", name, "--from-literal=username=theirs")
    async with open_in_cluster(secret_namespace.access, secret_namespace.namespace) as secrets:
        assert "It was not changed" in await expect_refusal(secrets.put(name, OWNER, VALUES), Conflict)
        await expect_refusal(secrets.read(secrets.ref(name)), CredentialsUnreadable)
        await secrets.remove(secrets.ref(name))
    assert secret_namespace.kubectl.exists("secret", name)


@pytest.fixture
async def proxy(secret_namespace: SecretNamespace) -> AsyncIterator[LossyApiProxy]:
    async with open_lossy_proxy(secret_namespace.access) as opened:
        yield opened


@pytest.mark.promise("once")
async def test_create_with_lost_answer_is_not_repeated(
    secret_namespace: SecretNamespace, proxy: LossyApiProxy, name: str
) -> None:
    proxy.lose = {"POST"}
    async with open_in_cluster(proxy.via_proxy, secret_namespace.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        assert proxy.seen == ["POST", "GET"]
        assert dict(await secrets.read(secrets.ref(name))) == VALUES


async def test_lost_create_is_reported_and_not_repeated(
    secret_namespace: SecretNamespace, proxy: LossyApiProxy, name: str
) -> None:
    proxy.drop = {"POST"}
    async with open_in_cluster(proxy.via_proxy, secret_namespace.namespace) as secrets:
        await expect_refusal(secrets.put(name, OWNER, VALUES), SecretsUnavailable)
        assert proxy.seen == ["POST", "GET"]
    assert not secret_namespace.kubectl.exists("secret", name)


async def test_delete_with_lost_answer_can_be_repeated(
    secret_namespace: SecretNamespace, proxy: LossyApiProxy, name: str
) -> None:
    async with open_in_cluster(proxy.via_proxy, secret_namespace.namespace) as secrets:
        await secrets.put(name, OWNER, VALUES)
        proxy.lose, proxy.seen = {"DELETE", "GET"}, []
        await expect_refusal(secrets.remove(secrets.ref(name)), SecretsUnavailable)
        assert proxy.seen == ["GET", "GET", "DELETE"]
        await secrets.remove(secrets.ref(name))
    assert not secret_namespace.kubectl.exists("secret", name)


async def test_unusable_cluster_is_explained(secret_namespace: SecretNamespace, name: str, tmp_path: Path) -> None:
    for namespace, says in (("default", "may not create Secrets"), ("kube-system", "Role")):
        async with open_in_cluster(secret_namespace.access, namespace) as secrets:
            assert says in await expect_refusal(secrets.put(name, OWNER, VALUES), SecretsRefused)
            assert "may not get Secrets" in await expect_refusal(secrets.check(), SecretsRefused)
    nowhere = ClusterAccess("http://127.0.0.1:9", secret_namespace.access.tls)
    async with open_in_cluster(nowhere, "default") as secrets:
        assert "can't be reached" in await expect_refusal(secrets.put(name, OWNER, VALUES), SecretsRefused)
    (tmp_path / "token").write_text("forged")
    (tmp_path / "ca.crt").write_bytes((secret_namespace.folder / "ca.crt").read_bytes())
    url = secret_namespace.server.removeprefix("https://")
    forged = read_service_account(*url.split(":"), tmp_path)
    async with open_in_cluster(forged, secret_namespace.namespace) as secrets:
        assert "Renew it" in await expect_refusal(secrets.put(name, OWNER, VALUES), SecretsRefused)


async def test_kubeconfig_context_is_used(secret_namespace: SecretNamespace, name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secret_namespace.token)
    credentials = {"token": secret_namespace.token}, {"tokenFile": "token"}
    for n, user in enumerate(credentials):
        access = read_kubeconfig([tmp_path / "none", secret_namespace.kubeconfig(tmp_path / "config", **user)], "vault")
        assert secret_namespace.token not in repr(access)
        async with open_in_cluster(access, secret_namespace.namespace) as secrets:
            await secrets.put(f"{name}-{n}", OWNER, VALUES)


async def test_admin_kubeconfig_context_is_used(cluster: Cluster, secret_namespace: SecretNamespace, name: str) -> None:
    """The cluster's kubeconfig uses a token or a client certificate."""
    async with open_in_cluster(
        read_kubeconfig([cluster.kubeconfig], cluster.context), secret_namespace.namespace
    ) as secrets:
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
def test_unusable_kubeconfig_is_explained(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    file = tmp_path / "config"
    write(file)
    with pytest.raises(SecretsRefused, match=says) as refusal:
        read_kubeconfig([file], "vault")
    assert "canary" not in refusal.value.detail


def kubeconfig(user: dict[str, object]) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "vault", "context": {"cluster": "c", "user": "u"}}],
        }
    )


async def test_missing_service_account_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SecretsRefused, match="No service account"):
        read_service_account("::1", "443", tmp_path)


# -- moving from one to the other


async def test_reference_is_routed_to_its_store(
    secret_namespace: SecretNamespace, sqlite_store_url: str, name: str
) -> None:
    """An engine moved to a cluster still reads and removes the credentials in its database."""
    async with (
        open_store(sqlite_store_url) as store,
        open_in_cluster(secret_namespace.access, secret_namespace.namespace) as cluster,
    ):
        local = LocalSecrets(store, EncryptionKeys([KEY]))
        before, after = SecretsRouter(local, None), SecretsRouter(local, cluster)
        for places in (before, after):
            await places.put(name, OWNER, VALUES)
            await places.check()
        kept, moved = before.ref(name), after.ref(name)
        assert (dict(await after.read(kept)), dict(await after.read(moved))) == (VALUES, VALUES)
        assert "local store" in await expect_refusal(before.read(moved), SecretsUnavailable)
        await after.remove(kept)
        await expect_refusal(after.read(kept), CredentialsUnreadable)
        assert dict(await after.read(moved)) == VALUES
