"""The floor of streams: a bare Starlette application that forwards a model's stream by httpx or LiteLLM.

python -m bench.streaming_floor --port 9001 --model http://127.0.0.1:9000/v1 [--litellm]
"""

import argparse
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

MEDIA_TYPE = "text/event-stream"


def forward_with_httpx(model: str) -> Starlette:
    """Forward the bytes as they arrive, with one client and persistent connections."""
    client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))

    async def chat(request: Request) -> Response:
        body = {"model": "scripted", "stream": True, "messages": (await request.json())["messages"]}

        async def forward() -> AsyncIterator[bytes]:
            async with client.stream("POST", f"{model}/chat/completions", json=body) as response:
                async for piece in response.aiter_raw():
                    yield piece

        return StreamingResponse(forward(), media_type=MEDIA_TYPE)

    return _application(chat)


def forward_with_litellm(model: str) -> Starlette:
    """Call LiteLLM as its documentation shows, and write each chunk's text as an event."""
    import litellm

    async def chat(request: Request) -> Response:
        messages = (await request.json())["messages"]

        async def forward() -> AsyncIterator[str]:
            chunks: Any = await litellm.acompletion(
                model="openai/scripted", messages=messages, stream=True, api_base=model, api_key="none"
            )
            async for chunk in chunks:
                if text := chunk.choices[0].delta.content:
                    yield f'data: {{"content":{json.dumps(text)}}}\n\n'

        return StreamingResponse(forward(), media_type=MEDIA_TYPE)

    return _application(chat)


def _application(chat: Any) -> Starlette:
    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/chat", chat, methods=["POST"]), Route("/health", health)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--litellm", action="store_true")
    options = parser.parse_args()
    application = (forward_with_litellm if options.litellm else forward_with_httpx)(options.model)
    uvicorn.run(application, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
