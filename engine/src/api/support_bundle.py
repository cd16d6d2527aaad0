"""Collect what helps to find a fault, without secrets, for `skyflo support-bundle`."""

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from skyflo_common.redaction import is_secret_name
from src.api.adapters.store.migrations import list_applied, list_pending
from src.api.adapters.store.store import open_store
from src.api.config.settings import Settings, SettingsError
from src.api.database import is_pooled
from src.api.errors import EngineError
from src.api.host_settings import load_host_settings
from src.api.redactor import build_redactor
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.records import RECORDS

__all__ = ["Masker", "collect"]

MAX_LOG_BYTES = 262_144
MAX_LOG_LINES = 500
SHORTEST_SECRET = 4
"""Shorter values are not looked for: they would mask words everywhere."""

_PACKAGES = (
    *("skyflo-engine", "skyflo-tools", "skyflo-sandbox", "skyflo-common"),
    *("fastapi", "fastmcp", "langgraph", "litellm", "mcp", "pydantic", "redis", "tortoise-orm", "uvicorn"),
)


class Masker:
    """Masks every value of a setting that is text or secret, and what looks like a secret, in all texts of a bundle."""

    def __init__(self, settings: Settings | None) -> None:
        found = {part for value in _given_texts(settings) for part in _parts(value)} if settings is not None else set()
        self._values = sorted((each for each in found if len(each) >= SHORTEST_SECRET), key=len, reverse=True)
        self._redactor = None if settings is None else build_redactor(settings)

    def mask(self, text: str) -> str:
        """Mask a text of any origin."""
        for value in self._values:
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
        return text if self._redactor is None else self._redactor.redact_text(text)

    def dump(self, value: Json) -> str:
        """Return a JSON document whose texts are masked."""
        return json.dumps(self._mask_texts(value), indent=2, sort_keys=True) + "\n"

    def _mask_texts(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {name: self._mask_texts(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._mask_texts(each) for each in value]
        return self.mask(value) if isinstance(value, str) else value


async def collect(log: Path | None) -> tuple[dict[str, str], Masker]:
    """Return the files of a bundle by name, masked, and what masks further ones.

    What can't be read is described in its file.
    """
    described: JsonObject = {"versions.json": _versions()}
    settings: Settings | None = None
    try:
        settings = load_host_settings()
        described["database.json"] = await _describe_database(settings)
    except SettingsError as error:
        described["settings.json"] = {"problems": [*error.problems]}
    except EngineError as error:
        settings = Settings.load()  # valid, but there is no database yet
        described["database.json"] = {"error": error.detail}
    if settings is not None:
        described["settings.json"] = _describe_settings(settings)
    masker = Masker(settings)
    files = {name: masker.dump(each) for name, each in described.items()}
    if log is not None and settings is not None:  # without the settings, their secrets can't be masked
        files["log.txt"] = masker.mask(_last_lines(log))
    return files, masker


def _versions() -> JsonObject:
    found: JsonObject = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _describe_settings(settings: Settings) -> JsonObject:
    """Describe each setting: numbers, switches and choices as they are, of a text only whether it is set."""
    found: JsonObject = {
        name.upper(): _describe(getattr(settings, name), field)
        for name, field in Settings.model_fields.items()
        if name not in ("environment", "mcp_servers")
    }
    found["MCP_SERVERS"] = [
        {"number": n, "kind": "url" if server.url else "command", "trusted": server.trusted, "tools": len(server.tools)}
        for n, server in enumerate(settings.mcp_servers, 1)
    ]
    keys = [name for name in settings.environment if name.endswith("_API_KEY") and name.isupper()]
    found["variables"] = [*sorted(keys)]
    return found


def _describe(value: object, field: FieldInfo) -> Json:
    if value is None or isinstance(value, bool | int | float):
        return value
    if value == field.default or not value:
        return "default"
    return value if isinstance(value, str) and _is_choice(field.annotation) else "set"


def _is_choice(annotation: object) -> bool:
    """Whether a setting takes one of a few words, or none."""
    if get_origin(annotation) in (Union, UnionType):
        return all(each is NoneType or _is_choice(each) for each in get_args(annotation))
    return get_origin(annotation) is Literal


async def _describe_database(settings: Settings) -> JsonObject:
    """Return the kind of database, its migrations, and how many rows each table has."""
    url = settings.database_url
    found: JsonObject = {"kind": "sqlite" if settings.embedded else "postgresql"}
    try:
        pending = await list_pending(url)
        found |= {"applied": [*await list_applied(url)], "pending": [*pending]}
        if pending:
            return found
        async with open_store(url, pooled=await is_pooled(settings)) as store:
            rows: JsonObject = {}
            for kind in RECORDS:
                [total] = await store.read(lambda reader, kind=kind: reader.aggregate(kind, (), {}))  # type: ignore[misc]
                rows[kind.table] = total.count
        return found | {"rows": rows}
    except (EngineError, SettingsError) as error:
        return found | {"error": str(error)}


def _last_lines(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - MAX_LOG_BYTES))
            lines = opened.read(MAX_LOG_BYTES).decode(errors="replace").splitlines()
    except OSError as error:
        return f"The log can't be read: {error.strerror}."
    return "\n".join(lines[-MAX_LOG_LINES:])


def _given_texts(settings: Settings) -> Iterable[str]:
    """Yield every text of the settings that is not a default, and every secret of the environment."""
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if name != "environment" and value != field.default and _describe(value, field) == "set":
            yield from _texts_in([*value, *value.values()] if isinstance(value, Mapping) else value)
    for server in settings.mcp_servers:
        yield from _texts_in(server.model_dump())
        yield from server.secrets(settings.environment)
    known = {name.upper() for name in Settings.model_fields}
    for name, text in settings.environment.items():
        if is_secret_name(name) or (name in known and _describe_variable(settings, name) == "set"):
            yield text


def _describe_variable(settings: Settings, name: str) -> Json:
    return _describe(getattr(settings, name.lower()), Settings.model_fields[name.lower()])


def _texts_in(value: Any) -> Iterable[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _texts_in(each)


def _parts(text: str) -> Iterable[str]:
    """Yield the text, and the parts of a URL that may be secret: user, password, path and query."""
    yield text
    try:
        url = urlsplit(text)
    except ValueError:
        return
    if url.scheme and url.netloc:
        for part in (url.username, url.password, url.query, url.path.strip("/")):
            yield from (part, unquote(part)) if part else ()
