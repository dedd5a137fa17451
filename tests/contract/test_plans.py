"""The statements that every mail and every upload cost look rows up; none of them goes through a table."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import event

from gateway.store import Store, mails


async def test_a_look_for_repeated_mails_is_by_message_id_however_many_wait(tmp_path: Path) -> None:
    """With the outcome asked for in SQL, more than two at once made SQLite go through every mail ever filed."""
    store = await Store.open(f"sqlite:///{tmp_path}/store.db")
    asked: list[tuple[str, object]] = []
    async with store.reading() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        await mails.known(connection, {(f"<{number}@example.com>", "key") for number in range(20)})
        [(statement, parameters)] = asked
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
    await store.close()
    assert [row[3] for row in plan] == [
        "SEARCH mails USING INDEX ix_mails_message_id (message_id=?)",
        "SEARCH quarantine USING INDEX sqlite_autoindex_quarantine_1 (mail_id=?) LEFT-JOIN",
    ]
