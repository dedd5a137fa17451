"""``gateway account link`` and ``gateway key``: how a contact gets at a password, and the key that seals them."""

from typing import Annotated

import typer

from gateway.cli import frame, show

key = typer.Typer(no_args_is_help=True, help="The key under which passwords are kept sealed.")


def link(
    context: typer.Context,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account's login.")],
    contact: Annotated[str, typer.Option("--as", metavar="EMAIL", help="The Designated Contact it is for.")],
    hours: Annotated[float, typer.Option(help="How long the link may be opened.")] = 24,
    json: frame.Json = False,
) -> None:
    """Print a link that shows a Designated Contact the password, once. Hand it over yourself: it is never mailed."""
    from datetime import timedelta

    from gateway.admin import reveal

    valid = timedelta(hours=hours if 0 < hours <= 24 * 365 else 0)  # what no timedelta holds is refused as too much is
    made = frame.run(context, lambda desk: reveal.link(desk, login, contact, valid))
    show.details(made, json)


def information(context: typer.Context, login: str, contact: str, json: bool) -> None:
    """``gateway account show LOGIN --as EMAIL``."""
    from gateway.admin import reveal

    shown = frame.run(context, lambda desk: reveal.account_information(desk, login, contact))
    show.details(shown.view(), json)
    if shown.password is None:
        frame.say("The password is not kept sealed; `gateway account reset` makes a new one and prints it once.")


@key.command()
def rotate(context: typer.Context, json: frame.Json = False) -> None:
    """Make a new sealing key (the first one, where there is none) and seal every password under it."""
    from gateway.admin import reveal

    show.details(frame.run(context, reveal.rotate_key), json)


@key.command()
def seal(context: typer.Context, json: frame.Json = False) -> None:
    """Seal every password under the key that stands first in the file: where systemd keeps it, and you replaced it."""
    from gateway.admin import reveal

    show.details(frame.run(context, reveal.seal_again), json)
