"""What a person decides on, read from an event or from the inbox alike."""

from dataclasses import dataclass

from src.cli.jsontypes import JsonObject, flag, inner, number, objects, strings, text

__all__ = ["Card"]


@dataclass(frozen=True, slots=True)
class Card:
    """One approval as the engine tells it. Texts are as they came: who shows them makes them harmless."""

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
        """Of all that is shown; goes with the decision, so that nothing else is approved."""
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
        """Why there is none, or nothing."""
        return text(self.preview, "no_preview") or ("" if self.preview else "This change has no preview.")

    @property
    def warnings(self) -> list[str]:
        return strings(self.preview, "warnings")

    @property
    def objects(self) -> list[JsonObject]:
        return objects(self.preview, "objects")

    @property
    def allowed(self) -> bool | None:
        """Whether the cluster allows it, where it was asked."""
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
        """What is typed to approve a destructive change: the resource's name."""
        named = text(self.objects[0], "name") if self.objects else ""
        return named or text(self.args, "name") or self.tool

    @property
    def expires_at(self) -> int:
        return number(self.raw, "expires_at")

    @property
    def supersedes(self) -> str:
        return text(self.raw, "supersedes")

    @property
    def status(self) -> str:
        """Of the decision: `pending` where an event told of it."""
        return text(self.raw, "status") or "pending"

    @property
    def outcome(self) -> str:
        """Of the execution; nothing where there was none."""
        return text(self.raw, "outcome")
