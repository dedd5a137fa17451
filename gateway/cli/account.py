"""``gateway account``: ST/EU accounts, their logins and passwords."""

import sys
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli import frame, importing, show

app = typer.Typer(no_args_is_help=True, help="ST/EU accounts: one login for a Sold To / End User combination.")

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The account's login.")]


class Binding(StrEnum):
    """Whose a data connection is."""

    SESSION_OR_ADDRESS = "session-or-address"
    SESSION = "session"
    ADDRESS = "address"
    ANY = "any"
    DEFAULT = "default"


@app.command()
def add(
    context: typer.Context,
    sold_to: Annotated[str, typer.Option("--sold-to", help="The company that buys the maintenance agreement.")],
    end_user: Annotated[str, typer.Option("--end-user", help="The company that uses the products.")],
    login: Annotated[str | None, typer.Option(help="The login; made from the companies' names when left out.")] = None,
    region: Annotated[str | None, typer.Option(help="One of the configuration's regions.")] = None,
    agreement_ends: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="The agreement's last day. Default: open-ended."),
    ] = None,
    json: frame.Json = False,
) -> None:
    """Make an account and print its password, once."""
    from gateway.admin import accounts

    made = frame.run(
        context,
        lambda desk: accounts.add(
            desk,
            sold_to=sold_to,
            end_user=end_user,
            login=login,
            region=region,
            agreement_ends=agreement_ends.date() if agreement_ends else None,
        ),
    )
    _new_password(made.view(), json)


@app.command("list")
def listing(
    context: typer.Context,
    ics: Annotated[bool, typer.Option("--ics", help="Print the coming resets as a calendar file.")] = False,
    json: frame.Json = False,
) -> None:
    """List all accounts with the next reset of each password."""
    from gateway.admin import accounts, resets

    if ics:
        sys.stdout.write(frame.run(context, resets.calendar))
        return
    show.listing(
        frame.run(context, accounts.everything),
        {
            "login": "login",
            "sold to": "sold_to",
            "end user": "end_user",
            "region": "region",
            "state": "state",
            "agreement ends": "agreement_ends",
            "next reset": "next_reset",
        },
        json,
        "There are no accounts yet: gateway account add --sold-to A --end-user B",
    )


@app.command("show")
def show_one(
    context: typer.Context,
    login: Login,
    contact: Annotated[
        str | None,
        typer.Option("--as", metavar="EMAIL", help="Show login and sealed password, as this contact may see them."),
    ] = None,
    json: frame.Json = False,
) -> None:
    """Show an account: its contacts, its SRs, its use of the disk, and what its clients last did."""
    from gateway.admin import accounts
    from gateway.cli import reveal

    if contact is not None:
        reveal.information(context, login, contact, json)
        return
    view = frame.run(context, lambda desk: accounts.show(desk, login))
    show.details(view if json else {**view, "used": show.size(view["used"])}, json)


@app.command()
def reset(
    context: typer.Context,
    login: Login,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="End the former password now, whatever [rotation] overlap says.")
    ] = False,
    json: frame.Json = False,
) -> None:
    """Give an account a new password now and print it, once; the former one ends."""
    from gateway.admin import accounts

    _new_password(frame.run(context, lambda desk: accounts.reset(desk, login, at_once=at_once)).view(), json)


@app.command()
def rotate(
    context: typer.Context,
    due: Annotated[bool, typer.Option("--due", help="Reset every password that is due now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which ones would be reset.")] = False,
    notice: Annotated[
        bool, typer.Option("--notice", help="Print a paragraph for a newsletter with the dates.")
    ] = False,
    json: frame.Json = False,
) -> None:
    """Reset all passwords that are due; contacts look the new ones up, none is printed here."""
    from gateway.admin import resets
    from gateway.cli.progress import bar

    if notice:
        print(frame.run(context, resets.notice))
        return
    if not due:
        frame.stop("rotate resets what is due: say --due, or --due --dry-run, or --notice", code=frame.UNUSABLE)
    if dry_run:
        show.listing(
            frame.run(context, resets.due),
            {"login": "login", "sold to": "sold_to", "end user": "end_user", "due": "next_reset"},
            json,
            "No password is due",
        )
        return
    with bar("resetting", quiet=json) as progress:
        done = frame.run(context, lambda desk: resets.reset_due(desk, progress))
    show.details(done, json)


@app.command()
def disable(context: typer.Context, login: Login, json: frame.Json = False) -> None:
    """Close an account: no login any more, and running sessions end."""
    from gateway.admin import accounts

    show.details(frame.run(context, lambda desk: accounts.disable(desk, login)), json)


@app.command()
def enable(context: typer.Context, login: Login, json: frame.Json = False) -> None:
    """Open a closed account again, with the password that it has."""
    from gateway.admin import accounts

    show.details(frame.run(context, lambda desk: accounts.enable(desk, login)), json)


@app.command()
def change(
    context: typer.Context,
    login: Login,
    region: Annotated[str | None, typer.Option(help="One of the configuration's regions.")] = None,
    agreement_ends: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="The agreement's last day; past ones end sessions."),
    ] = None,
    data_binding: Annotated[
        Binding | None, typer.Option(help="Whose a data connection is; default: as the configuration says.")
    ] = None,
    rotation_rule: Annotated[
        str | None,
        typer.Option(help='When the password is reset: "first monday monthly 08:00"; default: as all others.'),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A limit of its own, as in [ftps.limits]: quota=500GiB; none; default. Repeat."
        ),
    ] = None,
    json: frame.Json = False,
) -> None:
    """Change an account's region, agreement, data binding, rhythm of resets or limits."""
    from gateway.admin import accounts

    wanted = {
        "region": region,
        "agreement_ends": agreement_ends.date() if agreement_ends else None,
        "data_binding": data_binding.value if data_binding else None,
        "rotation_rule": rotation_rule,
        "limits": limit or None,
    }
    changes = {key: value for key, value in wanted.items() if value is not None}
    if not changes:
        frame.stop("nothing to change: name what is to be changed, see --help", code=frame.UNUSABLE)
    show.details(frame.run(context, lambda desk: accounts.change(desk, login, changes)), json)


def _new_password(view: show.View, json: bool) -> None:
    """The one time that a password is shown."""
    if json:
        show.as_json(view)
        return
    print(f"login     {view['login']}\npassword  {view['password']}")
    frame.say(
        "The password is shown this once. Hand it over by telephone or in person, never by mail.",
        f"It ends with the reset of {show.fact(view, 'next_reset')}.",
    )


@app.command("import")
def bring_in(
    context: typer.Context,
    file: importing.File,
    dry_run: importing.DryRun = False,
    complete: importing.Complete = False,
    most_gone: importing.MostGone = 10,
    json: frame.Json = False,
) -> None:
    """Bring accounts in from the CRM: columns sold_to, end_user, login, region, agreement_ends, state.

    All of the file or nothing; more than 10,000 changes come in parts of so many.
    New accounts have no password until `gateway account reset LOGIN` gives them one. Accounts that the file lacks stay
    as they are; with --complete they are disabled. None is ever deleted.
    """
    from gateway.admin import imports

    asked = most_gone if complete else None
    importing.bring_in(context, file, imports.import_accounts, dry_run, json, complete=asked)
