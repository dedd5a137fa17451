"""``gateway audit``: who did what."""

from typing import Annotated

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="The audit trail: who did what, when, from where; append-only.")


@app.command("list")
def listing(
    context: typer.Context,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the newest N entries.")] = None,
    json: frame.Json = False,
) -> None:
    """List the audit trail, the oldest entry first."""
    from gateway.admin import trail

    show.listing(
        frame.run(context, lambda desk: trail.entries(desk, last)),
        {
            "#": "sequence",
            "at": "at",
            "who": "actor",
            "from": "origin",
            "did": "action",
            "to": "subject",
            "detail": "detail",
        },
        json,
        "The trail is empty",
    )


@app.command()
def verify(context: typer.Context, json: frame.Json = False) -> None:
    """Check that no entry was changed or removed."""
    from gateway.admin import trail

    found = frame.run(context, trail.verify)
    show.details(found, json)
    if not found["ok"]:
        frame.stop(f"the trail is broken at entry {found['broken_at']}: it, or one before it, was changed or removed")
