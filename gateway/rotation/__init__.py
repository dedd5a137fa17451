"""The quarterly reset of every account's password: when it is due, who is reminded, how it is done, who hears of it.

``plan`` decides dates, ``resets`` replaces passwords, ``reminders`` tells the Designated Contacts before and after.
The decisions are pure (domain/calendar.py); here they meet the store. Housekeeping runs the rounds.
"""

from gateway.rotation.plan import Plan
from gateway.rotation.reminders import Reminders
from gateway.rotation.resets import Resets

__all__ = ["Plan", "Reminders", "Resets"]
