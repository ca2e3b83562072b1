"""The tables, as a list of steps that is only ever added to. ``PRAGMA user_version`` counts the steps taken."""

from __future__ import annotations

import sqlite3

from sora_mcp.journal.transactions import writing

# Type-checked columns came with SQLite 3.37. An older library does without the check rather than without orders.
_STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"""
        CREATE TABLE orders (
            seq INTEGER PRIMARY KEY,
            order_id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('generate', 'remix')),
            fingerprint TEXT NOT NULL,
            model TEXT NOT NULL,
            prompt TEXT NOT NULL,
            seconds INTEGER NOT NULL,
            aspect_ratio TEXT,
            size TEXT,
            request TEXT NOT NULL,
            remixed_from_video_id TEXT,
            state TEXT NOT NULL CHECK (state IN ('sending', 'accepted', 'rejected', 'unconfirmed', 'absent')),
            task_id TEXT,
            status TEXT CHECK (status IN ('queued', 'in_progress', 'completed', 'failed', 'unconfirmed')),
            progress INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
            created_at INTEGER NOT NULL,
            sent_at REAL NOT NULL,
            recounted_at REAL,
            updated_at REAL NOT NULL,
            completed_at INTEGER,
            expires_at INTEGER,
            error_code TEXT,
            error_message TEXT,
            saved_path TEXT,
            saved_size INTEGER,
            saved_sha256 TEXT,
            lease_owner TEXT,
            lease_until REAL,
            not_found_answers INTEGER NOT NULL DEFAULT 0,
            not_found_first_at REAL,
            not_found_last_at REAL,
            CHECK ((state = 'accepted') = (task_id IS NOT NULL)),
            CHECK ((state IN ('rejected', 'absent')) = (status IS NULL))
        ) {_STRICT}
        """,
        # Apart from the orders, and so much denser: a search reads all of it.
        f"CREATE TABLE prompts (seq INTEGER PRIMARY KEY REFERENCES orders, folded TEXT NOT NULL) {_STRICT}",
        "CREATE INDEX orders_fingerprint ON orders (fingerprint, sent_at)",
        "CREATE INDEX orders_sent_at ON orders (sent_at)",
        "CREATE INDEX orders_task_id ON orders (task_id) WHERE task_id IS NOT NULL",
        "CREATE INDEX orders_unresolved ON orders (state) WHERE state IN ('sending', 'unconfirmed')",
    ),
    (f"CREATE TABLE ids_kept (model TEXT NOT NULL PRIMARY KEY, learned_at REAL NOT NULL) {_STRICT}",),
    (
        f"""
        CREATE TABLE uploads (
            content_sha256 TEXT NOT NULL,
            settings TEXT NOT NULL,
            id TEXT NOT NULL,
            url TEXT NOT NULL,
            mime_type TEXT,
            size INTEGER,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            created_at REAL NOT NULL,
            changes TEXT NOT NULL,
            PRIMARY KEY (content_sha256, settings)
        ) {_STRICT}
        """,
        "CREATE INDEX uploads_url ON uploads (url)",
    ),
)

VERSION = len(MIGRATIONS)


class NewerSchemaError(sqlite3.DatabaseError):
    """The file was written by a newer version of this program: it is left as it is."""


def version_of(connection: sqlite3.Connection) -> int:
    """How many of the steps the file has taken."""
    return connection.execute("PRAGMA user_version").fetchall()[0][0]


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Stop before anything is written to a file of a newer version.

    Raises:
        NewerSchemaError: The file has taken steps that are not known here.
    """
    if version_of(connection) > VERSION:
        raise NewerSchemaError


def migrate(connection: sqlite3.Connection) -> None:
    """Take the steps that are missing, each in a transaction of its own; any number of processes may do so at once."""
    while (version := version_of(connection)) < VERSION:
        with writing(connection):
            if version_of(connection) == version:  # or another process was quicker
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
