"""Read approvals from events and from the list of approvals."""

from dataclasses import dataclass

from src.cli.jsontypes import JsonObject, flag, inner, number, objects, strings, text

__all__ = ["ApprovalView"]


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """One approval as the engine sent it.

    Texts are unfiltered: escape them before printing.
    """

    raw: JsonObject

    @property
    def call_id(self) -> str:
        return text(self.raw, "call_id")

    @property
    def run_id(self) -> str:
        return text(self.raw, "run_id")

    @property
    def conversation_id(self) -> str:
        return text(self.raw, "conversation_id")

    @property
    def tool(self) -> str:
        return text(self.raw, "tool")

    @property
    def title(self) -> str:
        return text(self.raw, "title") or self.tool

    @property
    def args(self) -> JsonObject:
        return inner(self.raw, "args")

    @property
    def digest(self) -> str:
        """Digest of everything that is shown. It goes with the decision, so that nothing else is approved."""
        return text(self.raw, "digest")

    @property
    def preview(self) -> JsonObject:
        return inner(self.raw, "preview")

    @property
    def summary(self) -> str:
        return text(self.preview, "summary") or self.title

    @property
    def diff(self) -> str:
        return text(self.preview, "diff")

    @property
    def no_preview(self) -> str:
        """Why there is no preview; empty if there is one."""
        return text(self.preview, "no_preview") or ("" if self.preview else "This change has no preview.")

    @property
    def warnings(self) -> list[str]:
        return strings(self.preview, "warnings")

    @property
    def objects(self) -> list[JsonObject]:
        return objects(self.preview, "objects")

    @property
    def allowed(self) -> bool | None:
        """Whether the cluster's access rules allow the change; None if they were not checked."""
        return flag(inner(self.preview, "allowed"), "allowed")

    @property
    def not_allowed_because(self) -> str:
        return text(inner(self.preview, "allowed"), "reason")

    @property
    def risk(self) -> str:
        return text(self.raw, "risk")

    @property
    def risk_reason(self) -> str:
        return text(inner(self.preview, "risk"), "reason")

    @property
    def destructive(self) -> bool:
        return self.risk == "destructive"

    @property
    def name(self) -> str:
        """The resource's name, which must be typed to approve a destructive change."""
        named = text(self.objects[0], "name") if self.objects else ""
        return named or text(self.args, "name") or self.tool

    @property
    def votes(self) -> list[JsonObject]:
        """The approvals that count so far."""
        return objects(self.raw, "votes")

    @property
    def voters(self) -> str:
        names = ", ".join(text(each, "name") for each in self.votes[:10])
        return f": {names}" if names else ""

    @property
    def expires_at(self) -> int:
        return number(self.raw, "expires_at")

    @property
    def supersedes(self) -> str:
        return text(self.raw, "supersedes")

    @property
    def status(self) -> str:
        """Status of the decision. An event that announces an approval has none: it is `pending`."""
        return text(self.raw, "status") or "pending"

    @property
    def outcome(self) -> str:
        """Outcome of the execution; empty if the call was not executed."""
        return text(self.raw, "outcome")
