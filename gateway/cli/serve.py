"""``gateway serve``: open the doors."""

import sys

import typer

from gateway.cli.frame import configuration


def serve(context: typer.Context) -> None:
    """Serve FTPS and mail until SIGTERM or Ctrl-C.

    Everything is checked first: a configuration that cannot be served ends with code 2 and opens no port.
    """
    from gateway import daemon

    sys.exit(daemon.serve(configuration(context)))
