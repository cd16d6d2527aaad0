"""Check whether the configured Kubernetes clusters can be reached and may be changed."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli.check_result import CheckResult, describe_error, failed, passed, redact_url, warned
from src.cli.jsontypes import JsonObject, flag, inner, objects, parse_object, text

if TYPE_CHECKING:
    from src.api.config.settings import Settings

__all__ = ["check_cluster"]

_TIMEOUT_SECONDS = 3.0
_MAX_KUBECONFIG = 4 * 1024 * 1024
_POD_CA_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")


@dataclass(frozen=True, slots=True)
class _ApiServer:
    """An API server and the TLS context to verify it with; None skips verification."""

    url: str
    tls: ssl.SSLContext | None


FindServer = Callable[["Settings"], _ApiServer]


def check_cluster(settings: Settings, is_sandbox: bool) -> list[CheckResult]:
    """Check the current context and those that `CLUSTERS` names, at most 20."""
    from src.api.config.startup_checks import check_cluster_settings, find_cluster

    missing = check_cluster_settings(settings)
    if is_sandbox:
        return [warned("cluster", f"The sandbox cluster, which may be changed. {missing or ''}")]
    found = find_cluster(settings)
    if found.source is None or found.context is None:
        return [failed("cluster", missing or "No cluster.")]
    if found.context == "in-cluster":
        return [_check_context(found.context, missing, _pod_server, settings)]
    contexts = [one.removesuffix(":read") for one in settings.clusters] or [found.context]
    return [
        _check_context(context, missing, _kubeconfig_server(Path(found.source), context), settings)
        for context in contexts[:20]
    ]


def _check_context(context: str, missing: str | None, find_server: FindServer, settings: Settings) -> CheckResult:
    """Request the API server's version, which needs no credentials."""
    import httpx

    try:
        api = find_server(settings)
    except (OSError, ValueError, ssl.SSLError) as error:
        return failed("cluster", f"{context}: {error}")
    try:
        answer = httpx.get(f"{api.url}/version", timeout=_TIMEOUT_SECONDS, verify=api.tls or False)
    except httpx.HTTPError as error:
        why = "its certificate is not trusted" if "CERTIFICATE" in str(error).upper() else describe_error(error)
        return failed("cluster", f"{context}: {redact_url(api.url)} can't be reached ({why}). Is the cluster running?")
    version = ""
    if answer.is_success:
        with contextlib.suppress(ValueError):
            version = text(parse_object(answer.content), "gitVersion")
    description = f"{context} at {redact_url(api.url)}{f', {version}' if version else ''}"
    return (
        warned("cluster", f"{description}. {missing}")
        if missing
        else passed("cluster", f"{description}; approved changes are allowed.")
    )


def _pod_server(settings: Settings) -> _ApiServer:
    environment = settings.environment
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    where = f"[{host}]" if ":" in host else host
    return _ApiServer(f"https://{where}:{port}", ssl.create_default_context(cafile=_POD_CA_FILE))


def _kubeconfig_server(file: Path, context: str) -> FindServer:
    return lambda _settings: _read_server(file, context)


def _read_server(file: Path, context: str) -> _ApiServer:
    """Find a context's API server in a kubeconfig.

    Raises `ValueError` with a message for the user if the file names no server for this context.
    """
    kubeconfig = _read_kubeconfig(file)
    chosen = inner(_find_entry(kubeconfig, "contexts", context), "context")
    if not chosen:
        raise ValueError(f"{file} has no such context. Correct CLUSTERS, which names the contexts to use.")
    server = inner(_find_entry(kubeconfig, "clusters", text(chosen, "cluster")), "cluster")
    url = text(server, "server")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{file} names no server for this context.")
    if flag(server, "insecure-skip-tls-verify"):
        return _ApiServer(url.rstrip("/"), None)
    data, path = text(server, "certificate-authority-data"), text(server, "certificate-authority")
    if data:
        return _ApiServer(url.rstrip("/"), ssl.create_default_context(cadata=base64.b64decode(data).decode()))
    return _ApiServer(url.rstrip("/"), ssl.create_default_context(cafile=file.parent / path if path else None))


def _read_kubeconfig(file: Path) -> JsonObject:
    import yaml

    try:
        with file.open(encoding="utf-8") as opened:
            found = yaml.safe_load(opened.read(_MAX_KUBECONFIG))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not a kubeconfig: it is not YAML.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not a kubeconfig.")  # noqa: TRY004 - the file is wrong, not a caller's type
    return found


def _find_entry(kubeconfig: JsonObject, kind: str, name: str) -> JsonObject:
    return next((each for each in objects(kubeconfig, kind) if text(each, "name") == name), {})
