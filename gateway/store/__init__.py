"""The store: facts as rows, in SQLite by default and in PostgreSQL when asked; the only home of SQLAlchemy.

``Store`` (engine.py) opens the database, hands out reading connections, and commits writes in groups (writer.py).
``tables`` is the schema, ``migrations`` its history; every other module holds the queries of one noun.
"""

from sqlalchemy.ext.asyncio import AsyncConnection as Transaction

from gateway.store.engine import Store, StoreError, StoreTooNew, unavailable
from gateway.store.writer import one_by_one

__all__ = ["Store", "StoreError", "StoreTooNew", "Transaction", "one_by_one", "unavailable"]
