"""What is remembered of uploads and models, so that the service is not asked the same thing twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sora_mcp.journal.rows import Upload

if TYPE_CHECKING:
    import sqlite3

REUSE_SECONDS = 3_600
KEPT_SECONDS = 30 * 86_400

_COLUMNS = "id, url, mime_type, size, width, height, created_at, changes"


def remember(connection: sqlite3.Connection, content_sha256: str, settings: str, upload: Upload) -> None:
    """Keep an upload under the hash of its content and the settings it was fitted with."""
    connection.execute("DELETE FROM uploads WHERE created_at <= ?", (upload.created_at - KEPT_SECONDS,))
    connection.execute(
        f"INSERT OR REPLACE INTO uploads (content_sha256, settings, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - names of columns
        (
            content_sha256,
            settings,
            upload.id,
            upload.url,
            upload.mime_type,
            upload.size,
            upload.width,
            upload.height,
            upload.created_at,
            json.dumps(upload.changes),
        ),
    )


def find(connection: sqlite3.Connection, content_sha256: str, settings: str, now: float) -> Upload | None:
    """The same image with the same settings, uploaded within the hour."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM uploads"  # noqa: S608 - names of columns
        " WHERE content_sha256 = ? AND settings = ? AND created_at > ? AND created_at <= ?",
        (content_sha256, settings, now - REUSE_SECONDS, now),
    ).fetchall()
    return Upload(*rows[0][:-1], changes=tuple(json.loads(rows[0][-1]))) if rows else None


def size_of(connection: sqlite3.Connection, url: str) -> tuple[int, int] | None:
    """Width and height in pixels of an image that was uploaded from here."""
    rows = connection.execute(
        "SELECT width, height FROM uploads WHERE url = ? ORDER BY created_at DESC LIMIT 1", (url,)
    ).fetchall()
    return rows[0] if rows else None


def ids_kept(connection: sqlite3.Connection, model: str) -> bool:
    """Whether the service was once seen to know a task of this model by our own id."""
    return bool(connection.execute("SELECT 1 FROM ids_kept WHERE model = ?", (model,)).fetchall())


def learn_ids_kept(connection: sqlite3.Connection, model: str, now: float) -> None:
    """It was."""
    connection.execute("INSERT OR IGNORE INTO ids_kept VALUES (?, ?)", (model, now))
