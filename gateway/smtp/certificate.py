"""The certificate that STARTTLS shows, read again when its files change (RFC 3207)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from gateway.config.model import Config
from gateway.renewal import stamps

REFUSALS: Final = (OSError, ssl.SSLError)
"""What ``reload`` raises of a pair that can't be served."""


class Certificate:
    """A certificate chain and its key; *context* is what the next STARTTLS uses."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Raises OSError, ssl.SSLError (which is one)."""
        self._files = (chain, key)
        self.reload()

    @classmethod
    def of(cls, config: Config) -> Certificate | None:
        """The mail door's certificate, or else the FTPS door's; None where there is none."""
        chain = config.smtp.certificate or config.ftps.certificate
        key = config.smtp.private_key or config.ftps.private_key
        return None if chain is None or key is None else cls(chain, key)

    def reload(self) -> None:
        """Serve what the files hold now. Raises, and goes on with the old, where they don't fit."""
        seen = stamps(self._files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.load_cert_chain(*self._files)
        self.context, self._seen = context, seen

    def changed(self) -> bool:
        """Whether a file is another than the one that was read."""
        return stamps(self._files) != self._seen
