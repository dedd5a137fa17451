"""``gateway update``: what contacts wrote by mail."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import frame, show

app = typer.Typer(
    no_args_is_help=True, help="Updates: what contacts wrote about an SR by mail; private until published."
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The update's id.")]


@app.command("list")
def listing(
    context: typer.Context,
    sr: Annotated[str, typer.Option(metavar="NUMBER", help="The SR.")],
    json: frame.Json = False,
) -> None:
    """List an SR's updates, private ones included."""
    from gateway.admin import updates

    show.listing(
        frame.run(context, lambda desk: updates.of_request(desk, sr)),
        {
            "id": "id",
            "received": "received",
            "visibility": "visibility",
            "sender": "sender",
            "subject": "subject",
            "marks": "marks",
            "attachments": "attachments",
        },
        json,
        f"SR {sr} has no updates",
    )


@app.command()
def publish(context: typer.Context, update: Id, json: frame.Json = False) -> None:
    """Let the customer see an update and its attachments on the web."""
    from gateway.admin import updates

    _brief(frame.run(context, lambda desk: updates.publish(desk, update)), json)


@app.command()
def move(
    context: typer.Context,
    update: Id,
    to: Annotated[str, typer.Option(metavar="NUMBER", help="The SR it belongs to.")],
    json: frame.Json = False,
) -> None:
    """File an update under the SR it belongs to; it is private there until it is published."""
    from gateway.admin import updates

    _brief(frame.run(context, lambda desk: updates.move(desk, update, to)), json)


@app.command()
def export(
    context: typer.Context,
    update: Id,
    to: Annotated[Path, typer.Option(metavar="PATH", help="A folder, or the path of a file that is not there yet.")],
    json: frame.Json = False,
) -> None:
    """Write the mail that an update came in, byte for byte as it was received; compared with its SHA-256."""
    from gateway.admin import updates

    show.details(frame.run(context, lambda desk: updates.export(desk, update, to)), json)


@app.command("show")
def show_one(
    context: typer.Context,
    update: Id,
    history: Annotated[bool, typer.Option("--history", help="Show quoted history too.")] = False,
    json: frame.Json = False,
) -> None:
    """Show an update with its text; quoted history is folded away."""
    from gateway.admin import updates
    from gateway.domain.quoting import fold

    view = frame.run(context, lambda desk: updates.show(desk, update))
    _brief(view, json)
    if not json and view["body"]:
        print()
        for segment in fold(view["body"]):
            lines = segment.text.splitlines()
            if segment.folded and not history:
                print(f"[{len(lines)} lines of quoted history; --history shows them]")
            else:
                print("\n".join(show.text(line) for line in lines))


def _brief(view: dict[str, Any], json: bool) -> None:
    """An update without its text, which stands below or is not asked for."""
    show.details({key: value for key, value in view.items() if json or key != "body"}, json)
