"""What is done how often: the one table, for Celery and for a single process."""

from dataclasses import dataclass
from datetime import timedelta

from workers.settings import WorkerSettings

LEARN = "learn"
INGEST = "ingest"
"""The step that works off uploads; it is no job of the schedule."""

_EVERY = {
    ("discover", "csc"): "poll_csc_days",
    ("discover", "cda"): "poll_cda_days",
    ("discover", "ads"): "poll_ads_days",
    ("rematch", ""): "rematch_days",
    ("refresh_citations", ""): "citations_days",
    ("score_outliers", ""): "outliers_days",
    ("optimize", ""): "optimize_days",
    ("snapshot", ""): "snapshot_days",
    (LEARN, ""): "learn_days",
}

ENCODING = frozenset({"store", INGEST, "score_outliers", "optimize", "snapshot"})
"""Steps that compute; the others wait for archives, or for a process of their own to learn, and are
done apart from these."""


@dataclass(frozen=True, slots=True)
class Job:
    """A step that is done again and again, by itself or for a feed."""

    step: str
    feed: str
    every: timedelta

    @property
    def name(self) -> str:
        """What it is called in the ledger."""
        return f"{self.step} {self.feed}".strip()


def jobs(settings: WorkerSettings) -> list[Job]:
    """Return the schedule, without feeds that are not polled and jobs that are off."""
    return [
        Job(step, feed, timedelta(days=days))
        for (step, feed), every in _EVERY.items()
        if (not feed or feed in settings.feeds) and (days := getattr(settings, every))
    ]
