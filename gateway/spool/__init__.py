"""The spool: bytes on the disk, and nothing else. What they mean stands in the store.

    incoming/<id>                          an upload while it arrives, or a partial that waits to be resumed
    files/<2 hex>/<sha256>.<id>            a version: complete, read-only, never changed again

Rules: bytes → fsync → final name → fsync of the directory, and only then may a row speak of them. A name under
``files`` carries the hash of its content, so ``sha256sum`` audits it. Nothing is shared between versions. No name that
a customer chose is ever a path here. Who changes a file of an upload that has no row yet, or one that says *receiving*,
holds it (``holding``): several processes may use one spool.

A crash leaves: a file under ``incoming`` whose row says *receiving* (``Hold.recover`` makes it a partial), or one under
``files`` that no row speaks of: it was never acknowledged, and ``gateway doctor`` names it.
"""

from gateway.spool.holding import Fenced, Hold
from gateway.spool.incoming import Incoming, Sealed
from gateway.spool.spool import Spool, boot_id, name_of

__all__ = ["Fenced", "Hold", "Incoming", "Sealed", "Spool", "boot_id", "name_of"]
