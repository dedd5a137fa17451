"""``gateway doctor``: what is not as it should be, and what to do."""

import typer

from gateway.cli import frame, show


def doctor(context: typer.Context, json: frame.Json = False) -> None:
    """Compare the store with the spool and look at this machine; change nothing.

    Exit code 1 where there is an error: a broken promise, or something that keeps the gateway from serving.
    """
    import asyncio

    from gateway.clock import SystemClock
    from gateway.doctor import Level, visit
    from gateway.store import StoreError

    config = frame.configuration(context)
    try:
        findings = asyncio.run(visit(config, SystemClock().now()))
    except StoreError as error:
        frame.stop(str(error), code=frame.UNUSABLE)
    views = [finding.view() for finding in findings]
    ok = all(finding.level is not Level.ERROR for finding in findings)
    if json:
        show.as_json({"ok": ok, "findings": views})
    else:
        show.listing(views, {"level": "level", "what": "what", "do": "do"}, False, "Everything is as it should be.")
    if not ok:
        raise typer.Exit(frame.REFUSED)
