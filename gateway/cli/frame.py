"""How every command runs: find the configuration, open the store, do the work, and turn a no into words and a code.

Rules: exit code 0 done, 1 refused with the reason on stderr, 2 usage or configuration. Works while the gateway serves
and while it does not: the command opens the store itself (whoever comes first brings its schema up to date, under the
store's own lock). Never: a stack for an expected no; the values of variables in any stack.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from gateway.admin import Desk
    from gateway.config import Config

Result = TypeVar("Result")

DONE, REFUSED, UNUSABLE = 0, 1, 2

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]


def configuration(context: typer.Context) -> "Config":
    """The configuration that was asked for, or the first of the usual places. Ends with code 2 where it is wrong."""
    from gateway.config import ConfigError, find, load

    try:
        return load(find(context.find_root().params.get("config")))
    except ConfigError as error:
        stop(*(str(problem) for problem in error.problems), code=UNUSABLE)


def run(context: typer.Context, work: "Callable[[Desk], Awaitable[Result]]") -> Result:
    """Do *work* at a desk of its own."""
    return work_at_desk(configuration(context), work)


def work_at_desk(config: "Config", work: "Callable[[Desk], Awaitable[Result]]") -> Result:
    import asyncio

    from gateway import log
    from gateway.admin import Refused
    from gateway.cli import show
    from gateway.store import StoreError

    show.where(config.places)
    log.configure("warning", config.gateway.log_format)
    try:
        config.gateway.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(_at_desk(config, work))
    except Refused as error:
        stop(str(error))
    except StoreError as error:
        stop(str(error), code=UNUSABLE)
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(config.gateway.state_dir)):
            raise
        stop(f"[gateway] state_dir {error.filename} can't be used: {error.strerror}", code=UNUSABLE)


def stop(*lines: str, code: int = REFUSED) -> NoReturn:
    """End here: the reason on stderr, and the code."""
    for line in lines:
        print(f"gateway: {line}", file=sys.stderr)
    raise typer.Exit(code)


def say(*lines: str) -> None:
    """Words for people, on stderr: stdout belongs to what was asked for."""
    for line in lines:
        print(line, file=sys.stderr)


async def _at_desk(config: "Config", work: "Callable[[Desk], Awaitable[Result]]") -> Result:
    from gateway.admin import Desk
    from gateway.store import Store

    store = await Store.open(config.store_url, busy_timeout=config.store.busy_timeout)
    try:
        return await work(Desk(config, store, *_who()))
    finally:
        await store.close()


def _who() -> tuple[str, str]:
    """Who sits there and from where, for the audit trail: the person behind sudo, the address behind ssh."""
    import getpass

    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        user = f"uid {os.getuid()}"
    return f"operator {user}", os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or "this host"


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; else $GATEWAY_CONFIG, ./gateway.toml, /etc/gateway/gateway.toml.",
    ),
]
