"""Get a chart into the private folder of a call, with a digest of what was got."""

import asyncio
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.helm.binary import HelmFolder, HelmSettings, refuse_flags
from skyflo_tools.helm.repositories import Repository, RepositoryList, RepositoryStore

MAX_CHART = 20 * 1024 * 1024
MAX_FILES = 5000
PULL_SECONDS = 60.0
_FOLDER = re.compile(r"\./[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,5}", re.ASCII)
_NAMED = re.compile(r"([a-z0-9][a-z0-9._-]{0,62})/([A-Za-z0-9][A-Za-z0-9._/-]{0,199})", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z~^<>=*][0-9A-Za-z.+~^<>=*|, -]{0,99}", re.ASCII)
REPOSITORY_HINT = "helm_repo_list shows the repositories; helm_repo_add adds one"

ChartReference = Annotated[
    str,
    Field(
        min_length=3,
        max_length=300,
        description="REPOSITORY/CHART with a name of helm_repo_list, or ./FOLDER.",
    ),
]
ChartVersion = Annotated[
    str | None,
    Field(default=None, max_length=100, description="Version or range. Default: the latest."),
]


@dataclass(frozen=True)
class FetchedChart:
    """A chart on disk. `digest` is the SHA-256 of its archive, or of its files and their names."""

    path: Path
    digest: str
    reference: str


async def fetch_chart(
    reference: str, version: str | None, folder: HelmFolder, repositories: RepositoryStore
) -> FetchedChart:
    """Copy or pull a chart. Raises InvalidArguments for one outside of the folder and the known repositories."""
    refuse_flags(chart=reference, version=version)
    if version is not None and not _VERSION.fullmatch(version):
        raise InvalidArguments("version is not a version or a range of versions")
    if reference.startswith("."):
        if version is not None:
            raise InvalidArguments("a chart in a folder has one version only", hint="leave out version")
        return await asyncio.to_thread(_copy_folder, reference, folder)
    return await _pull(reference, version, folder, repositories)


def _copy_folder(reference: str, folder: HelmFolder) -> FetchedChart:
    """Copy a chart of the server's folder, so that what is digested is what helm reads."""
    root = _chart_root(folder.settings)
    if not _FOLDER.fullmatch(reference):
        raise InvalidArguments(f"{reference[:80]!r} is not a folder of charts", hint="./FOLDER, without '..'")
    source = root.joinpath(*reference.split("/")[1:])
    if not (source / "Chart.yaml").is_file() or not source.resolve().is_relative_to(root.resolve()):
        raise ToolFailure(f"there is no chart {reference}", code="not_found", hint=_list_charts(root))
    target = folder.path / "charts" / source.name
    digest, size, count = hashlib.sha256(), 0, 0
    for parent, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            path = Path(parent) / name
            if path.is_symlink() or not path.is_file():
                raise InvalidArguments(f"{reference} holds {name}, which is no plain file")
            size, count = size + path.stat().st_size, count + 1
            if size > MAX_CHART or count > MAX_FILES:
                raise InvalidArguments(f"{reference} has more than {MAX_FILES} files or {MAX_CHART} bytes")
            inside = path.relative_to(source)
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            (target / inside).write_bytes(content)
            for part in (str(inside).encode(), content):
                digest.update(len(part).to_bytes(8, "big") + part)
    return FetchedChart(target, digest.hexdigest(), reference)


def _chart_root(settings: HelmSettings) -> Path:
    if settings.charts is None:
        raise InvalidArguments(
            "this tool server has no folder of charts", hint="set HELM_CHARTS to one, or use a chart repository"
        )
    return settings.charts


def _list_charts(root: Path) -> str:
    names = sorted(path.parent.name for path in root.glob("*/Chart.yaml"))[:20]
    return f"its charts: {', '.join(f'./{name}' for name in names)}" if names else "its folder has no charts"


async def _pull(reference: str, version: str | None, folder: HelmFolder, repositories: RepositoryStore) -> FetchedChart:
    named = _NAMED.fullmatch(reference)
    known = await repositories.read()
    repository = _repository_of(reference, known)
    if repository.is_oci:
        chart = reference if reference.startswith("oci://") else f"{repository.url}/{named[2] if named else ''}"
        source, flags = chart, ["--plain-http"] if repository.is_loopback else []
    else:
        source, flags = reference, []
        await repositories.prepare(folder, repository.name)
    target = folder.path / "charts"
    chosen = [f"--version={version}"] if version else []
    await folder.run("pull", *chosen, *flags, f"--destination={target}", "--", source, seconds=PULL_SECONDS)
    return await asyncio.to_thread(_digest_archive, target, reference)


def _repository_of(reference: str, known: RepositoryList) -> Repository:
    """Return the repository of a chart. An address counts as known below the address of an OCI repository."""
    if "://" in reference:
        is_clean = reference.isprintable() and ".." not in reference and not set(reference) & set(" ?#@%\\")
        for each in known.repositories if is_clean else []:
            if each.is_oci and reference.startswith(f"{each.url}/"):
                return each
        raise InvalidArguments(f"{reference[:100]!r} is in no known repository", hint=REPOSITORY_HINT)
    named = _NAMED.fullmatch(reference)
    found = known.find(named[1]) if named and ".." not in reference else None
    if found is None:
        names = ", ".join(each.name for each in known.repositories) or "none"
        raise InvalidArguments(f"{reference[:100]!r} is in no known repository ({names})", hint=REPOSITORY_HINT)
    return found


def _digest_archive(target: Path, reference: str) -> FetchedChart:
    archives = list(target.glob("*.tgz"))
    if len(archives) != 1:
        raise ToolFailure(f"{reference} is no chart archive", code="helm_failed")
    if archives[0].stat().st_size > MAX_CHART:
        raise ToolFailure(f"{reference} is larger than {MAX_CHART} bytes", code="answer_too_large")
    with archives[0].open("rb") as file:
        return FetchedChart(archives[0], hashlib.file_digest(file, "sha256").hexdigest(), reference)
