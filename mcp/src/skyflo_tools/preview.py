"""What a preview and a finished change look like, as data and as text."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from skyflo_tools.kubernetes.access import Access
from skyflo_tools.pins import Preconditions
from skyflo_tools.plan import Risk


class ChangedObject(BaseModel):
    """Which object, and which state of it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    cluster: str
    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str | None
    resource_version: str | None


class Preview(BaseModel):
    """What a change would do."""

    summary: str
    objects: list[ChangedObject]
    diff: str
    warnings: list[str]
    allowed: Access
    risk: Risk
    preconditions: Preconditions
    no_preview: str | None

    def text(self) -> str:
        lines = [f"{self.summary} (risk {self.risk.level}: {self.risk.reason})"]
        lines += [f"Warning: {warning}" for warning in self.warnings]
        if not self.allowed.allowed:
            lines.append(f"Not allowed: {self.allowed.reason}")
        if self.no_preview:
            lines.append(self.no_preview)
        return "\n".join([*lines, self.diff or "No difference."])


class ChangeResult(BaseModel):
    """What a change did."""

    summary: str
    objects: list[ChangedObject]
    diff: str
    warnings: list[str]

    def text(self) -> str:
        return "\n".join([self.summary, *(f"Warning: {warning}" for warning in self.warnings), self.diff]).rstrip()
