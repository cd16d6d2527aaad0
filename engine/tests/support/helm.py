"""Use a real helm as a person would, beside the tools under test."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.kubectl import Kubectl, Object
from tests.support.waiting import PATIENCE

__all__ = ["Helm"]


@dataclass(frozen=True)
class Helm:
    """Run `binary` with the cluster and the namespace of `kubectl`, and a home of its own."""

    binary: str
    kubectl: Kubectl
    home: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        kubectl = self.kubectl
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(kubectl.kubeconfig)}
        placed = [self.binary, *arguments, f"--kube-context={kubectl.context}", f"--namespace={kubectl.namespace}"]
        return subprocess.run(placed, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def __call__(self, *arguments: str) -> str:
        """Run helm, check that it succeeds, and return its output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def objects(self, chart: Path, *values: str) -> list[Object]:
        """Render a chart as the release `skyflo`."""
        return [each for each in yaml.safe_load_all(self("template", "skyflo", str(chart), *values)) if each]
