"""Results of changes, as structured content and as text."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ChangedObject(BaseModel):
    """An object that a change writes, with the version that was read."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    cluster: str
    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str | None
    resource_version: str | None


class ChangeResult(BaseModel):
    """The result of a change."""

    summary: str
    objects: list[ChangedObject]
    diff: str
    warnings: list[str]
    report: list[str] = []
    """What came of the change beyond the diff, such as each pod that was evicted."""

    def render_text(self) -> str:
        warnings = [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join([self.summary, *warnings, *self.report, self.diff]).rstrip()
