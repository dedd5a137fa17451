"""``gateway bans``: who failed too often."""

from typing import Annotated

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="Bans: addresses and logins that failed too often.")


@app.command("list")
def listing(context: typer.Context, json: frame.Json = False) -> None:
    """List the bans that hold now."""
    from gateway.admin import bans

    show.listing(
        frame.run(context, bans.listing),
        {"subject": "subject", "reason": "reason", "since": "since", "until": "until"},
        json,
        "Nobody is banned",
    )


@app.command()
def lift(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="An address or a login.")],
    json: frame.Json = False,
) -> None:
    """Lift a ban, and forget the failures that led to it."""
    from gateway.admin import bans

    show.details(frame.run(context, lambda desk: bans.lift(desk, subject)), json)
