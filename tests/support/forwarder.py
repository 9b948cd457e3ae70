"""Hands TCP connections on: what listens on one machine's loopback address is reached from another's.

`python forwarder.py 127.0.0.1:8000 10.0.0.1:9000 slow` listens on the first address and connects to the second. With
`slow` it is a slow and lossy link: each piece takes 15 to 25 ms, and one in a hundred 200 ms more, as a lost packet that TCP
sends again; those behind it wait.
"""

import asyncio
import random
import sys
import time

DELAY = (0.015, 0.025)
LOST = 0.01
SENT_AGAIN_AFTER = 0.2


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: bool) -> None:
    """Pass on what comes until it ends."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    sending = asyncio.create_task(send(pieces, writer))
    try:
        while data := await reader.read(65_536):
            wait = random.uniform(*DELAY) + SENT_AGAIN_AFTER * (random.random() < LOST) if slow else 0.0
            pieces.put_nowait((time.monotonic() + wait, data))
    except OSError:
        pass
    finally:
        pieces.put_nowait((0.0, b""))
        await sending


async def send(pieces: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
    """Write each piece when it is due, in their order; an empty one is the end."""
    try:
        while True:
            due, data = await pieces.get()
            if not data:
                break
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(here: str, there: str, slow: bool) -> None:
    """Listen, and hand each connection on."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = there.rsplit(":", 1)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer, slow), copy(far_reader, writer, slow))

    host, port = here.rsplit(":", 1)
    server = await asyncio.start_server(connected, host, int(port))
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], "slow" in sys.argv[3:]))
