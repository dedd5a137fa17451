"""The ``import`` verb of several nouns: a file from the CRM, compared, shown, put in place."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import frame, show
from gateway.cli.progress import bar

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON Lines; UTF-8.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")]

Complete = Annotated[
    bool, typer.Option("--complete", help="The file names all there is: what it lacks loses its access.")
]
MostGone = Annotated[
    int, typer.Option(min=0, max=100, metavar="PERCENT", help="With --complete: do nothing if more than this would go.")
]

SIGNS = {"add": "+", "change": "~", "remove": "-"}

SHOWN = 200
"""Changes that people are shown one by one."""


def bring_in(
    context: typer.Context,
    file: Path,
    verb: Callable[..., Awaitable[dict[str, Any]]],
    dry_run: bool,
    json: bool,
    **further: Any,
) -> None:
    """Import *file* and say what changed."""
    with bar("importing", quiet=json) as progress:
        found = frame.run(context, lambda desk: verb(desk, file, dry_run=dry_run, progress=progress, **further))
    if json:
        show.as_json(found)
        return
    for change in found["changes"][:SHOWN]:
        fields = "; ".join(f"{name}: {_cell(old)} -> {_cell(new)}" for name, (old, new) in change["fields"].items())
        print(show.text(f"{SIGNS[change['what']]} {change['kind']} {change['key']} {fields}".rstrip()))
    if len(found["changes"]) > SHOWN:
        print(f"… and {len(found['changes']) - SHOWN} more")
    if not any(found[each] for each in ("added", "changed", "removed", "unchanged")):
        frame.say(f"{file} has no rows below its header")
    words = "would be " if dry_run else ""
    removed = f"{found['removed']} {words}removed, " if found["removed"] else ""
    frame.say(
        f"{found['added']} {words}added, {found['changed']} {words}changed, {removed}{found['unchanged']} as they were"
    )
    if found.get("reset"):
        frame.say(f"who loses access knew the passwords of: {', '.join(found['reset'])}; see `gateway account reset`")


def _cell(value: object) -> str:
    return show.text(value) or "nothing"
