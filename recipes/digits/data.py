"""Where the rows come from: files, or the digits that scikit-learn ships."""

from __future__ import annotations

from datetime import datetime

from platform_ctl.recipe.datasets import IngestReport, Progress, no_progress
from platform_ctl.recipe.recipe import DataAccess
from recipes.digits.table import TABLE

ingest_csv = TABLE.ingest
resolve = TABLE.resolve
foresee = TABLE.foresee
show = TABLE.show
golden_show = TABLE.golden_show
golden_refresh = TABLE.golden_refresh
latest_rows = TABLE.latest_rows
audit = TABLE.audit


def ingest_sample(
    access: DataAccess, *, now: datetime, progress: Progress = no_progress
) -> IngestReport:
    """1,797 handwritten digits, 906 of them odd (UCI, Alpaydin and Kaynak, 1998)."""
    from sklearn.datasets import load_digits

    frame = load_digits(as_frame=True).frame
    frame[TABLE.label] = (frame.pop("target") % 2 == 1).map({True: "yes", False: "no"})
    return TABLE.ingest_frame(access, frame, now=now, progress=progress)
