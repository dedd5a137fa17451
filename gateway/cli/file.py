"""``gateway file``: what customers sent by FTPS."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="Files: what customers sent by FTPS, every version of every name.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The file's id, which is the receipt's.")]


@app.command("list")
def listing(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="LOGIN", help="Only those of this account.")] = None,
    sr: Annotated[str | None, typer.Option(metavar="NUMBER", help="Only those of this SR.")] = None,
    unfiled: Annotated[bool, typer.Option("--unfiled", help="Only those that belong to no SR yet.")] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Only those that are incomplete.")] = False,
    json: frame.Json = False,
) -> None:
    """List files, the oldest first."""
    from gateway.admin import files

    found = frame.run(context, lambda desk: files.listing(desk, login=account, sr=sr, unfiled=unfiled, partial=partial))
    show.listing(
        found if json else [{**view, "size": show.size(view["size"])} for view in found],
        {
            "id": "id",
            "account": "account",
            "sr": "sr",
            "path": "path",
            "version": "version",
            "size": "size",
            "state": "state",
            "sha256": "sha256",
        },
        json,
        "There are no such files",
    )


@app.command("show")
def show_one(context: typer.Context, file: Id, json: frame.Json = False) -> None:
    """Show a file: how it came, and what a look inside said."""
    from gateway.admin import files

    show.details(frame.run(context, lambda desk: files.show(desk, file)), json)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="ID", help="The id of a file or of an update's attachment.")],
    to: Annotated[Path, typer.Option(metavar="PATH", help="A folder, or the path of a file that is not there yet.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that is there.")] = False,
    json: frame.Json = False,
) -> None:
    """Copy a file's bytes out of the spool; they are compared with what was received."""
    from gateway.admin import files

    show.details(frame.run(context, lambda desk: files.export(desk, file, to, replace=replace)), json)


@app.command()
def assign(
    context: typer.Context,
    file: Id,
    sr: Annotated[str, typer.Option(metavar="NUMBER", help="The SR, of the same account.")],
    json: frame.Json = False,
) -> None:
    """File a file under an SR, with all versions of its name."""
    from gateway.admin import files

    show.details(frame.run(context, lambda desk: files.assign(desk, file, sr)), json)
