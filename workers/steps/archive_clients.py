"""`ingest.archives` in the words of the steps: every client built, over one courtesy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import redis

from common.records import Detection
from ingest.archives.ads import ADSArchive
from ingest.archives.cda import CDAArchive
from ingest.archives.csc import CSCArchive
from ingest.archives.download_cache import DownloadCache
from ingest.archives.pacing import Courtesy, LocalCourtesy
from ingest.archives.products import CSCProducts
from ingest.archives.settings import ArchiveSettings
from ingest.archives.simbad import Position, SimbadArchive
from workers.ledger.checkpoints import Notes
from workers.metrics import StageMetrics
from workers.settings import WorkerSettings
from workers.steps.archive_ports import Archives, Match
from workers.steps.feeds import Feed
from workers.steps.feeds.ads import ADSFeed
from workers.steps.feeds.cda import CATALOG, CDAFeed
from workers.steps.feeds.csc import CSCFeed
from workers.steps.shared_pacing import Budgets, SharedCourtesy

RADIUS_ARCSEC = 3.0
BIGQUERIES_A_DAY = 90
"""ADS grants about 100."""


@contextmanager
def open_archives(
    settings: ArchiveSettings,
    workers: WorkerSettings,
    notes: Notes,
    client: redis.Redis | None,
    metrics: StageMetrics | None = None,
) -> Iterator[Archives]:
    """Give all archives; requests are counted over all processes that share the Redis."""
    budgets = _budgets(settings, notes)
    courtesy = _courtesy(settings, workers, budgets, client)
    if metrics:
        courtesy = metrics.counting(courtesy)
    cache = DownloadCache(settings.downloads_dir, round(settings.downloads_gb * 2**30))
    current = settings.model_copy(update={"csc_catalog": CATALOG})
    with ExitStack() as stack:
        catalogue = stack.enter_context(closing(CSCArchive(settings, courtesy)))
        observations = stack.enter_context(closing(CDAArchive(settings, courtesy)))
        papers = stack.enter_context(closing(ADSArchive(settings, courtesy)))
        simbad = stack.enter_context(closing(SimbadArchive(settings, courtesy)))
        products = {
            name: stack.enter_context(closing(CSCProducts(release, courtesy, cache)))
            for name, release in (("csc", settings), ("cda", current))
        }
        public = CDAFeed(observations, catalogue)
        feeds: dict[str, Feed] = {"csc": CSCFeed(catalogue), "cda": public, "ads": ADSFeed(papers)}
        yield Archives(
            feeds={name: feed for name, feed in feeds.items() if name in workers.feeds},
            observations=public,
            products=products,
            matcher=SimbadMatcher(simbad),
            citations=papers,
            left={name: partial(budgets.left, name) for name in budgets.limits},
        )


@contextmanager
def open_ads(
    settings: ArchiveSettings, workers: WorkerSettings, notes: Notes, client: redis.Redis | None
) -> Iterator[ADSArchive]:
    """Give ADS alone; its requests are counted as those of `open_archives` are."""
    courtesy = _courtesy(settings, workers, _budgets(settings, notes), client)
    with closing(ADSArchive(settings, courtesy)) as archive:
        yield archive


def _budgets(settings: ArchiveSettings, notes: Notes) -> Budgets:
    limits = {"ads": settings.ads_daily_budget, "ads-bigquery": BIGQUERIES_A_DAY}
    return Budgets(notes, limits)


def _courtesy(
    settings: ArchiveSettings,
    workers: WorkerSettings,
    budgets: Budgets,
    client: redis.Redis | None,
) -> Courtesy:
    """Return the courtesy of all processes that share the Redis, without one that of this one."""
    rates = {
        "csc": workers.csc_per_second,
        "cda": workers.csc_per_second,
        "simbad": settings.simbad_per_second,
        "ads": workers.ads_per_second,
        "ads-bigquery": workers.ads_per_second,
    }
    if client is None:
        return LocalCourtesy(rates, budgets.spend)
    return SharedCourtesy(client, rates, budgets.spend)


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
