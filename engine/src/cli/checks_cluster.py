"""Whether the cluster that the settings lead to is there, and may be changed."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli.findings import Finding, bad, bare, good, odd, reason
from src.cli.jsontypes import JsonObject, flag, inner, objects, parsed, text

if TYPE_CHECKING:
    from src.api.config.settings import Settings

__all__ = ["cluster"]

_ASK_SECONDS = 3.0
_MAX_KUBECONFIG = 4 * 1024 * 1024
_POD_AUTHORITY = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")


@dataclass(frozen=True, slots=True)
class _Api:
    """An API server, and what its certificate is checked by: None, nothing."""

    url: str
    trust: ssl.SSLContext | None


Find = Callable[["Settings"], _Api]


def cluster(settings: Settings, stands_in: bool) -> list[Finding]:
    """The current context and those that `CLUSTERS` names."""
    from src.api.config.needs import cluster_choice, cluster_need

    need = cluster_need(settings)
    if stands_in:
        return [odd("cluster", f"The sandbox's, which may be changed. {need or ''}")]
    found = cluster_choice(settings)
    if found.source is None or found.context is None:
        return [bad("cluster", need or "No cluster.")]
    if found.context == "in-cluster":
        return [_asked(found.context, need, _in_pod, settings)]
    contexts = [one.removesuffix(":read") for one in settings.clusters] or [found.context]
    return [_asked(context, need, _in_kubeconfig(Path(found.source), context), settings) for context in contexts[:20]]


def _asked(context: str, need: str | None, find: Find, settings: Settings) -> Finding:
    """The API server is asked for its version, which anybody may."""
    import httpx

    try:
        api = find(settings)
    except (OSError, ValueError, ssl.SSLError) as error:
        return bad("cluster", f"{context}: {error}")
    try:
        answer = httpx.get(f"{api.url}/version", timeout=_ASK_SECONDS, verify=api.trust or False)
    except httpx.HTTPError as error:
        why = "its certificate is not trusted" if "CERTIFICATE" in str(error).upper() else reason(error)
        return bad("cluster", f"{context}: {bare(api.url)} can't be reached ({why}). Is the cluster running?")
    version = ""
    if answer.is_success:
        with contextlib.suppress(ValueError):
            version = text(parsed(answer.content), "gitVersion")
    told = f"{context} at {bare(api.url)}{f', {version}' if version else ''}"
    return odd("cluster", f"{told}. {need}") if need else good("cluster", f"{told}; approved changes are allowed.")


def _in_pod(settings: Settings) -> _Api:
    environment = settings.environment
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    where = f"[{host}]" if ":" in host else host
    return _Api(f"https://{where}:{port}", ssl.create_default_context(cafile=_POD_AUTHORITY))


def _in_kubeconfig(file: Path, context: str) -> Find:
    return lambda _settings: _named(file, context)


def _named(file: Path, context: str) -> _Api:
    """Raises `ValueError`, a sentence, for a context that the file does not lead to a server."""
    read = _read(file)
    chosen = inner(_entry(read, "contexts", context), "context")
    if not chosen:
        raise ValueError(f"{file} has no such context. CLUSTERS names those that may be used.")
    server = inner(_entry(read, "clusters", text(chosen, "cluster")), "cluster")
    url = text(server, "server")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{file} names no server for it.")
    if flag(server, "insecure-skip-tls-verify"):
        return _Api(url.rstrip("/"), None)
    data, path = text(server, "certificate-authority-data"), text(server, "certificate-authority")
    if data:
        return _Api(url.rstrip("/"), ssl.create_default_context(cadata=base64.b64decode(data).decode()))
    return _Api(url.rstrip("/"), ssl.create_default_context(cafile=file.parent / path if path else None))


def _read(file: Path) -> JsonObject:
    import yaml

    try:
        with file.open(encoding="utf-8") as opened:
            found = yaml.safe_load(opened.read(_MAX_KUBECONFIG))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not a kubeconfig: it is not YAML.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not a kubeconfig.")  # noqa: TRY004 - the file is wrong, not a caller's type
    return found


def _entry(of: JsonObject, kind: str, name: str) -> JsonObject:
    return next((each for each in objects(of, kind) if text(each, "name") == name), {})
