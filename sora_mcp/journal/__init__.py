"""Orders and what became of them: an order book in SQLite that every process of one account shares.

Cheap to import: sqlite3 is imported on first use, in the journal's own thread.
"""

from sora_mcp.journal.journal import Journal
from sora_mcp.journal.rows import (
    Begun,
    Joined,
    NewOrder,
    NotFound,
    Order,
    OrderState,
    OverLimit,
    Page,
    Reserved,
    Upload,
    fingerprint,
    new_order_id,
)

__all__ = [
    "Begun",
    "Joined",
    "Journal",
    "NewOrder",
    "NotFound",
    "Order",
    "OrderState",
    "OverLimit",
    "Page",
    "Reserved",
    "Upload",
    "fingerprint",
    "new_order_id",
]
