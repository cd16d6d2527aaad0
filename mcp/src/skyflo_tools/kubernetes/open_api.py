"""Read the schemas that an API server publishes: OpenAPI v3 by group version, or OpenAPI v2 of older servers."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_tools.errors import ApiStatusError, ToolFailure, UnreadableResponse
from skyflo_tools.kubernetes.client import ApiRequest, ApiResponse, Identity, KubeClient
from skyflo_tools.kubernetes.paths import Resource

INDEX = "/openapi/v3"
OLDER = "/openapi/v2"
MAX_CACHED = 4
"""Documents kept for each cluster. That of the core group takes 1.6 MB as text."""

Schemas = dict[str, JsonObject]


@dataclass(frozen=True)
class KindSchema:
    """The schema of a kind, and those that it refers to."""

    root: JsonObject
    schemas: Schemas

    def resolve(self, schema: JsonObject) -> JsonObject:
        """Follow references. What a reference adds, such as a description of the field, stays."""
        for _ in range(8):
            parts = objects_at(schema, "allOf")
            reference = text_at(schema, "$ref") or (text_at(parts[0], "$ref") if len(parts) == 1 else "")
            if not reference:
                return schema
            target = self.schemas.get(reference.rpartition("/")[2], {})
            own: JsonObject = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
            schema = {**target, **own}
        return schema


@dataclass
class OpenApi:
    """The schemas of one API server. A document is read again only if its address, which has its hash, changed."""

    client: KubeClient
    _documents: OrderedDict[str, Schemas] = field(default_factory=OrderedDict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, resource: Resource, identity: Identity | None) -> KindSchema:
        """Return the schema of a kind. Raises ToolFailure if the server publishes none."""
        async with self._reading:  # calls that wait use the document that the first one reads
            schemas = await self._read_schemas(resource, identity)
        wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        for schema in schemas.values():
            if wanted in objects_at(schema, "x-kubernetes-group-version-kind"):
                return KindSchema(schema, schemas)
        raise ToolFailure(
            f"cluster {self.client.name} publishes no schema of {resource.api_version}/{resource.kind}",
            code="no_schema",
            hint="k8s_get output=yaml of an existing object shows its fields",
        )

    async def _read_schemas(self, resource: Resource, identity: Identity | None) -> Schemas:
        try:
            index = await self.client.get(INDEX, identity)
        except ApiStatusError as error:
            if error.status not in (404, 406):
                raise
            return await self._read_document(OLDER, identity)
        root = f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"
        address = text_at(object_at(index, "paths", root), "serverRelativeURL")
        if not address:
            return {}
        return await self._read_document(address, identity)

    async def _read_document(self, address: str, identity: Identity | None) -> Schemas:
        if (cached := self._documents.get(address)) is not None:
            self._documents.move_to_end(address)
            return cached
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not parts.path.startswith("/openapi/"):
            raise UnreadableResponse(f"the API server names its schemas at {address[:200]}", sent=True)
        request = ApiRequest("GET", parts.path, dict(parse_qsl(parts.query)))
        response = await self.client.send(request, identity)
        schemas = await asyncio.to_thread(_parse, response)
        self._documents[address] = schemas
        if len(self._documents) > MAX_CACHED:
            self._documents.popitem(last=False)
        return schemas


def _parse(response: ApiResponse) -> Schemas:
    document = response.json()
    found = object_at(document, "components", "schemas") or object_at(document, "definitions")
    return {name: schema for name, schema in found.items() if isinstance(schema, dict)}
