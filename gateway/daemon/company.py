"""The processes that serve one door: the first, which must be ready for the gateway to be open, and the others.

Rules: all accept on the same sockets; each is kept by itself (``Door``), so that the death of one ends no session of
another; what one says to the others goes through here. The others start when the gateway is open: customers come first.
A crash of the supervisor takes all of them along.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace

from gateway.config import Config
from gateway.daemon.control import Opening
from gateway.daemon.door import Door
from gateway.tally import Board

MOST_BY_DEFAULT = {"ftps": 4, "smtp": 2}
"""Processes at most where the configuration leaves their number to us: a door's memory is bounded, too."""


def processes(door: str, asked: int) -> int:
    """How many processes a door has whose configuration asks for so many (0: one a processor)."""
    return asked or min(len(os.sched_getaffinity(0)), MOST_BY_DEFAULT[door])


class Company:
    """The processes of the door *name*, *of* in number. Make it inside the running loop: the first one starts."""

    def __init__(self, name: str, module: str, of: int = 1) -> None:
        self.name = name
        self.of = of
        self.doors = [Door(name, module)]
        self._board = Board(of)
        self._opening: Opening | None = None

    async def open(self, config: Config, lock: int, sockets: tuple[socket.socket, ...]) -> None:
        """Have the first process serve; return when it is ready. Raises CannotServe where it ends instead."""
        self._opening = Opening(config, lock, self._board.fd, sockets, of=self.of)
        await self.doors[0].open(self._opening)

    def start(self, config: Config, lock: int) -> None:
        """The same for a door without a socket, for whose readiness nobody waits."""
        self._opening = Opening(config, lock, self._board.fd, of=self.of)
        self.doors[0].child.open(self._opening)

    async def keep(self) -> None:
        """Start the others, and serve on with all of them until they are stopped and gone."""
        assert self._opening is not None
        first = self.doors[0]
        openings = [replace(self._opening, place=place) for place in range(self.of)]
        for opening in openings[1:] if not first.is_stopping else ():
            another = Door(f"{self.name}-{opening.place + 1}", first.module)
            another.child.open(opening)
            self.doors.append(another)
        for door in self.doors:
            door.others = [other for other in self.doors if other is not door]
        await asyncio.gather(
            *(door.keep(opening, self._board) for door, opening in zip(self.doors, openings, strict=False))
        )

    async def end(self) -> None:
        """Kill what is left of it."""
        for door in self.doors:
            await door.end()
        self._board.close()
