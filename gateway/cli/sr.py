"""``gateway sr``: Service Requests."""

from typing import Annotated

import typer

from gateway.cli import frame, importing, show

app = typer.Typer(no_args_is_help=True, help="Service Requests: one problem, with a number, a status, and all of it.")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The SR's number.")]


@app.command()
def add(
    context: typer.Context,
    number: Number,
    account: Annotated[str, typer.Option(metavar="LOGIN", help="The account it belongs to.")],
    status: Annotated[str, typer.Option(help='Status and sub-status, as in "Open/New".')] = "Open/New",
    title: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    priority: Annotated[str | None, typer.Option(help="Critical, High, Medium or Low.")] = None,
    json: frame.Json = False,
) -> None:
    """Log an SR; files that were sent for it before are filed under it now."""
    from gateway.admin import requests

    show.details(
        frame.run(
            context,
            lambda desk: requests.add(desk, number, account, status, title=title, priority=priority),
        ),
        json,
    )


@app.command()
def status(
    context: typer.Context,
    number: Number,
    status: Annotated[str, typer.Argument(metavar="STATUS", help='As in "Closed/Problem Resolved".')],
    json: frame.Json = False,
) -> None:
    """Move an SR to another status."""
    from gateway.admin import requests

    show.details(frame.run(context, lambda desk: requests.set_status(desk, number, status)), json)


@app.command("list")
def listing(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="LOGIN", help="Only those of this account.")] = None,
    json: frame.Json = False,
) -> None:
    """List SRs."""
    from gateway.admin import requests

    show.listing(
        frame.run(context, lambda desk: requests.everything(desk, account)),
        {
            "number": "number",
            "status": "status",
            "account": "account",
            "title": "title",
            "created": "created",
            "changed": "status_changed",
        },
        json,
        "There are no SRs: gateway sr add NUMBER --account LOGIN",
    )


@app.command("show")
def show_one(
    context: typer.Context,
    number: Number,
    as_customer: Annotated[
        bool, typer.Option("--as-customer", help="Only what the customer may see: nothing private.")
    ] = False,
    json: frame.Json = False,
) -> None:
    """Show an SR with its updates and files."""
    from gateway.admin import requests

    show.details(frame.run(context, lambda desk: requests.show(desk, number, as_customer=as_customer)), json)


@app.command("import")
def bring_in(
    context: typer.Context, file: importing.File, dry_run: importing.DryRun = False, json: frame.Json = False
) -> None:
    """Bring SRs in from the CRM: columns number, account, status, title, priority.

    All of the file or nothing; more than 10,000 changes come in parts of so many.
    Files that were sent for them before are filed.
    """
    from gateway.admin import imports

    importing.bring_in(context, file, imports.import_requests, dry_run, json)
