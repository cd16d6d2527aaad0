"""Decode the releases that Helm 3 and Helm 4 store in Secrets. Sizes are bounded before and after decompression."""

import binascii
import zlib
from base64 import b64decode
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import ToolFailure

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105 - the type of a Secret
NAME_PREFIX = "sh.helm.release.v1."
MAX_ENCODED = 4 * 1024 * 1024
MAX_DECODED = 32 * 1024 * 1024
PENDING = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")
_GZIP_MAGIC = b"\x1f\x8b\x08"
_ANY_WINDOW_WITH_GZIP_HEADER = zlib.MAX_WBITS | 16


def _or_empty(value: object) -> object:
    """Go writes an empty list or map as null."""
    return [] if value is None else value


def _or_empty_object(value: object) -> object:
    return {} if value is None else value


class _HelmModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ChartMetadata(_HelmModel):
    name: str = ""
    version: str = ""
    app_version: str = Field(default="", alias="appVersion")
    deprecated: bool = False


class Chart(_HelmModel):
    """The chart of a release. Its templates and files are left out."""

    metadata: ChartMetadata = ChartMetadata()
    values: Annotated[dict[str, JsonValue], BeforeValidator(_or_empty_object)] = {}
    schema_base64: str | None = Field(default=None, alias="schema")


class ReleaseInfo(_HelmModel):
    first_deployed: str = ""
    last_deployed: str = ""
    deleted: str = ""
    description: str = ""
    status: str = "unknown"
    notes: str = ""


class Hook(_HelmModel):
    """A manifest that runs at certain events, such as pre-upgrade, and is not part of the release itself."""

    name: str = ""
    kind: str = ""
    manifest: str = ""
    events: Annotated[list[str], BeforeValidator(_or_empty)] = []
    weight: int = 0
    delete_policies: Annotated[list[str], BeforeValidator(_or_empty)] = []


class Release(_HelmModel):
    """One revision of a release."""

    name: str
    namespace: str = ""
    revision: int = Field(default=0, alias="version")
    info: ReleaseInfo = ReleaseInfo()
    chart: Chart = Chart()
    config: Annotated[dict[str, JsonValue], BeforeValidator(_or_empty_object)] = {}
    """The values that were given by its user."""
    manifest: str = ""
    hooks: Annotated[list[Hook], BeforeValidator(_or_empty)] = []
    apply_method: str = ""
    """`ssa` or `csa` as Helm 4 records it; empty for a release of Helm 3, which merges on the client."""

    @property
    def chart_name(self) -> str:
        """The chart with its version, such as `shop-1.2.0`."""
        return f"{self.chart.metadata.name}-{self.chart.metadata.version}"

    def __str__(self) -> str:
        return f"release {self.name} in {self.namespace}"


class UnreadableRelease(ToolFailure):
    """A Secret of Helm's type that holds no release."""

    code = "release_unreadable"


def parse_release(content: bytes | str) -> Release:
    """Parse the JSON of a release. Raises UnreadableRelease."""
    try:
        return Release.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its top level"
        raise UnreadableRelease(f"what Helm stored is no release: it is invalid at {where}") from error


def decode_release(secret: JsonObject, name: str) -> Release:
    """Decode the release in a Secret. `name` names the Secret in errors. Raises UnreadableRelease."""
    data = secret.get("data")
    encoded = data.get("release") if isinstance(data, dict) else None
    if not isinstance(encoded, str):
        raise UnreadableRelease(f"secret/{name} holds no release", hint="k8s_describe shows who made this Secret")
    if len(encoded) > MAX_ENCODED:
        raise UnreadableRelease(f"the release in secret/{name} is larger than {MAX_ENCODED} bytes")
    try:
        packed = b64decode(b64decode(encoded, validate=True), validate=True)
    except binascii.Error as error:
        raise UnreadableRelease(f"the release in secret/{name} is not base64") from error
    return parse_release(_decompress(packed, name) if packed.startswith(_GZIP_MAGIC) else packed)


def _decompress(packed: bytes, name: str) -> bytes:
    """Decompress at most 32 MiB: a few kilobytes can expand to gigabytes."""
    unpacker = zlib.decompressobj(_ANY_WINDOW_WITH_GZIP_HEADER)
    try:
        content = unpacker.decompress(packed, MAX_DECODED)
    except zlib.error as error:
        raise UnreadableRelease(f"the release in secret/{name} is not gzip") from error
    if unpacker.unconsumed_tail:
        raise UnreadableRelease(f"the release in secret/{name} is larger than {MAX_DECODED} bytes decompressed")
    if not unpacker.eof:
        raise UnreadableRelease(f"the release in secret/{name} is cut")
    return content
