"""Orders in the tables: how one is begun, what may become of it, and how it is found again.

Each function is one transaction's work on an open connection. Functions that change an order return it as it then
stands; a change that its state does not allow is no error and changes nothing, because another process may have
learned more in the meantime.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sora_mcp.errors import InvalidArgument, JournalUnavailable
from sora_mcp.journal.reports import changes
from sora_mcp.journal.rows import Joined, NewOrder, NotFound, Order, OverLimit, Page, Reserved, folded

if TYPE_CHECKING:
    import sqlite3

    from sora_mcp.journal.rows import Begun
    from sora_mcp.models import TaskReport, TaskStatus

JOINING_SECONDS = 900
DAY_SECONDS = 86_400
LONGEST_LEASE_SECONDS = 600.0
LONGEST_QUERY = 1_000
SPACING_SECONDS = 60.0
"""Two "not found" answers closer together than this count as one."""

_LITERALLY = str.maketrans({character: f"[{character}]" for character in "*?["})  # in a GLOB
_NAMES = tuple(column.name for column in fields(Order))
_COLUMNS = ", ".join(_NAMES)
_ORDERED = ", ".join(column.name for column in fields(NewOrder))
_ORDERED_VALUES = ", ".join(f":{column.name}" for column in fields(NewOrder))
_RESERVING = "state NOT IN ('rejected', 'absent') AND status <> 'failed'"
# An order "in the future" is one from before the clock was set back. It counts from the moment it was first seen so:
# the windows hold, run out in time, and are as they were once the clock is right again.
_COUNTED_AT = "CASE WHEN sent_at <= :now THEN sent_at ELSE coalesce(recounted_at, :now) END"
_WITHIN = f"sent_at > :since AND {_COUNTED_AT} > :since"
# A lease that ends further off than any lease may is left from before the clock was set back.
_LEASE_OVER = f"(lease_until IS NULL OR lease_until <= :now OR lease_until > :now + {LONGEST_LEASE_SECONDS})"


def begin(
    connection: sqlite3.Connection,
    order: NewOrder,
    *,
    daily_seconds: int,
    owner: str,
    lease_seconds: float,
    now: float,
) -> Begun:
    """Join the live order of the same fingerprint, or reserve the seconds and write the order down as ``sending``."""
    connection.execute(
        "UPDATE orders SET recounted_at = :now WHERE sent_at > :now AND coalesce(recounted_at, :now + 1) > :now",
        {"now": now},
    )
    live = _select(
        connection,
        f"fingerprint = :fingerprint AND {_WITHIN} AND {_RESERVING} ORDER BY seq DESC LIMIT 1",
        {"fingerprint": order.fingerprint, "now": now, "since": now - JOINING_SECONDS},
    )
    if live:
        return Joined(live[0])
    if daily_seconds:
        reserved = _reserved(connection, now)
        ordered = sum(seconds for _, seconds in reserved)
        if ordered + order.seconds > daily_seconds:
            return OverLimit(ordered, _room_at(reserved, ordered + order.seconds - daily_seconds))
    values = {column.name: getattr(order, column.name) for column in fields(NewOrder)}
    values |= {"request": json.dumps(order.request), "now": now, "owner": owner}
    values |= {"lease_until": now + min(lease_seconds, LONGEST_LEASE_SECONDS)}
    inserted = connection.execute(
        f"INSERT INTO orders ({_ORDERED}, state, status, created_at, sent_at, updated_at, lease_owner, lease_until)"  # noqa: S608 - names of columns
        f" VALUES ({_ORDERED_VALUES}, 'sending', 'unconfirmed', CAST(:now AS INTEGER), :now, :now, :owner,"
        " :lease_until)",
        values,
    )
    connection.execute("INSERT INTO prompts VALUES (?, ?)", (inserted.lastrowid, folded(order.prompt)))
    return Reserved(_the(connection, order.order_id))


def accept(connection: sqlite3.Connection, order_id: str, report: TaskReport, now: float) -> Order:
    """The service has the task. Allowed from every state: a task that was found is never lost again."""
    return _learn(connection, _the(connection, order_id), report, now)


def record(connection: sqlite3.Connection, report: TaskReport, now: float) -> Order | None:
    """Write down what a status answer adds; ``None`` when the task was not ordered through this order book."""
    order = reported(connection, report)
    return order and _learn(connection, order, report, now)


def reported(connection: sqlite3.Connection, report: TaskReport) -> Order | None:
    """The order that a report is about: by its id, or by our own id in it."""
    order = find(connection, report.id)
    if order is None and report.client_business_id:
        order = find(connection, report.client_business_id)
    return order


def _learn(connection: sqlite3.Connection, order: Order, report: TaskReport, now: float) -> Order:
    return _update(connection, order.order_id, "TRUE", changes(order, report), now)


def reject(connection: sqlite3.Connection, order_id: str, code: str, message: str, now: float) -> Order:
    """The service refused it, or it never left: ``sending`` becomes ``rejected``, its seconds are free again."""
    values = {"state": "rejected", "status": None, "error_code": code, "error_message": message}
    return _update(connection, order_id, "state = 'sending'", values, now)


def mark_unconfirmed(connection: sqlite3.Connection, order_id: str, now: float) -> Order:
    """Its answer was lost: ``sending`` becomes ``unconfirmed``."""
    return _update(connection, order_id, "state = 'sending'", {"state": "unconfirmed"}, now)


def mark_absent(connection: sqlite3.Connection, order_id: str, now: float) -> Order:
    """It was proven never to have been taken: ``unconfirmed`` becomes ``absent``, its seconds are free again."""
    return _update(connection, order_id, "state = 'unconfirmed'", {"state": "absent", "status": None}, now)


def claim(connection: sqlite3.Connection, order_id: str, owner: str, seconds: float, now: float) -> bool:
    """Take or renew the lease on an order that is not resolved."""
    cursor = connection.execute(
        "UPDATE orders SET lease_owner = :owner, lease_until = :until WHERE order_id = :order_id"  # noqa: S608 - a constant
        f" AND state IN ('sending', 'unconfirmed') AND (lease_owner = :owner OR {_LEASE_OVER})",
        {"owner": owner, "until": now + min(seconds, LONGEST_LEASE_SECONDS), "order_id": order_id, "now": now},
    )
    return cursor.rowcount == 1


def not_found(connection: sqlite3.Connection, order_id: str, now: float) -> NotFound:
    """Count one "not found" answer, if it is far enough from the last one that counted."""
    _the(connection, order_id)  # it must be there
    [(answers, first, last)] = connection.execute(
        "SELECT not_found_answers, not_found_first_at, not_found_last_at FROM orders WHERE order_id = ?", (order_id,)
    ).fetchall()
    if not answers or now < last:  # set back, the clock proves nothing: from the start
        answers, first, last = 1, now, now
    elif now - last >= SPACING_SECONDS:
        answers, last = answers + 1, now
    else:
        return NotFound(answers, last - first)
    values = {"not_found_answers": answers, "not_found_first_at": first, "not_found_last_at": last}
    _update(connection, order_id, "TRUE", values, now)
    return NotFound(answers, last - first)


def save(
    connection: sqlite3.Connection, task_id: str, *, path: str, size: int, sha256: str, now: float
) -> Order | None:
    """Remember where the video was saved; ``None`` for a task that is not in this order book."""
    order = find(connection, task_id)
    values = {"saved_path": path, "saved_size": size, "saved_sha256": sha256}
    return order and _update(connection, order.order_id, "TRUE", values, now)


def find(connection: sqlite3.Connection, id: str) -> Order | None:  # noqa: A002 - an id of either kind
    """By the task's id or the order's."""
    found = _select(connection, "task_id = :id OR order_id = :id ORDER BY seq DESC LIMIT 1", {"id": id})
    return found[0] if found else None


def unresolved(connection: sqlite3.Connection, now: float) -> tuple[Order, ...]:
    """Orders whose answer has to be looked for, oldest first."""
    return _select(
        connection,
        "state IN ('sending', 'unconfirmed')"
        f" AND CASE state WHEN 'sending' THEN {_LEASE_OVER} ELSE sent_at > :now - {DAY_SECONDS} END ORDER BY seq",
        {"now": now},
    )


def page(
    connection: sqlite3.Connection, *, status: TaskStatus | None, query: str | None, limit: int, before: str | None
) -> Page:
    """Orders that are or may become videos, newest first: rejected and absent ones are left out."""
    conditions, values = ["status IS NOT NULL"], dict[str, Any](limit=limit + 1)
    if before is not None:
        conditions.append("seq < :before")
        values["before"] = _position(before)
    if status is not None:
        conditions.append("status = :status")
        values["status"] = status
    words = _words(query or "")
    for number, word in enumerate(words):
        conditions.append(f"folded GLOB :word{number}")
        values[f"word{number}"] = f"*{word.translate(_LITERALLY)}*"
    # CROSS JOIN keeps this order: the dense table is searched first, from its newest end.
    tables = "prompts CROSS JOIN orders USING (seq)" if words else "orders"
    rows = connection.execute(
        f"SELECT seq, {_COLUMNS} FROM {tables} WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :limit",  # noqa: S608
        values,
    ).fetchall()
    shown = rows[:limit]
    return Page(tuple(_order(row[1:]) for row in shown), str(shown[-1][0]) if len(rows) > limit else None)


def ordered_seconds(connection: sqlite3.Connection, now: float) -> tuple[int, float | None]:
    """The seconds that count against the daily limit, and when the oldest of them stop counting."""
    reserved = _reserved(connection, now)
    return sum(seconds for _, seconds in reserved), _room_at(reserved, 1)


def _reserved(connection: sqlite3.Connection, now: float) -> list[tuple[float, int]]:
    return connection.execute(
        f"SELECT {_COUNTED_AT}, seconds FROM orders WHERE {_WITHIN} AND {_RESERVING} ORDER BY 1",  # noqa: S608
        {"now": now, "since": now - DAY_SECONDS},
    ).fetchall()


def _room_at(reserved: list[tuple[float, int]], needed: int) -> float | None:
    """When ``needed`` of the reserved seconds will be more than a day old."""
    for sent_at, seconds in reserved:
        needed -= seconds
        if needed <= 0:
            return sent_at + DAY_SECONDS
    return None


def _words(query: str) -> list[str]:
    if len(query) > LONGEST_QUERY:
        raise InvalidArgument(f"query is longer than {LONGEST_QUERY} characters.", "Search for a few words.")
    return list(dict.fromkeys(folded(query).split()))


def _position(cursor: str) -> int:
    if cursor.isascii() and cursor.isdecimal() and len(cursor) < 19:  # noqa: PLR2004 - what fits a 64-bit integer
        return int(cursor)
    raise InvalidArgument("before is not a cursor.", "Give the value of next from an earlier list, unchanged.")


def _update(connection: sqlite3.Connection, order_id: str, allowed: str, values: dict[str, Any], now: float) -> Order:
    if values:
        assignments = ", ".join(f"{column} = :{column}" for column in values)
        connection.execute(
            f"UPDATE orders SET {assignments}, updated_at = :now WHERE order_id = :order_id AND {allowed}",  # noqa: S608
            {**values, "now": now, "order_id": order_id},
        )
    return _the(connection, order_id)


def _the(connection: sqlite3.Connection, order_id: str) -> Order:
    found = _select(connection, "order_id = :order_id", {"order_id": order_id})
    if not found:
        raise JournalUnavailable(
            f"The order {order_id} is not in the order book, which was replaced after it was sent.",
            "Look for it in the service's console.",
        )
    return found[0]


def _select(connection: sqlite3.Connection, where: str, values: dict[str, Any]) -> tuple[Order, ...]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE {where}", values).fetchall()  # noqa: S608
    return tuple(_order(row) for row in rows)


def _order(row: tuple[Any, ...]) -> Order:
    values = dict(zip(_NAMES, row, strict=True))
    return Order(**values | {"request": json.loads(values["request"])})
