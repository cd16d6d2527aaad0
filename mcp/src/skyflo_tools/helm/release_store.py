"""Find releases by the labels of their Secrets, and read single revisions."""

import asyncio
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ApiStatusError, ToolFailure
from skyflo_tools.helm.release import NAME_PREFIX, PENDING, SECRET_TYPE, Release, decode_release
from skyflo_tools.kubernetes.client import ApiRequest, Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.listing import PAGE_SIZE, list_items
from skyflo_tools.kubernetes.lookup import ResourceScope, require_namespace, resolve_scope

MAX_REVISIONS = 5000
METADATA_MEDIA_TYPE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
FORBIDDEN_HINT = "Helm keeps releases in Secrets: reading them needs get and list on secrets in the namespace"


@dataclass(frozen=True)
class RevisionRecord:
    """A revision as the labels of its Secret describe it. `modified_at` is in seconds since 1970; 0 if unknown."""

    name: str
    namespace: str
    revision: int
    status: str
    secret: str
    uid: str
    modified_at: int

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING


@dataclass(frozen=True)
class RevisionList:
    """Revisions, oldest first. `unread` says why there may be more."""

    items: list[RevisionRecord]
    unread: str = ""


@dataclass(frozen=True)
class ReleaseStore:
    """The releases of one namespace, or of all if it is empty."""

    cluster: Cluster
    namespace: str
    identity: Identity | None

    async def list_revisions(self, name: str = "") -> RevisionList:
        """List revisions by metadata only: the Secrets themselves can hold a megabyte each."""
        scope = await self._scope()
        labels = "owner=helm" + (f",name={name}" if name else "")
        params = {"limit": str(PAGE_SIZE), "labelSelector": labels, "fieldSelector": f"type={SECRET_TYPE}"}
        found: list[RevisionRecord] = []
        cursor = ""
        while True:
            chosen = {key: value for key, value in (params | {"continue": cursor}).items() if value}
            path = scope.resource.collection_path(scope.namespace)
            response = await self._send(ApiRequest("GET", path, chosen, accept=METADATA_MEDIA_TYPE))
            found += [record for item in list_items(response) if (record := _parse_record(item))]
            cursor = text_at(response, "metadata", "continue")
            if cursor and len(found) < MAX_REVISIONS:
                continue
            unread = f"only the first {len(found)} revisions by name were read" if cursor else ""
            return RevisionList(sorted(found, key=lambda each: (each.namespace, each.name, each.revision)), unread)

    async def revisions_of(self, name: str) -> list[RevisionRecord]:
        """List the revisions of a release, which must exist. Raises ToolFailure with code `not_found`."""
        listed = await self.list_revisions(name)
        if not listed.items:
            note = await require_namespace(await self._scope(), self.identity)
            raise ToolFailure(
                f"no Helm release {name} in namespace {self.namespace}{note}",
                code="not_found",
                hint="helm_list_releases with all_namespaces=true shows where releases are",
            )
        return listed.items

    async def read(self, record: RevisionRecord) -> Release:
        """Read and decode one revision. Raises UnreadableRelease."""
        secrets = await resolve_scope(self.cluster, "v1/Secret", record.namespace)
        path = secrets.resource.object_path(record.namespace, record.secret)
        body = await self._send(ApiRequest("GET", path))
        release = await asyncio.to_thread(decode_release, body, record.secret)
        return release.model_copy(update={"namespace": record.namespace})

    async def read_revision(self, name: str, revision: int | None) -> tuple[Release, list[RevisionRecord]]:
        """Read a revision of a release, or its latest one, and list all. Raises ToolFailure."""
        records = await self.revisions_of(name)
        return await self.read(choose_revision(records, revision)), records

    async def read_all(self, records: list[RevisionRecord]) -> list[Release | ToolFailure]:
        """Read several revisions. One that can't be read becomes its error."""
        return await gather(self._read_or_error(record) for record in records)

    async def _read_or_error(self, record: RevisionRecord) -> Release | ToolFailure:
        try:
            return await self.read(record)
        except ToolFailure as error:
            return error

    async def _scope(self) -> ResourceScope:
        return await resolve_scope(self.cluster, "v1/Secret", self.namespace, everywhere=not self.namespace)

    async def _send(self, request: ApiRequest) -> JsonObject:
        try:
            return (await self.cluster.client.send(request, self.identity)).json()
        except ApiStatusError as error:
            if error.status == 403:
                raise error.with_message(error.message, hint=FORBIDDEN_HINT) from error
            raise


def _parse_record(item: JsonObject) -> RevisionRecord | None:
    """Parse the labels of a Secret; None for one that Helm did not write."""
    name, version = text_at(item, "metadata", "labels", "name"), text_at(item, "metadata", "labels", "version")
    secret, modified = text_at(item, "metadata", "name"), text_at(item, "metadata", "labels", "modifiedAt")
    if not version.isdecimal() or len(version) > 9 or secret != f"{NAME_PREFIX}{name}.v{int(version)}":
        return None
    return RevisionRecord(
        name=name,
        namespace=text_at(item, "metadata", "namespace"),
        revision=int(version),
        status=text_at(item, "metadata", "labels", "status") or "unknown",
        secret=secret,
        uid=text_at(item, "metadata", "uid"),
        modified_at=int(modified) if modified.isdecimal() and len(modified) <= 12 else 0,
    )


def choose_revision(records: list[RevisionRecord], revision: int | None) -> RevisionRecord:
    """Return the revision of that number, or the latest. Raises ToolFailure with code `not_found`."""
    if revision is None:
        return records[-1]
    found = next((each for each in records if each.revision == revision), None)
    if found is None:
        kept = ", ".join(str(each.revision) for each in records[-20:])
        raise ToolFailure(
            f"release {records[0].name} has no revision {revision}", code="not_found", hint=f"kept are: {kept}"
        )
    return found


def latest_of_each(records: list[RevisionRecord]) -> list[RevisionRecord]:
    """Return the latest revision of each release."""
    return list({(each.namespace, each.name): each for each in records}.values())


def last_deployed(records: list[RevisionRecord], before: int | None = None) -> RevisionRecord | None:
    """Return the latest revision that was deployed, as a target for a rollback."""
    good = [each for each in records if each.status in ("deployed", "superseded")]
    return next((each for each in reversed(good) if before is None or each.revision < before), None)
