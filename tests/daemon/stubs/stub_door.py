"""A door that greets with its name and process id and obeys a few words: what the supervisor's tests need of a door."""

from __future__ import annotations

import asyncio
import gc
import os
import signal

from gateway.daemon import control
from gateway.doorway import CannotServe, Doorway

control.BEAT = float(os.environ.get("STUB_BEAT", control.BEAT))


async def serve(doorway: Doorway) -> None:
    if os.environ.get("STUB_CANNOT") == doorway.name:
        raise CannotServe("the stub was told that it can't")
    if os.environ.get("STUB_RAISES") == doorway.name:
        raise ValueError("the stub was told to raise")
    if os.environ.get("STUB_SLOW") == doorway.name:
        await asyncio.Event().wait()
    talks: set[asyncio.Task[None]] = set()
    reloads = 0
    heard: list[str] = []

    def reloaded() -> None:
        nonlocal reloads
        reloads += 1

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"220 {doorway.name} {os.getpid()}\r\n".encode())
        while word := (await reader.readline()).decode().strip():
            match word:
                case "HANG":
                    signal.pause()  # the whole loop: this is what a hung door is
                case "END":
                    doorway.stopping.set()
                    break
                case "RAISE":
                    os._exit(3)
                case "RELOADS":
                    writer.write(f"200 {reloads}\r\n".encode())
                case "TELL":
                    doorway.tell_others(f"from {doorway.name}")
                    writer.write(b"200 told\r\n")
                case "FLOOD":
                    for _ in range(100):
                        doorway.tell_others("nothing new")
                    writer.write(b"200 told\r\n")
                case "HEARD":
                    writer.write(f"200 {' '.join(heard)}\r\n".encode())
                case "COUNT":
                    writer.write(f"200 {doorway.tally.add('wire')}\r\n".encode())
                case "GARBAGE":
                    writer.write(f"200 {gc.isenabled()} {gc.get_freeze_count() > len(gc.get_objects())}\r\n".encode())
                case "QUIT":
                    break
                case _:
                    writer.write(b"200 ok\r\n")
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(talk(reader, writer))
        talks.add(task)
        task.add_done_callback(talks.discard)

    doorway.on_reload(reloaded)
    doorway.on_word(heard.append)
    servers = [await asyncio.start_server(accept, sock=each) for each in doorway.sockets]
    doorway.ready()
    await doorway.stopping.wait()
    for server in servers:
        server.close()
    await doorway.drained(asyncio.gather(*talks, return_exceptions=True))  # one that was reset ends no other
