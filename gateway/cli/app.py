"""The root of the command line, and its nouns in the order of a first day with the gateway."""

import os
import sys
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import (
    account,
    audit,
    bans,
    config,
    contact,
    doctor,
    file,
    outbox,
    quarantine,
    reveal,
    serve,
    spool,
    sr,
    update,
)
from gateway.cli.frame import REFUSED, ConfigFile

app = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes longer to import than everything else of --help
    pretty_exceptions_enable=False,  # its stacks show the values of variables, passwords among them
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def gateway(
    config: ConfigFile = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A support organisation's inbound gateway: customers' FTPS uploads and mail, filed under their Service Request.

    Exit code 0: done. 1: refused, the reason is on stderr. 2: usage or configuration.
    With --json stdout is one JSON document.
    """


app.command()(serve.serve)
app.add_typer(config.app, name="config")
app.command()(doctor.doctor)
account.app.command("link")(reveal.link)
app.add_typer(account.app, name="account")
app.add_typer(contact.app, name="contact")
app.add_typer(sr.app, name="sr")
app.add_typer(update.app, name="update")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(file.app, name="file")
app.add_typer(outbox.app, name="outbox")
app.add_typer(spool.app, name="spool")
app.add_typer(bans.app, name="bans")
app.add_typer(reveal.key, name="key")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """The program ``gateway``."""
    try:
        app()
    except BrokenPipeError:  # whoever read stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(REFUSED)
