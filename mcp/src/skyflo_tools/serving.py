"""Serving: everything that the tools need, put together, and one line on stdout that says where it listens."""

import json
import secrets
import socket
import sys
from pathlib import Path

import uvicorn

from skyflo_tools.clock import SystemClock
from skyflo_tools.door import Door
from skyflo_tools.grants.claims import Verifier
from skyflo_tools.grants.postgres import PostgresGrants
from skyflo_tools.grants.sqlite import SqliteGrants
from skyflo_tools.grants.store import KEY_BYTES, GrantStore
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.redaction import Fingerprints
from skyflo_tools.server import DRAIN_SECONDS, application
from skyflo_tools.settings import Settings
from skyflo_tools.tool import Services

GRANTS_FILE = "grants.sqlite3"


class _Announcing(uvicorn.Server):
    """Says on stdout where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(json.dumps({"event": "listening", "port": sockets[0].getsockname()[1]}) + "\n")
            sys.stdout.flush()


async def serve(settings: Settings, listening: socket.socket) -> None:
    """Serves on a bound socket until the process is told to stop."""
    door = make_door(settings)
    grants = door.services.grants

    async def close() -> None:
        await door.services.clusters.aclose()
        if grants is not None:
            await grants.aclose()

    token = settings.token.get_secret_value() if settings.token else ""
    config = uvicorn.Config(
        application(door, token, close),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
        ws="none",
        server_header=False,
    )
    await _Announcing(config).serve([listening])


def make_door(settings: Settings) -> Door:
    """Everything that the tools need, from the settings."""
    clock = SystemClock()
    key = settings.grant_key.get_secret_value() if settings.grant_key else ""
    services = Services(
        clusters=Clusters(settings.clusters, settings.kubeconfig, clock, settings.sandbox),
        clock=clock,
        fingerprints=Fingerprints(secrets.token_bytes(KEY_BYTES)),
        grants=_store(settings) if settings.has_changes else None,
    )
    own = [
        secret.get_secret_value() for secret in (settings.token, settings.grant_key, settings.database_url) if secret
    ]
    return Door(
        services=services,
        verifier=Verifier(key, clock) if settings.has_changes else None,
        impersonate=settings.kubernetes_impersonate,
        own_secrets=tuple(own),
    )


def _store(settings: Settings) -> GrantStore:
    if settings.database_url is not None:
        return PostgresGrants(settings.database_url.get_secret_value())
    return SqliteGrants((settings.data_dir or Path()) / GRANTS_FILE)
