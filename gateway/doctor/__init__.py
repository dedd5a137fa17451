"""The doctor: looks at this machine, the store and the spool, and says what is not as it should be, and what to do.

Rules: read-only, and safe while the gateway serves: what is only on its way is given the time to arrive. A finding is
an *error* where a promise is broken or the gateway could not serve, a *warning* where somebody should act before it
comes to that, and *info* where it is good to know. Healthy means: no error. It ends every crash test.

Never: a repair (each finding says who or what does it), a new folder, a migration, a secret in a finding.
"""

from gateway.doctor.finding import Finding, Level
from gateway.doctor.visit import visit

__all__ = ["Finding", "Level", "visit"]
