"""``[console]``: the small HTTPS page on which a one-time link shows a password."""

from pydantic import Field

from gateway.config.section import Section
from gateway.config.types import HostName, Port, WebAddress


class Console(Section):
    """The page that a one-time link opens (`gateway account link`). It shows one password, once, in the FTPS host's
    certificate. Needs the extra web.
    """

    enabled: bool = False
    """Whether the page is served."""

    host: HostName = "0.0.0.0"
    """The address to listen on."""

    port: Port = 8443
    """The HTTPS port: links name it, so customers' networks must let it through."""

    url: WebAddress | None = Field(default=None, examples=["https://gateway.example.com:8443"])
    """How the page is reached from outside; links begin with it. Default: https, the gateway's hostname, the port."""
