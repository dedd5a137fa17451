"""A file's difference, put in place: staged batch by batch, moved over slice by slice, and forgotten.

Rules: a mistake in the file, or more gone than may go, changes nothing. All of it is staged before any of it is in
place. Up to ``SLICE`` changes are put in place all at once; more would hold the doors up for too long: they come in
slices, what belongs together in one, and each slice is audited in its own transaction (docs/decisions/0013). Somebody
else's change of the same stops only what is left. Nothing stays staged when it ends, well or not.

It never reads a row of the file, nor decides what it means: that is ``admin/imports``.

A crash leaves whole slices in place, and the same import again does the rest; what it left staged, an import a day
later removes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from gateway.admin import views
from gateway.admin.desk import Desk, Refused
from gateway.admin.difference import Difference, Part
from gateway.admin.sheet import Mistakes, Sheet
from gateway.domain.ids import new_id
from gateway.store import audit, imports, one_by_one
from gateway.store.accounts import Taken
from gateway.store.imports import Step

BATCH: Final = 500
"""Rows staged in one transaction: short enough for the doors to commit in between."""

Progress = Callable[[int, int], None]
"""Hears how many changes are staged, of how many."""


async def put_in_place(
    desk: Desk,
    action: str,
    sheet: Sheet,
    difference: Difference,
    dry_run: bool,
    progress: Progress,
    complete: int | None = None,
) -> views.View:
    """What the difference is, once it is in place; *dry_run* only says it. Raises Refused, with every mistake in it.

    *complete*: the percentage that may go because the file lacks it.
    """
    try:
        sheet.check()
    except Mistakes as error:
        raise Refused(f"{error}\nnothing was changed") from None
    if dry_run or not difference.changes:
        return difference.view()
    if complete is not None and (beyond := difference.too_much(complete)):
        raise Refused(
            f"{beyond} are not in {sheet.path} and would go, more than the {complete} % that may; nothing was changed. "
            "See --dry-run; if it is right, say so with --most-gone"
        )
    await _forget_abandoned(desk)
    parts = [(new_id(desk.clock.now().timestamp()), part) for part in difference.slices()]
    done, total = 0, len(difference.changes)
    detail = {"file": sheet.path.name, "sha256": hashlib.sha256(sheet.path.read_bytes()).hexdigest()}
    try:
        staged = 0
        for import_id, part in parts:
            staged = await _stage(desk, import_id, part, lambda count: progress(count, total), staged)
        for number, (import_id, part) in enumerate(parts, start=1):
            counts = Counter[Step]()
            for (_, step), rows in part.items():
                counts[step] += len(rows)
            facts = {**detail, "added": counts[Step.ADD], "changed": counts[Step.CHANGE]}
            if complete is not None:
                facts |= {"complete": True, "removed": counts[Step.REMOVE]}
            if len(parts) > 1:
                facts["part"] = f"{number} of {len(parts)}"
            entry = audit.Entry(desk.clock.now(), desk.actor, action, sheet.path.name, facts, desk.origin)
            await desk.store.write(_PUT_IN_PLACE, (import_id, entry))
            done += counts.total()
    except Taken as error:
        so_far = f"{done} of {total} changes are in place" if done else "nothing was changed"
        raise Refused(f"{error}; {so_far}, import again") from None
    finally:
        for import_id, _ in parts:
            await _forget(desk, import_id)
    return difference.view()


async def _stage(
    desk: Desk,
    import_id: str,
    part: Part,
    progress: Callable[[int], None],
    staged: int,
) -> int:
    """Stage one slice, of which *staged* changes went before; how many there are then."""
    position = 0
    for (table, step), rows in part.items():
        for start in range(0, len(rows), BATCH):
            batch = imports.Batch(import_id, table, position, step, rows[start : start + BATCH])
            await desk.store.write(_STAGE, batch)
            position += len(batch.rows)
            progress(staged + position)
    return staged + position


async def _forget(desk: Desk, import_id: str) -> None:
    while await desk.store.write(_FORGET, (import_id, BATCH)):
        pass


async def _forget_abandoned(desk: Desk) -> None:
    """Remove what imports that crashed left staged; one that runs beside this one is younger than a day."""
    before = new_id((desk.clock.now() - timedelta(days=1)).timestamp())
    async with desk.reading() as connection:
        abandoned = [each for each in await imports.left_over(connection) if each < before]
    for import_id in abandoned:
        await _forget(desk, import_id)


_STAGE: Final = one_by_one(imports.stage)
_PUT_IN_PLACE: Final = one_by_one(imports.put_in_place)
_FORGET: Final = one_by_one(imports.forget)
