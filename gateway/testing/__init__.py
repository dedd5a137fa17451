"""What tests of this gateway, ours and yours, are made with: a running gateway, a raw wire, a clock, failing disks.

It is shipped with the gateway and never imported by it.
"""

from gateway.testing.clock import NOON, FakeClock
from gateway.testing.faults import Fault, Faults
from gateway.testing.running import Login, RunningGateway, running_gateway
from gateway.testing.waiting import PATIENCE, eventually, until
from gateway.testing.wire import Wire, trusting

__all__ = [
    "NOON",
    "PATIENCE",
    "FakeClock",
    "Fault",
    "Faults",
    "Login",
    "RunningGateway",
    "Wire",
    "eventually",
    "running_gateway",
    "trusting",
    "until",
]
