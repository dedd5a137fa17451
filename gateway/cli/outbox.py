"""``gateway outbox``: what is told to the world."""

from typing import Annotated

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="The outbox: reminders and webhooks that wait, or were given up.")


@app.command("list")
def listing(
    context: typer.Context,
    delivered: Annotated[bool, typer.Option("--delivered", help="Those that arrived as well.")] = False,
    json: frame.Json = False,
) -> None:
    """List deliveries that wait or are parked, and why."""
    from gateway.admin import outbox

    show.listing(
        frame.run(context, lambda desk: outbox.listing(desk, delivered=delivered)),
        {
            "id": "id",
            "to": "target",
            "event": "event",
            "state": "state",
            "attempts": "attempts",
            "next attempt": "next_attempt",
            "last error": "last_error",
        },
        json,
        "Nothing waits",
    )


@app.command()
def retry(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="The delivery's id.")],
    json: frame.Json = False,
) -> None:
    """Try a delivery again now, parked or not."""
    from gateway.admin import outbox

    show.details(frame.run(context, lambda desk: outbox.retry(desk, delivery)), json)
