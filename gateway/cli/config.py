"""``gateway config``: the configuration file, checked and explained."""

import typer

from gateway.cli import frame, show

app = typer.Typer(no_args_is_help=True, help="The configuration file: an example with every key, and a check of yours.")


@app.command()
def check(context: typer.Context, json: frame.Json = False) -> None:
    """Say everything that is wrong with the configuration, with key and line, and what is allowed.

    Looks at the files that it names too: certificates and keys must belong together.
    """
    from gateway.config import ConfigError, find, load
    from gateway.config.machine import advice, certificate_problems, part_problems

    try:
        config = load(find(context.find_root().params.get("config")))
        problems, warnings = (*certificate_problems(config), *part_problems(config)), tuple(advice(config))
    except ConfigError as error:
        config, problems, warnings = None, error.problems, ()
    for each in (*problems, *warnings):
        frame.say(str(each))
    if json:
        show.as_json({"ok": not problems, "problems": [each.view() for each in problems]})
    if problems:
        raise typer.Exit(frame.UNUSABLE)
    if config is not None and not json:
        print(f"{config.source}: no mistakes")


@app.command()
def example(json: frame.Json = False) -> None:
    """Print a configuration file with every key, its meaning and its default."""
    from gateway.config import reference

    if json:
        show.as_json({"toml": reference.example()})
    else:
        print(reference.example(), end="")
