"""Who is this peer, and what opens an account: passwords made, hashed, sealed and checked; failures counted; bans.

``door.Access`` is what the FTPS door asks, ``issue.Issuer`` what makes a new password, ``hashing`` argon2id,
``remembered`` the credentials verified a moment ago, ``sealing`` the passwords that a contact may look up.
"""

from gateway.access.door import Access, Limits, Peer
from gateway.access.hashing import Busy, Hashing, Parameters
from gateway.access.issue import Issued, Issuer
from gateway.access.sealing import Keyring, SealingError
from gateway.domain.admission import Admitted

__all__ = [
    "Access",
    "Admitted",
    "Busy",
    "Hashing",
    "Issued",
    "Issuer",
    "Keyring",
    "Limits",
    "Parameters",
    "Peer",
    "SealingError",
]
