"""Where the rows come from: files, or the digits that scikit-learn ships."""

from __future__ import annotations

from datetime import datetime

from platform_ctl.recipe.datasets import IngestReport, Progress, no_progress
from platform_ctl.recipe.recipe import DataAccess
from recipes.eights.table import TABLE

ingest_csv = TABLE.ingest
ingest_labels = TABLE.ingest_labels
resolve = TABLE.resolve
foresee = TABLE.foresee
show = TABLE.show
golden_show = TABLE.golden_show
golden_refresh = TABLE.golden_refresh
latest_rows = TABLE.latest_rows
audit = TABLE.audit


def ingest_sample(
    access: DataAccess,
    *,
    now: datetime,
    progress: Progress = no_progress,
    unlabelled: int | None = None,
) -> IngestReport:
    """1,797 handwritten digits, 174 of them eights (UCI, Alpaydin and Kaynak, 1998).

    They are called ``image-0000`` and so on; of the last ``unlabelled`` nobody has said yet.
    """
    from sklearn.datasets import load_digits

    frame = load_digits(as_frame=True).frame
    frame[TABLE.label] = (frame.pop("target") == 8).map({True: "yes", False: "no"})
    frame[TABLE.entity] = [f"image-{n:04d}" for n in range(len(frame))]
    frame.loc[frame.index >= len(frame) - (unlabelled or 0), TABLE.label] = None
    return TABLE.ingest_frame(access, frame, now=now, progress=progress)
