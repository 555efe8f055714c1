"""Does a decision of this home wait for a process to carry it out? Asked often, answered in a
millisecond: an approval that somebody's death kept from its promotion leaves no other trace."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from platform_ctl.home import sqlite_file

_APPROVED = """
    SELECT 1 FROM approvals a LEFT JOIN runs r ON r.idempotency_key = 'promote-' || a.id
    WHERE a.state = 'approved' AND a.promotion_id = '' AND r.id IS NULL LIMIT 1
"""


def unstarted_promotion(database: Path) -> bool:
    """Whether a standing approval has no promotion; False when the database cannot be read now."""
    try:
        with sqlite_file.reading(database, 1.0) as db:
            return db.execute(_APPROVED).fetchone() is not None
    except sqlite3.Error:
        return False
