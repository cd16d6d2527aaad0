"""The counting server's tools."""

import asyncio
import hashlib
import json
from collections.abc import Mapping

import jwt
import mcp_types as types
from mcp.server.context import ServerRequestContext

from tests.support.counting_store import CountingStore

TOOL_FAULTS = frozenset(
    {
        "error_none",
        "error_done",
        "error_partial",
        "error_unknown",
        "error_plain",
        "stale",
        "input_required",
        "huge",
        "secret",
        "slow",
    }
)
Context = ServerRequestContext[dict[str, object]]
Arguments = dict[str, str | int]
Schema = dict[str, object]

_TEXT: Schema = {"type": "string", "maxLength": 1000}
_CHANGE: Schema = {
    "type": "object",
    "properties": {"name": _TEXT, "value": _TEXT, "cluster": _TEXT},
    "required": ["name", "value"],
    "additionalProperties": False,
}
_ANYTHING: Schema = {"type": "object"}
SCHEMAS: dict[str, Schema] = {
    "read_thing": {"type": "object", "properties": {"name": _TEXT}},
    "slow_read": {"type": "object", "properties": {key: {"type": "integer"} for key in ("ms", "steps", "together")}},
    "change_thing": _CHANGE,
    "change_thing_preview": _CHANGE,
    "wipe_thing": {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]},
    "grant_settle": _ANYTHING,
    "grant_evidence": _ANYTHING,
}
_READS = ("read_thing", "slow_read", "change_thing_preview", "grant_settle", "grant_evidence")
_INTERNAL = ("change_thing_preview", "grant_settle", "grant_evidence")


class RefusedError(Exception):
    """The tool refuses the call before it changes anything."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CountingTools:
    """The tool list and the tools' behaviour. `running` and `cancelled` count slow reads."""

    def __init__(self, store: CountingStore, grant_key: str | None) -> None:
        self.running = 0
        self.cancelled = 0
        self._enough_running = asyncio.Event()
        self._store = store
        self._grant_key = grant_key
        self._hints: dict[str, dict[str, bool]] = {}
        self._schemas: dict[str, Schema] = {}
        self.restore()

    def restore(self) -> None:
        """Restore the original tool list."""
        self._hints = {name: _hints(name) for name in SCHEMAS}
        self._schemas = dict(SCHEMAS)

    def change_list(self, hints: Mapping[str, dict[str, bool]], schemas: Mapping[str, Schema]) -> None:
        self._hints.update(hints)
        self._schemas.update(schemas)

    async def list(self, _ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[self._tool(name) for name in self._schemas])

    async def call(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        arguments: Arguments = params.arguments or {}
        match params.name:
            case "read_thing":
                return self._read(str(arguments.get("name", "a")), self._impersonated(params))
            case "slow_read":
                numbers = (int(arguments.get(name, 0)) for name in ("ms", "steps", "together"))
                return await self._slow(ctx, *numbers)
            case "change_thing_preview":
                return self._preview(arguments, self._impersonated(params))
            case "grant_settle":
                return _answer(self._store.settle(str(arguments["id"])))
            case "grant_evidence":
                return self._evidence(params.arguments or {})
            case "change_thing" | "wipe_thing":
                return await self._change(params)
        return _error("unknown_tool", "none", "no such tool")

    def _tool(self, name: str) -> types.Tool:
        meta: dict[str, object] = {"skyflo/internal": True} if name in _INTERNAL else {}
        if name == "change_thing":
            meta["skyflo/preview"] = "change_thing_preview"
        return types.Tool(
            name=name,
            title=name.replace("_", " ").capitalize(),
            description=f"The tool {name}.",
            input_schema=self._schemas[name],
            annotations=types.ToolAnnotations.model_validate(self._hints.get(name, {})),
            meta=meta or None,
        )

    def _read(self, name: str, impersonate_user: Schema) -> types.CallToolResult:
        fault = self._store.take_fault("read_thing", TOOL_FAULTS)
        if fault == "huge":
            return types.CallToolResult(content=[types.TextContent(type="text", text="x" * 3_000_000)])
        if fault == "secret":
            text = "password: hunter2-canary\nbad \x00 character"
            return types.CallToolResult(content=[types.TextContent(type="text", text=text)])
        if fault is not None:
            return _error("broken", "none", "the read failed")
        return _answer({"name": name, "value": self._store.thing(name), **impersonate_user})

    async def _slow(self, ctx: Context, ms: int, steps: int, together: int) -> types.CallToolResult:
        """Answer after `ms` milliseconds, and not before `together` such reads are open at the same time."""
        self.running += 1
        try:
            if self.running >= together:
                self._enough_running.set()
            await self._enough_running.wait()
            for step in range(max(1, steps)):
                await asyncio.sleep(ms / 1000 / max(1, steps))
                await ctx.session.report_progress(step + 1, steps, f"step {step + 1}")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
            if self.running == 0:
                self._enough_running.clear()
        return _answer({"slept": ms})

    def _preview(self, arguments: Arguments, impersonate_user: Schema) -> types.CallToolResult:
        name, value = str(arguments["name"]), str(arguments["value"])
        before = self._store.thing(name)
        thing = {"cluster": "local", "apiVersion": "v1", "kind": "Thing", "namespace": "", "name": name}
        return _answer(
            {
                "summary": f"Change {name} from {before} to {value}",
                "objects": [{**thing, "uid": f"uid-{name}", "resourceVersion": "1"}],
                "diff": f"-{before}\n+{value}\n",
                "warnings": [],
                "allowed": {"allowed": True, "reason": ""},
                "risk": {"level": "low", "reason": "it is a test"},
                "preconditions": {"before": _sha256(str(before))},
                "no_preview": None,
                **impersonate_user,
            }
        )

    def _evidence(self, arguments: dict[str, dict[str, str]]) -> types.CallToolResult:
        asked, preconditions = arguments["arguments"], arguments.get("preconditions") or {}
        now = self._store.thing(asked["name"])
        verdict = "cannot_tell"
        if now == asked.get("value"):
            verdict = "looks_applied"
        elif preconditions.get("before") == _sha256(str(now)):
            verdict = "looks_not_applied"
        return _answer({"evidence": verdict, "detail": f"{asked['name']} is {now}"})

    async def _change(self, params: types.CallToolRequestParams) -> types.CallToolResult | types.InputRequiredResult:
        try:
            approval = self._grant(params)
        except RefusedError as error:
            return _error(error.code, "none", str(error))
        fault = self._store.take_fault(params.name, TOOL_FAULTS)
        if fault in ("error_none", "stale"):
            code = "stale_preview" if fault == "stale" else "refused"
            return self._ended(approval, _error(code, "none", "nothing was changed"), "none")
        arguments = params.arguments or {}
        self._store.apply_change(params.name, str(arguments["name"]), str(arguments.get("value", "")), approval)
        if fault == "slow":
            await asyncio.sleep(0.5)
            fault = None
        if fault == "input_required":
            return types.InputRequiredResult(request_state="again")
        if fault == "error_plain":
            return types.CallToolResult(content=[types.TextContent(type="text", text="it broke")], is_error=True)
        if fault is not None:
            effect = fault.removeprefix("error_")
            return self._ended(approval, _error("broke", effect, f"the effect is {effect}"), effect)
        return self._ended(
            approval, _answer({"summary": "changed", "objects": [], **self._impersonated(params)}), "done"
        )

    def _impersonated(self, params: types.CallToolRequestParams) -> Schema:
        """Return the impersonated user, if the signed part of the call names one, as `as` for the result."""
        meta = dict(params.meta or {})
        token = meta.get("skyflo/grant") or meta.get("skyflo/identity")
        if self._grant_key is None or not isinstance(token, str):
            return {}
        claims = jwt.decode(token, self._grant_key, algorithms=["HS256"])
        if "kubernetes_user" not in claims:
            return {}
        return {"as": [claims["kubernetes_user"], *claims["kubernetes_groups"], claims.get("purpose", "grant")]}

    def _grant(self, params: types.CallToolRequestParams) -> str | None:
        """Check the grant as our tool server does, and consume it."""
        if self._grant_key is None:
            return None
        token = dict(params.meta or {}).get("skyflo/grant")
        if not isinstance(token, str):
            raise RefusedError("grant_missing", "a change needs a grant")
        try:
            claims = jwt.decode(token, self._grant_key, algorithms=["HS256"])
        except jwt.InvalidTokenError as error:
            raise RefusedError("grant_invalid", "the grant does not hold") from error
        canonical = json.dumps(params.arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if claims["tool"] != params.name or claims["args_sha256"] != _sha256(canonical):
            raise RefusedError("grant_mismatch", "the grant is for another call")
        expected = (claims["preconditions"] or {}).get("before")
        if expected and expected != _sha256(str(self._store.thing((params.arguments or {})["name"]))):
            raise RefusedError("stale_preview", "the thing is not what was shown")
        state = self._store.begin(claims["jti"])
        if state == "revoked":
            raise RefusedError("grant_revoked", "the grant was settled as never used")
        if state is not None:
            raise RefusedError("grant_used", f"the grant was used before: {state}")
        return str(claims["jti"])

    def _ended(self, approval: str | None, result: types.CallToolResult, effect: str) -> types.CallToolResult:
        if approval is not None:
            kept = {"text": result.content[0].model_dump()["text"], "structuredContent": result.structured_content}
            self._store.end(approval, "failed" if result.is_error else "succeeded", effect, kept)
        return result


def _hints(name: str) -> dict[str, bool]:
    read = name in _READS
    return {
        "readOnlyHint": read,
        "destructiveHint": name == "wipe_thing",
        "idempotentHint": read,
        "openWorldHint": False,
    }


def _answer(structured: dict[str, object]) -> types.CallToolResult:
    text = types.TextContent(type="text", text=json.dumps(structured))
    return types.CallToolResult(content=[text], structured_content=structured)


def _error(code: str, effect: str, message: str) -> types.CallToolResult:
    structured = {"code": code, "message": message, "effect": effect, "hint": ""}
    text = types.TextContent(type="text", text=message)
    return types.CallToolResult(content=[text], structured_content=structured, is_error=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
