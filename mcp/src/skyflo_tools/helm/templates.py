"""Render a chart by `helm template`, for clusters that lack the kinds which the chart itself brings.

Helm's own dry run of an installation fails there, because it looks up every kind.
"""

import asyncio
import json
import tarfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from skyflo_common.jsontypes import JsonObject, object_at, strings_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.helm.binary import HelmFolder
from skyflo_tools.helm.charts import FetchedChart
from skyflo_tools.helm.custom_kinds import CustomKinds
from skyflo_tools.helm.release import Release, UnreadableRelease
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.yaml_documents import read_documents

HOOK, WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"
SCHEMA = "values.schema.json"
MAX_SCHEMA = 1024 * 1024
NOTE = (
    "rendered as `helm template` does it, because the cluster lacks kinds that this chart brings: notes are not shown"
)
_KEPT_FLAGS = ("--namespace=", "--values=")


async def render_template(
    folder: HelmFolder, chart: FetchedChart, flags: Sequence[str], name: str, capabilities: Sequence[str]
) -> Release:
    """Render a chart for a release of this name. Raises UnreadableRelease."""
    kept = [flag for flag in flags if flag.startswith(_KEPT_FLAGS)]
    text = await folder.run("template", *kept, *capabilities, "--", name, str(chart.path))
    about = await folder.run("show", "chart", str(chart.path))
    values = await folder.run("show", "values", str(chart.path))
    return await asyncio.to_thread(_build_release, name, text, about, values, chart.path)


async def capability_flags(cluster: Cluster, kinds: CustomKinds, identity: Identity | None) -> list[str]:
    """Return the flags that tell helm what the cluster serves, and what it will serve with the chart's kinds."""
    version = (await cluster.client.get("/version", identity)).get("gitVersion")
    served = [*await cluster.discovery.resources(), *kinds.resources.values()]
    names = dict.fromkeys(name for each in served for name in (each.api_version, f"{each.api_version}/{each.kind}"))
    return [f"--kube-version={version}", *(f"--api-versions={name}" for name in names)]


def _build_release(name: str, text: str, about: str, values: str, chart: Path) -> Release:
    """Build a release from what helm printed. Hooks are among the objects, with an annotation."""
    objects: list[str] = []
    hooks: list[JsonObject] = []
    for body in _mappings(text, "the rendered chart"):
        annotations = strings_at(body, "metadata", "annotations")
        manifest = json.dumps(body)
        if HOOK in annotations:
            weight = annotations.get(WEIGHT, "0")
            hooks.append(
                {
                    "name": strings_at(body, "metadata").get("name", ""),
                    "manifest": manifest,
                    "events": [event.strip() for event in annotations[HOOK].split(",")],
                    "weight": int(weight) if weight.lstrip("-").isdecimal() and len(weight) < 10 else 0,
                }
            )
        else:
            objects.append(manifest)
    metadata = next(iter(_mappings(about, "Chart.yaml")), {})
    defaults = next(iter(_mappings(values, "values.yaml")), {})
    schema = _read_schema(chart)
    body = {
        "name": name,
        "chart": {"metadata": metadata, "values": defaults, "schema": b64encode(schema).decode() if schema else None},
        "manifest": "\n---\n".join(objects),
        "hooks": [*hooks],
    }
    try:
        return Release.model_validate(body)
    except ValidationError as error:
        raise UnreadableRelease(f"the chart of {name} is not what Helm takes") from error


def _mappings(text: str, what: str) -> list[JsonObject]:
    try:
        values = [each.value for each in read_documents(text)]
    except InvalidArguments as error:
        raise UnreadableRelease(f"{what} can't be read: {error.message}") from error
    return [object_at({"it": value}, "it") for value in values if isinstance(value, dict)]


def _read_schema(chart: Path) -> bytes:
    """Return the schema of the chart's values, which marks secrets, if there is one. Raises UnreadableRelease."""
    if chart.is_dir():
        file = chart / SCHEMA
        content = file.read_bytes()[: MAX_SCHEMA + 1] if file.exists() else b""
    else:
        with tarfile.open(chart) as packed:
            members = (each for each in packed if each.isfile() and each.name.count("/") == 1)
            found = next((each for each in members if each.name.endswith(f"/{SCHEMA}")), None)
            source = packed.extractfile(found) if found else None
            content = source.read(MAX_SCHEMA + 1) if source else b""
    if len(content) > MAX_SCHEMA:
        raise UnreadableRelease(f"{SCHEMA} of the chart is larger than {MAX_SCHEMA} bytes")
    return content
