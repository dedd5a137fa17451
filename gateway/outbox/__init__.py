"""The only way out: events to webhooks, mail to contacts. At least once, in order for each SR, and visible until done.

``deliver`` claims what waits, tries it, and notes how it went; ``webhook`` posts an event, signed, to an address that
was checked; ``mail`` hands a mail to the relay; ``templates`` holds the wording, which an operator may replace.

A crash leaves deliveries claimed; the claims run out and the deliveries are tried again. So a receiver may see one
twice, and knows it by its id.
"""

from gateway.outbox.deliver import MailRounds, Router, WebhookRounds, housework
from gateway.outbox.templates import TemplateError, Templates

__all__ = ["MailRounds", "Router", "TemplateError", "Templates", "WebhookRounds", "housework"]
