"""Asking the crew for a look inside a file, so that there is always an answer.

Rule: a worker that died over a file is an answer too ("could not be checked"): a door files the upload all the same.
Cancelling kills the worker; who can't wait shields the call and picks the answer up later.
"""

from __future__ import annotations

import logging
from typing import Any

from gateway.domain.findings import Cause, Finding, Verdict
from gateway.domain.replies.findings import answer
from gateway.examine.worker import MIB, Crew, Limits, Reason, WorkerDied

log = logging.getLogger(__name__)

INSPECT, PROOF = "gateway.examine.archive:inspect", "gateway.examine.archive:proof"
SECONDS = 3600.0
"""A look gives up after this long by itself: enough for some 500 GB unpacked. The worker's limits come after."""
MEMORY = 768 * MIB
"""Bytes that a worker may take; xz and 7z at their highest levels need most of it."""
CAUSES = {Reason.CPU: Cause.TIME, Reason.WALL: Cause.TIME, Reason.MEMORY: Cause.MEMORY}


async def look(crew: Crew, path: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> dict[str, Any]:
    """What is inside, as of `gateway.examine.archive.inspect`."""
    try:
        return await crew.run(INSPECT, limits=_limits(seconds, memory), path=path, seconds=seconds)
    except WorkerDied as died:
        log.warning("a look into %s broke off: %s", path, died)
        return unanswered(died)


async def prove(crew: Crew, path: str, size: int, *, seconds: float = SECONDS, memory: int = MEMORY) -> dict[str, Any]:
    """Whether the file proves that it is whole, as of `gateway.examine.archive.proof`. Without an answer it doesn't."""
    try:
        return await crew.run(PROOF, limits=_limits(seconds, memory), path=path, size=size, seconds=seconds)
    except WorkerDied as died:
        log.warning("the proof of %s broke off: %s", path, died)
        return {"complete": False, "how": f"the look broke off: {died.reason}", "finding": None}


def unanswered(died: WorkerDied) -> dict[str, Any]:
    """The answer for a file whose worker gave none."""
    return answer(Finding(None, Verdict.UNCHECKED, CAUSES.get(died.reason, Cause.FAILED), detail=str(died.reason)))


def _limits(seconds: float, memory: int) -> Limits:
    return Limits(cpu_seconds=seconds + 10, wall_seconds=seconds * 2 + 30, memory=memory)
