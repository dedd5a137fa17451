"""The command line: ``gateway NOUN VERB``, a file for each noun.

Rules: a module of a noun imports nothing heavy (SQLAlchemy, pydantic, rich) before its command runs, so that ``--help``
is quick. ``frame`` has the exit codes, ``show`` what is printed; the work itself is ``gateway.admin``'s.
"""

from gateway.cli.app import main

__all__ = ["main"]
