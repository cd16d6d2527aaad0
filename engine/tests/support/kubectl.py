"""Use the cluster directly through kubectl, as its administrator and without the engine."""

import json
import secrets
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE

__all__ = ["Kubectl"]

Object = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """Run `binary` with the administrator's context in one namespace."""

    binary: str
    kubeconfig: Path
    context: str
    namespace: str = "default"

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl, check that it succeeds, and return its output."""
        whose = (f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", f"--namespace={self.namespace}")
        command = [self.binary, *whose, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def with_own_namespace(self) -> "Kubectl":
        name = f"e2e-{secrets.token_hex(4)}"
        self("create", "namespace", name)
        return replace(self, namespace=name)

    def apply(self, manifest: Object, manager: str = "somebody") -> Object:
        printed = self(
            "apply", "--server-side", f"--field-manager={manager}", "-o=json", "-f", "-", given=json.dumps(manifest)
        )
        return dict(json.loads(printed))

    def get(self, kind: str, name: str) -> Object:
        return dict(json.loads(self("get", kind, name, "-o=json", "--show-managed-fields")))

    def patch(self, kind: str, name: str, change: Object, *more: str) -> None:
        self("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}", *more)

    def exists(self, kind: str, name: str) -> bool:
        return bool(self("get", kind, name, "--ignore-not-found", "-o=name").strip())

    def create_deployment(self, name: str = "web", replicas: int = 2, image: str = "registry.example/app:1") -> Object:
        """Create a Deployment with the field manager `somebody`."""
        labels = {"app": name}
        container = {"name": "app", "image": image}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        return self.apply(made | {"spec": spec | {"template": template}})
