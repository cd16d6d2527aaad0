"""Resident memory: idle, and with many streams open."""

import asyncio
import json
from collections.abc import Sequence

from bench.figures import Figure
from bench.processes import Process
from bench.stage import CHAT, Stage

__all__ = ["memory"]

STREAMS = 200
OPEN_WITHIN = 60.0
LOOKS = 10
BETWEEN_LOOKS = 0.5


def memory(stage: Stage) -> Sequence[Figure]:
    """Fresh processes, for what was done before leaves its mark. The streams are as many chats, each a run."""
    engine, floor = stage.new_engine(), stage.new_floor()
    stage.warm(engine)
    idle, floor_idle = engine.resident(), floor.resident()
    busy = asyncio.run(_with_streams(engine, CHAT))
    floor_busy = asyncio.run(_with_streams(floor, "/chat"))
    engine.end()
    floor.end()
    return (
        Figure("resident memory, idle", idle, "MB", target=150, floor=floor_idle),
        Figure(f"resident memory, {STREAMS} streams open", busy, "MB", target=260, floor=floor_busy),
    )


async def _with_streams(process: Process, path: str) -> float:
    """The most that it holds while all streams are open and tokens come on them."""
    async with asyncio.timeout(OPEN_WITHIN):
        streams = await asyncio.gather(*(_opened(process.port, path) for _ in range(STREAMS)))
    readers = [asyncio.create_task(_drain(*stream)) for stream in streams]
    most = 0.0
    try:
        for _ in range(LOOKS):
            await asyncio.sleep(BETWEEN_LOOKS)
            most = max(most, process.resident())
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    return most


async def _opened(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream of which the first bytes have come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"messages": [{"role": "user", "content": "stay"}]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"a stream was refused: {status!r}")
    await reader.readuntil(b"\r\n\r\n")
    await reader.readline()
    return reader, writer


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(65_536):
            pass
    finally:
        writer.close()
