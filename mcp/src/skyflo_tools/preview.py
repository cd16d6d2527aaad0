"""The result of a preview, as structured content and as text."""

from pydantic import BaseModel

from skyflo_tools.change_result import ChangedObject
from skyflo_tools.kubernetes.access import AccessDecision
from skyflo_tools.preconditions import Preconditions
from skyflo_tools.risk import Risk


class Preview(BaseModel):
    """The result of a preview."""

    summary: str
    objects: list[ChangedObject]
    diff: str
    warnings: list[str]
    allowed: AccessDecision
    risk: Risk
    preconditions: Preconditions
    no_preview: str | None

    def render_text(self) -> str:
        lines = [f"{self.summary} (risk {self.risk.level}: {self.risk.reason})"]
        lines += [f"Warning: {warning}" for warning in self.warnings]
        if not self.allowed.allowed:
            lines.append(f"Not allowed: {self.allowed.reason}")
        if self.no_preview:
            lines.append(self.no_preview)
        return "\n".join([*lines, self.diff or "No difference."])
