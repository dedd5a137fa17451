"""The configuration: one TOML file, read whole, every mistake said at once.

``load(find(asked))`` gives a ``Config``; each section has a file of its own here, and below every setting stand its
meaning, its unit, what its absence does and why the default is what it is. ``reference`` turns those words into
``examples/gateway.toml`` and ``docs/configuration.md``, so that they cannot go stale.

Rules: unknown keys refuse; a relative path is one beside the file; nothing comes from the environment but the file's
own place. Importing this costs pydantic: a command imports it when it runs, not before.
"""

from gateway.config.console import Console
from gateway.config.file import find, load, problem
from gateway.config.ftps import Ftps, FtpsLimits
from gateway.config.gateway import Gateway, Spool
from gateway.config.housekeeping import Examine, Outbox, Rotation, Store, Webhook
from gateway.config.model import Config
from gateway.config.problems import ConfigError, Problem
from gateway.config.regions import Region, Sr
from gateway.config.smtp import Smtp, SmtpLimits
from gateway.config.types import PortRange

__all__ = [
    "Config",
    "ConfigError",
    "Console",
    "Examine",
    "Ftps",
    "FtpsLimits",
    "Gateway",
    "Outbox",
    "PortRange",
    "Problem",
    "Region",
    "Rotation",
    "Smtp",
    "SmtpLimits",
    "Spool",
    "Sr",
    "Store",
    "Webhook",
    "find",
    "load",
    "problem",
]
