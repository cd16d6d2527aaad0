"""Measure resident memory, idle and with many open streams."""

import asyncio
import json
from collections.abc import Sequence

from bench.harness import CHAT, Harness
from bench.processes import Process
from bench.results import Measurement

__all__ = ["memory"]

STREAMS = 200
OPEN_TIMEOUT = 60.0
SAMPLES = 10
SAMPLE_INTERVAL = 0.5


def memory(harness: Harness) -> Sequence[Measurement]:
    """Measure fresh processes, because earlier work changes the memory. Each stream is one run."""
    engine, floor = harness.new_engine(), harness.new_streaming_floor()
    harness.warm_up(engine)
    idle, floor_idle = engine.resident_memory(), floor.resident_memory()
    busy = asyncio.run(_peak_with_streams(engine, CHAT))
    floor_busy = asyncio.run(_peak_with_streams(floor, "/chat"))
    engine.end()
    floor.end()
    return (
        Measurement("resident memory, idle", idle, "MB", target=150, floor=floor_idle),
        Measurement(f"resident memory, {STREAMS} streams open", busy, "MB", target=260, floor=floor_busy),
    )


async def _peak_with_streams(process: Process, path: str) -> float:
    """Return the peak memory while all streams are open and receive tokens."""
    async with asyncio.timeout(OPEN_TIMEOUT):
        streams = await asyncio.gather(*(_open_stream(process.port, path) for _ in range(STREAMS)))
    readers = [asyncio.create_task(_drain(*stream)) for stream in streams]
    peak = 0.0
    try:
        for _ in range(SAMPLES):
            await asyncio.sleep(SAMPLE_INTERVAL)
            peak = max(peak, process.resident_memory())
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    return peak


async def _open_stream(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream and wait for its first bytes."""
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
