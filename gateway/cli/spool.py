"""``gateway spool``: the bytes on disk."""

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="The bytes on disk: verified, or removed when their time is over.")


@app.command()
def verify(context: typer.Context, json: frame.Json = False) -> None:
    """Read every byte again and compare it with the SHA-256 of what was received."""
    from gateway.admin import spool
    from gateway.cli.progress import bar

    with bar("verifying", quiet=json) as progress:
        found = frame.run(context, lambda desk: spool.verify(desk, progress))
    show.details(found, json)
    if not found["ok"]:
        frame.stop(f"{len(found['problems'])} of {found['checked']} are not what was received")


@app.command()
def purge(context: typer.Context, json: frame.Json = False) -> None:
    """Remove files that customers deleted, and uploads that broke off, longer ago than [spool] says.

    keep_deleted and keep_partials count from the deletion and from the last byte. Nothing else is ever removed.
    """
    from gateway.admin import spool

    show.details(frame.run(context, spool.purge), json)
