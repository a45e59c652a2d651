"""`ingest.archives` in the words of the steps: every client built, over one courtesy."""

from collections.abc import Mapping, Sequence
from functools import partial

import redis

from common.records import Detection
from ingest.archives.ads import ADSArchive
from ingest.archives.cda import CDAArchive
from ingest.archives.courtesy import Courtesy, LocalCourtesy
from ingest.archives.csc import CSCArchive
from ingest.archives.downloads import DownloadCache
from ingest.archives.products import CSCProducts
from ingest.archives.settings import ArchiveSettings
from ingest.archives.simbad import Position, SimbadArchive
from workers.archives import Archives, Match
from workers.courtesy import Budgets, SharedCourtesy
from workers.feeds import Feed
from workers.feeds.ads import ADSFeed
from workers.feeds.cda import CATALOG, CDAFeed
from workers.feeds.csc import CSCFeed
from workers.metrics import StageMetrics
from workers.notes import Notes
from workers.settings import WorkerSettings

RADIUS_ARCSEC = 3.0
BIGQUERIES_A_DAY = 90
"""ADS grants about 100."""


def open_archives(
    settings: ArchiveSettings,
    workers: WorkerSettings,
    notes: Notes,
    client: redis.Redis | None,
    metrics: StageMetrics | None = None,
) -> Archives:
    """Return all archives; requests are counted over all processes that share the Redis."""
    limits = _limits(settings)
    budgets = Budgets(notes, limits)
    rates = {
        "csc": workers.csc_per_second,
        "cda": workers.csc_per_second,
        "simbad": settings.simbad_per_second,
        "ads": workers.ads_per_second,
        "ads-bigquery": workers.ads_per_second,
    }
    courtesy: Courtesy = (
        SharedCourtesy(client, rates, budgets.spend)
        if client
        else LocalCourtesy(rates, budgets.spend)
    )
    if metrics:
        courtesy = metrics.counting(courtesy)
    cache = DownloadCache(settings.downloads_dir, round(settings.downloads_gb * 2**30))
    catalogue = CSCArchive(settings, courtesy)
    observations = CDAFeed(CDAArchive(settings, courtesy), catalogue)
    papers = ADSArchive(settings, courtesy)
    current = settings.model_copy(update={"csc_catalog": CATALOG})
    feeds: dict[str, Feed] = {
        "csc": CSCFeed(catalogue),
        "cda": observations,
        "ads": ADSFeed(papers),
    }
    return Archives(
        feeds={name: feed for name, feed in feeds.items() if name in workers.feeds},
        observations=observations,
        products={
            "csc": CSCProducts(settings, courtesy, cache),
            "cda": CSCProducts(current, courtesy, cache),
        },
        matcher=SimbadMatcher(SimbadArchive(settings, courtesy)),
        citations=papers,
        left={name: partial(budgets.left, name) for name in limits},
    )


def open_ads(settings: ArchiveSettings, workers: WorkerSettings, notes: Notes) -> ADSArchive:
    """Return ADS for one process; its requests count on the same allowance of the day."""
    budgets = Budgets(notes, _limits(settings))
    return ADSArchive(settings, LocalCourtesy({"ads": workers.ads_per_second}, budgets.spend))


def _limits(settings: ArchiveSettings) -> dict[str, int]:
    return {"ads": settings.ads_daily_budget, "ads-bigquery": BIGQUERIES_A_DAY}


class SimbadMatcher:
    """Objects of detections by name and position."""

    def __init__(self, archive: SimbadArchive) -> None:
        self._archive = archive

    def match(self, detections: Sequence[Detection]) -> Mapping[str, Match]:
        """Return class and papers of the objects that SIMBAD knows, by key of the detection."""
        positions = [
            Position(
                key=one.key,
                ra_deg=one.ra_deg,
                dec_deg=one.dec_deg,
                radius_arcsec=RADIUS_ARCSEC,
                names=(one.source_name,) if one.source_name else (),
            )
            for one in detections
            if one.ra_deg is not None and one.dec_deg is not None
        ]
        found = self._archive.match(positions) if positions else {}
        return {
            key: Match(tuple(one.source_class), tuple(one.bibcodes)) for key, one in found.items()
        }
