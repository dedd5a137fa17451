"""The operator's verbs: what can be done to accounts, contacts, SRs, updates and files. The command line is one face.

A ``Desk`` is where an operator works: the configuration, the open store, the spool, and who they are. Every verb is an
async function that takes the desk first; what it changes and its audit entry are one transaction.

Rules: an expected no is ``Refused`` with the reason and what to do; anything else that is raised is our bug. What a
verb returns is plain data in the shapes of the public contract (``views``). Never: printing, asking, reading a
terminal. A crash leaves a verb done or not done.
"""

from gateway.admin.desk import Desk, Refused

__all__ = ["Desk", "Refused"]
"""The nouns' verbs are in the modules of this package."""
