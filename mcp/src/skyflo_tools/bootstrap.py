"""Build the tool server from its settings and serve it, over HTTP or over the standard streams."""

import asyncio
import json
import secrets
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from skyflo_common.clock import SystemClock
from skyflo_common.key_list import key_values
from skyflo_common.memory import keep_imports
from skyflo_common.redaction import Fingerprints
from skyflo_common.tracing.opening import open_tracing
from skyflo_tools import __version__
from skyflo_tools.dispatcher import ToolDispatcher
from skyflo_tools.grants.claims import GrantVerifier
from skyflo_tools.grants.postgres import PostgresGrantStore
from skyflo_tools.grants.sqlite import SqliteGrantStore
from skyflo_tools.grants.store import KEY_BYTES, GrantStore
from skyflo_tools.helm.binary import HelmSettings, remove_old_folders
from skyflo_tools.helm.services import HelmServices
from skyflo_tools.jenkins.access import JenkinsAccess, check_access
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.prometheus.client import PrometheusClient, PrometheusSettings
from skyflo_tools.server import DRAIN_SECONDS, build_server, create_app
from skyflo_tools.settings import Settings
from skyflo_tools.stdio import StandardStreams, open_stdio
from skyflo_tools.tool import Services

GRANTS_FILE = "grants.sqlite3"
HELM_FOLDER = "helm"
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients and proxies keep theirs, so that they close it first."""


class _AnnouncingServer(uvicorn.Server):
    """A uvicorn server that prints its port to stdout as soon as it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(json.dumps({"event": "listening", "port": sockets[0].getsockname()[1]}) + "\n")
            sys.stdout.flush()


async def serve_http(settings: Settings, listener: socket.socket) -> None:
    """Serve on a bound socket until a signal stops the process. Prints one JSON line with the port once it listens."""
    config = uvicorn.Config(
        create_app(create_dispatcher(settings), key_values(settings.token), settings.host_names),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
        server_header=False,
    )
    keep_imports()
    await _AnnouncingServer(config).serve([listener])


async def serve_stdio(settings: Settings, streams: StandardStreams) -> None:
    """Serve one client on the standard streams, until its input ends, it stops reading, or a signal comes.

    Changes that are running by then are waited for, as over HTTP.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    dispatcher = create_dispatcher(settings)
    server = build_server(dispatcher)
    keep_imports()
    try:
        async with open_stdio(streams, stop) as (received, answers):
            await server.serve_client(received, answers)
    finally:
        await dispatcher.drain(DRAIN_SECONDS)
        await dispatcher.services.aclose()


def create_dispatcher(settings: Settings) -> ToolDispatcher:
    """Create the dispatcher and the services behind it."""
    clock = SystemClock()
    keys = key_values(settings.grant_key)
    services = Services(
        clusters=Clusters(settings.clusters, settings.kubeconfig, clock, settings.sandbox),
        clock=clock,
        fingerprints=Fingerprints(secrets.token_bytes(KEY_BYTES)),
        grants=_create_grant_store(settings) if settings.has_changes else None,
        helm=_create_helm_services(settings),
        prometheus=_create_prometheus(settings),
        jenkins=_create_jenkins_access(settings),
        tracing=open_tracing(
            "skyflo-tools", __version__, settings.otel_exporter_otlp_endpoint, settings.otel_exporter_otlp_headers
        ),
    )
    own_secrets = list(services.prometheus.settings.secrets) if services.prometheus else []
    single = (settings.database_url, settings.otel_exporter_otlp_headers)
    own_secrets += [*key_values(settings.token), *keys, *(each.get_secret_value() for each in single if each)]
    return ToolDispatcher(
        services=services,
        verifier=GrantVerifier(keys, clock) if settings.has_changes else None,
        impersonate=settings.kubernetes_impersonate,
        own_secrets=tuple(own_secrets),
    )


def _create_prometheus(settings: Settings) -> PrometheusClient | None:
    if not settings.prometheus_url:
        return None
    token, password = settings.prometheus_token, settings.prometheus_password
    return PrometheusClient(
        PrometheusSettings(
            settings.prometheus_url,
            token.get_secret_value() if token else "",
            settings.prometheus_username,
            password.get_secret_value() if password else "",
        )
    )


def _create_helm_services(settings: Settings) -> HelmServices:
    """Create what the Helm tools share. The lock of the data folder is held, so no call can be using old folders."""
    data = settings.data_dir / HELM_FOLDER if settings.data_dir else None
    helm = HelmSettings(settings.helm_binary, settings.helm_charts, data.absolute() if data else None)
    remove_old_folders(helm)
    return HelmServices(helm)


def _create_jenkins_access(settings: Settings) -> JenkinsAccess | None:
    if not settings.jenkins_url or settings.jenkins_api_token is None:
        return None
    token = settings.jenkins_api_token.get_secret_value()
    return check_access(JenkinsAccess(settings.jenkins_url, settings.jenkins_username, token))


def _create_grant_store(settings: Settings) -> GrantStore:
    if settings.database_url is not None:
        return PostgresGrantStore(settings.database_url.get_secret_value())
    return SqliteGrantStore((settings.data_dir or Path()) / GRANTS_FILE)
