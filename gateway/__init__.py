"""A support organisation's inbound gateway: customers' FTPS uploads and mail, filed under their Service Request.

      customers (FTPS)     customers (mail)      operators (cli)
            │                    │                     │
       gateway/ftps         gateway/smtp          gateway/cli
            └────────┬───────────┘                     │
                  intake ── policy (pure)            admin
                     │                                 │
            ┌────────┴─────────┐                       │
          spool              store ◄───────────────────┘
          (bytes)           (facts) ──► outbox ──► webhooks, mail to contacts
                               ▲
                            examine (killable workers: archives, mail parts)

Data flows one way: a door receives, ``policy`` decides, ``spool`` makes the bytes durable, ``store`` records
the fact and the event in one transaction, ``outbox`` tells the world, ``examine`` looks inside and adds facts.
"""

__version__ = "0.1.0"
