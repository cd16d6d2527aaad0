"""Names of spans and attributes: OpenTelemetry's semantic conventions, those for GenAI, and our own.

The conventions for GenAI are in development (`SCHEMA_URL`), so their names stand only here. Attributes with contents,
such as `gen_ai.input.messages` and `gen_ai.tool.call.arguments`, are left out on purpose.
"""

from skyflo_common.tracing import Attributes

__all__ = [
    "AGENT",
    "SCHEMA_URL",
    "chat",
    "chat_result",
    "execute_tool",
    "http_request",
    "http_response",
    "invoke_agent",
    "mcp_tool_call",
    "tool_outcome",
]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
AGENT = "skyflo"


def http_request(method: str) -> Attributes:
    return {"http.request.method": method}


def http_response(status: int, route: str | None) -> Attributes:
    return {"http.response.status_code": status, **({"http.route": route} if route else {})}


def invoke_agent(run_id: str, conversation_id: str, fence: int) -> Attributes:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": AGENT,
        "gen_ai.conversation.id": conversation_id,
        "skyflo.run.id": run_id,
        "skyflo.run.fence": fence,
    }


def chat(model: str) -> Attributes:
    provider, separator, _ = model.partition("/")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.request.stream": True,
        **({"gen_ai.provider.name": provider} if separator else {}),
    }


def chat_result(reason: str, prompt_tokens: int, completion_tokens: int, cached_tokens: int) -> Attributes:
    return {
        "gen_ai.response.finish_reasons": (reason,),
        "gen_ai.usage.input_tokens": prompt_tokens,
        "gen_ai.usage.output_tokens": completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": cached_tokens,
    }


def execute_tool(server: str, tool: str, operation: str) -> Attributes:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "extension",
        "skyflo.tool.server": server,
        "skyflo.tool.operation": operation,
    }


def tool_outcome(outcome: str) -> Attributes:
    return {"skyflo.tool.outcome": outcome}


def mcp_tool_call(tool: str) -> Attributes:
    return {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
