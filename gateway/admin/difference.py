"""What an import would change: collected row by row, shown in words, and cut into slices that are put in place at once.

Rules: what belongs together (a contact and their grants) is in one slice. How much would go is counted beside it, for
somebody to refuse it. Nothing here touches the store.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway.admin import views
from gateway.store.imports import Step

SLICE: Final = 10_000
"""Changes put in place in one transaction: 100,000 accounts at once took 1.5 s, in which neither door could commit."""

Part = dict[tuple[str, Step], list[dict[str, Any]]]


@dataclass
class Difference:
    """What a file would change: rows by table, and the same in words."""

    rows: dict[str, list[tuple[str, Step, dict[str, Any]]]] = field(default_factory=dict)
    """What belongs together, by what it belongs to: (table, what happens to the row, row)."""
    gone: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How much goes because a complete file lacks it, in words, and of how much."""
    changes: list[views.View] = field(default_factory=list)
    same: int = 0

    def add(self, table: str, key: str, row: dict[str, Any], of: str | None = None) -> None:
        self.rows.setdefault(of or key, []).append((table, Step.ADD, row))
        self.changes.append({"what": "add", "kind": table, "key": key, "fields": {}})

    def change(
        self, table: str, key: str, row: dict[str, Any], fields: Mapping[str, tuple[Any, Any]], of: str | None = None
    ) -> None:
        shown = {name: [_plain(before), _plain(after)] for name, (before, after) in fields.items()}
        self.rows.setdefault(of or key, []).append((table, Step.CHANGE, row))
        self.changes.append({"what": "change", "kind": table, "key": key, "fields": shown})

    def remove(self, table: str, key: str, row: dict[str, Any], of: str) -> None:
        self.rows.setdefault(of, []).append((table, Step.REMOVE, row))
        self.changes.append({"what": "remove", "kind": table, "key": key, "fields": {}})

    def too_much(self, most: int) -> str | None:
        """What goes beyond *most* percent of what there is; None if nothing does."""
        beyond = [
            f"{count} of {total} {what} ({100 * count // total} %)"
            for what, (count, total) in self.gone.items()
            if count * 100 > most * total
        ]
        return ", ".join(beyond) or None

    def slices(self) -> Iterator[Part]:
        """The rows by table and what happens to them, about ``SLICE`` at a time; what belongs together is together."""
        part, size = Part(), 0
        for rows in self.rows.values():
            if size and size + len(rows) > SLICE:
                yield part
                part, size = Part(), 0
            for table, step, row in rows:
                part.setdefault((table, step), []).append(row)
            size += len(rows)
        if part:
            yield part

    def view(self) -> views.View:
        counts = Counter(change["what"] for change in self.changes)
        return {
            "added": counts["add"],
            "changed": counts["change"],
            "removed": counts["remove"],
            "unchanged": self.same,
            "changes": self.changes,
        }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return views.moment(value)
    return value if value is None or isinstance(value, bool | int) else str(value)
