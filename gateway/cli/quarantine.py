"""``gateway quarantine``: mails that wait for a person's decision."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="Mails that are held for a person to release or discard.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The mail's id, which its sender knows as the receipt.")]


@app.command("list")
def listing(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what was released or discarded.")] = False,
    json: frame.Json = False,
) -> None:
    """List what is held."""
    from gateway.admin import quarantine

    show.listing(
        frame.run(context, lambda desk: quarantine.everything(desk, decided=everything)),
        {
            "id": "id",
            "received": "received",
            "state": "state",
            "from": "sender",
            "envelope from": "envelope_from",
            "subject": "subject",
            "SR": "sr",
            "reason": "reason",
        },
        json,
        "the quarantine is empty",
    )


@app.command()
def export(
    context: typer.Context,
    mail: Id,
    to: Annotated[Path, typer.Option(metavar="PATH", help="A folder, or the path of a file that is not there yet.")],
    json: frame.Json = False,
) -> None:
    """Write a mail as it came, to be read before it is released or discarded."""
    from gateway.admin import quarantine

    show.details(frame.run(context, lambda desk: quarantine.export(desk, mail, to)), json)


@app.command()
def release(
    context: typer.Context,
    mail: Id,
    sr: Annotated[str | None, typer.Option(metavar="NUMBER", help="Another SR than the one it names.")] = None,
    json: frame.Json = False,
) -> None:
    """File a held mail as a private update of its SR."""
    from gateway.admin import quarantine

    show.details(frame.run(context, lambda desk: quarantine.release(desk, mail, sr)), json)


@app.command()
def discard(context: typer.Context, mail: Id, json: frame.Json = False) -> None:
    """Throw a held mail away; the ledger keeps a row of it."""
    from gateway.admin import quarantine

    show.details(frame.run(context, lambda desk: quarantine.discard(desk, mail)), json)
