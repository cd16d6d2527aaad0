"""The chart repositories that this tool server may use. They are kept in its own data, not in a user's home."""

import asyncio
import ipaddress
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyflo_tools.errors import InvalidArguments, StoreUnavailable, ToolFailure
from skyflo_tools.helm.binary import HelmFolder, HelmSettings, open_folder, refuse_flags

FILE = "repositories.json"
INDEXES = "indexes"
MAX_REPOSITORIES = 50
MAX_FILE = 256 * 1024
MAX_INDEX = 64 * 1024 * 1024
UPDATE_SECONDS = 60.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


class Repository(BaseModel):
    """A repository by HTTP with an index, or a part of an OCI registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=63)
    url: str = Field(max_length=500)

    @property
    def is_oci(self) -> bool:
        return self.url.startswith("oci://")

    @property
    def is_encrypted(self) -> bool:
        """Whether no host in between can change what comes from it: TLS, or this machine itself."""
        return self.url.startswith("https://") or self.is_loopback or self.is_oci

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


class RepositoryList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    repositories: list[Repository] = Field(default=[], max_length=MAX_REPOSITORIES)

    def find(self, name: str) -> Repository | None:
        return next((each for each in self.repositories if each.name == name), None)

    def with_added(self, added: Repository) -> "RepositoryList":
        kept = [each for each in self.repositories if each.name != added.name]
        if len(kept) >= MAX_REPOSITORIES:
            raise InvalidArguments(f"there are {MAX_REPOSITORIES} repositories already", hint="remove one first")
        return RepositoryList(repositories=[*kept, added])

    def without(self, name: str) -> "RepositoryList":
        return RepositoryList(repositories=[each for each in self.repositories if each.name != name])


def parse_repository(name: str, url: str) -> Repository:
    """Check the address of a repository. Raises InvalidArguments."""
    refuse_flags(name=name, url=url)
    if not _NAME.fullmatch(name):
        raise InvalidArguments("name is no name of a repository", hint="lower-case letters, digits, '-', '.' and '_'")
    parts = _split(url)
    if parts is None or parts.scheme not in ("https", "http", "oci") or not url.isprintable() or " " in url:
        raise InvalidArguments("url is not the address of a chart repository", hint="https://..., or oci://host/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidArguments(
            "url must not have a user, a password, a query or a fragment",
            hint="repositories that need a login are not supported yet",
        )
    return Repository(name=name, url=url.rstrip("/"))


def _split(url: str) -> SplitResult | None:
    """Split an address; None if it has no valid host and port."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


@dataclass
class RepositoryStore:
    """Reads and writes the list and the indexes. Writes are atomic, one at a time."""

    settings: HelmSettings
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> RepositoryList:
        """Read the list. Raises StoreUnavailable if it can't be read."""
        return await asyncio.to_thread(self._read)

    async def prepare(self, folder: HelmFolder, *names: str) -> RepositoryList:
        """Put the list and the indexes of these repositories (all without a name) where helm finds them in a call."""
        known = await self.read()
        chosen = [each for each in known.repositories if not each.is_oci and (not names or each.name in names)]
        await asyncio.to_thread(self._copy_out, folder, chosen)
        return known

    async def add(self, repository: Repository) -> None:
        """Fetch the index of a new repository and keep both. Of an OCI registry only the address is kept."""
        async with self._lock:
            known = (await self.read()).with_added(repository)
            if not repository.is_oci:
                await self._fetch([repository])
            await asyncio.to_thread(self._write, known)

    async def update(self, names: list[str]) -> None:
        """Fetch the indexes again."""
        async with self._lock:
            known = await self.read()
            await self._fetch([each for each in known.repositories if each.name in names and not each.is_oci])

    async def remove(self, name: str) -> None:
        async with self._lock:
            await asyncio.to_thread(self._write, (await self.read()).without(name))
            await asyncio.to_thread(self._remove_index, name)

    async def _fetch(self, repositories: list[Repository]) -> None:
        async with open_folder(self.settings) as folder:
            for each in repositories:
                await folder.run("repo", "add", "--", each.name, each.url, seconds=UPDATE_SECONDS)
                await asyncio.to_thread(self._keep_index, folder, each.name)

    @property
    def _data(self) -> Path:
        if self.settings.data is None:
            raise StoreUnavailable("this tool server has no data folder, so it has no repositories")
        return self.settings.data

    def _read(self) -> RepositoryList:
        if self.settings.data is None:
            return RepositoryList()
        try:
            with (self.settings.data / FILE).open("rb") as file:
                return RepositoryList.model_validate_json(file.read(MAX_FILE))
        except FileNotFoundError:
            return RepositoryList()
        except (OSError, ValidationError) as error:
            raise StoreUnavailable(f"the list of chart repositories can't be read ({FILE})") from error

    def _write(self, known: RepositoryList) -> None:
        try:
            self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._data / f"{FILE}.new"
            fresh.write_text(known.model_dump_json(indent=1))
            fresh.replace(self._data / FILE)
        except OSError as error:
            raise StoreUnavailable(f"the list of chart repositories can't be written: {error.strerror}") from error

    def _copy_out(self, folder: HelmFolder, chosen: list[Repository]) -> None:
        entries = [{"name": each.name, "url": each.url} for each in chosen]
        folder.repository_config.write_text(json.dumps({"apiVersion": "v1", "repositories": entries}))
        for each in chosen:
            for name in _index_files(each.name):
                kept = self._data / INDEXES / name
                if kept.is_file():
                    shutil.copyfile(kept, folder.repository_cache / name)

    def _keep_index(self, folder: HelmFolder, name: str) -> None:
        target = self._data / INDEXES
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in _index_files(name):
            fetched = folder.repository_cache / file
            if not fetched.is_file():
                continue
            if fetched.stat().st_size > MAX_INDEX:
                raise ToolFailure(f"the index of {name} is larger than {MAX_INDEX} bytes", code="answer_too_large")
            fresh = target / f"{file}.new"
            shutil.copyfile(fetched, fresh)
            fresh.replace(target / file)

    def _remove_index(self, name: str) -> None:
        for file in _index_files(name):
            (self._data / INDEXES / file).unlink(missing_ok=True)


def _index_files(name: str) -> tuple[str, str]:
    return (f"{name}-index.yaml", f"{name}-charts.txt")
