"""``gateway contact``: people, and which ST/EU accounts they may read or write to."""

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli import frame, importing, show

app = typer.Typer(no_args_is_help=True, help="Contacts: who may read or update the SRs of which account.")

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The contact's mail address.")]
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The account's login.")]


class Access(StrEnum):
    """What a grant allows."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"


@app.command()
def add(
    context: typer.Context,
    email: Email,
    name: Annotated[str, typer.Option(help="The person's name.")],
    json: frame.Json = False,
) -> None:
    """Make a contact known; access is granted separately."""
    from gateway.admin import contacts

    show.details(frame.run(context, lambda desk: contacts.add(desk, email, name)), json)


@app.command()
def grant(
    context: typer.Context,
    email: Email,
    login: Login,
    access: Annotated[Access, typer.Option(help="read-write makes a Designated Contact, who may update SRs.")],
    employer: Annotated[str | None, typer.Option(help="The company the contact works for; else the Sold To.")] = None,
    approved_by: Annotated[str | None, typer.Option(help="Who approved the access; else who runs this.")] = None,
    json: frame.Json = False,
) -> None:
    """Give a contact access to an account, or change it."""
    from gateway.admin import contacts
    from gateway.domain import records

    show.details(
        frame.run(
            context,
            lambda desk: contacts.grant(
                desk, email, login, records.Access(access.value), employer=employer, approved_by=approved_by
            ),
        ),
        json,
    )


@app.command()
def revoke(context: typer.Context, email: Email, login: Login, json: frame.Json = False) -> None:
    """Take a contact's access to an account."""
    from gateway.admin import contacts

    show.details(frame.run(context, lambda desk: contacts.revoke(desk, email, login)), json)


@app.command()
def remove(
    context: typer.Context,
    email: Email,
    reset_accounts: Annotated[
        bool, typer.Option("--reset-accounts", help="Give every account the contact knew a new password.")
    ] = False,
    json: frame.Json = False,
) -> None:
    """Take everything from a contact who leaves, and name the accounts whose password they knew."""
    from gateway.admin import contacts

    gone = frame.run(context, lambda desk: contacts.remove(desk, email, reset_accounts=reset_accounts))
    show.details(gone, json)
    if gone["accounts"] and not reset_accounts:
        frame.say("The contact knew these accounts' passwords; reset them: gateway account reset LOGIN")


@app.command("list")
def listing(context: typer.Context, json: frame.Json = False) -> None:
    """List all contacts with the accounts they have access to."""
    from gateway.admin import contacts

    show.listing(
        frame.run(context, contacts.everything),
        {"email": "email", "name": "name", "accounts": "grants"},
        json,
        "There are no contacts yet: gateway contact add EMAIL --name N",
    )


@app.command("show")
def show_one(context: typer.Context, email: Email, json: frame.Json = False) -> None:
    """Show a contact with every grant, who approved it and when."""
    from gateway.admin import contacts

    show.details(frame.run(context, lambda desk: contacts.show(desk, email)), json)


@app.command("import")
def bring_in(
    context: typer.Context,
    file: importing.File,
    dry_run: importing.DryRun = False,
    complete: importing.Complete = False,
    most_gone: importing.MostGone = 10,
    json: frame.Json = False,
) -> None:
    """Bring contacts and grants in from the CRM: columns email, name, account, access, employer, approved_by.

    A line a grant; all of the file or nothing; more than 10,000 changes come in parts.
    What the file lacks stays; with --complete such grants are revoked, and contacts who are not in it at all leave.
    """
    from gateway.admin import imports

    asked = most_gone if complete else None
    importing.bring_in(context, file, imports.import_contacts, dry_run, json, complete=asked)
