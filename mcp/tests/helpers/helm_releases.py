"""Make releases with the real helm, without the tools under test, and Secrets that look like releases."""

import asyncio
import gzip
import json
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from cluster_namespace import KubeNamespace

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.helm.release import SECRET_TYPE

CHARTS = Path(__file__).parents[1] / "charts"
RELEASES = Path(__file__).parents[1] / "releases"


@dataclass(frozen=True)
class HelmCommand:
    """Runs helm in a namespace, with a home of its own."""

    binary: str
    kubeconfig: Path
    context: str
    home: Path

    async def run(self, *arguments: str, namespace: str = "default", fails: bool = False) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        process = await asyncio.create_subprocess_exec(
            *(self.binary, *arguments, "--kube-context", self.context, "--namespace", namespace),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert (process.returncode != 0) == fails, output.decode()
        return output.decode()

    async def install(self, namespace: KubeNamespace, name: str = "web", **values: str | int) -> None:
        given = [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]
        await self.run("upgrade", "--install", name, str(CHARTS / "shop"), *given, namespace=namespace.name)


def release_secret(release: JsonObject) -> JsonObject:
    """Return a Secret as Helm stores a release."""
    packed = b64encode(gzip.compress(json.dumps(release).encode()))
    return raw_release_secret(release, packed)


def raw_release_secret(release: JsonObject, content: bytes) -> JsonObject:
    """Return a Secret of Helm's type with any content."""
    info = release["info"]
    assert isinstance(info, dict)
    labels: JsonObject = {
        "name": release["name"],
        "owner": "helm",
        "status": info["status"],
        "version": str(release["version"]),
        "modifiedAt": "1795946153",
    }
    name = f"sh.helm.release.v1.{release['name']}.v{release['version']}"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "type": SECRET_TYPE,
        "data": {"release": b64encode(content).decode()},
    }


def recorded_release(name: str, namespace: str) -> JsonObject:
    """Return the Secret of a recorded release, as if it had been installed in a namespace."""
    secret = json.loads((RELEASES / f"{name}.json").read_text())
    release = json.loads(gzip.decompress(b64decode(b64decode(secret["data"]["release"]))))
    return release_secret(release | {"namespace": namespace})


def simple_release(name: str = "web", revision: int = 1, status: str = "deployed", manifest: str = "") -> JsonObject:
    return {
        "name": name,
        "version": revision,
        "info": {"status": status, "last_deployed": "2026-11-29T05:00:00Z", "description": "as it is"},
        "chart": {"metadata": {"name": "shop", "version": "0.1.0"}},
        "manifest": manifest,
    }
