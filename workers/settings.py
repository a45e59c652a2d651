"""How the continuous jobs run, from ``CHANDRA_*`` variables."""

from datetime import timedelta
from functools import lru_cache
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

FEEDS = ("csc", "cda", "ads")


class WorkerSettings(BaseSettings):
    """Settings of the workers; what they ask of archives is in `ingest.archives.settings`."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", frozen=True)

    redis_url: SecretStr | None = None
    """Redis between the worker processes; None lets one process do everything."""

    feeds: tuple[str, ...] = FEEDS
    """Feeds that are polled, as a JSON list."""

    batch: int = Field(default=256, ge=1, le=2000)
    """Items of a task that encodes and stores."""

    fetch_batch: int = Field(default=16, ge=1, le=1000)
    """Items of a task that waits for archives."""

    max_in_flight: int = Field(default=4096, ge=1)
    """Items of a feed sent to be stored and not stored yet; no more than is done in a lease."""

    max_fetching: int = Field(default=512, ge=1)
    """Items of a feed sent to be fetched and not fetched yet; no more than is done in a lease."""

    lease_s: float = Field(default=900, gt=0)
    """How long an item that was sent is left alone before it is sent again."""

    max_deliveries: int = Field(default=5, ge=3)
    """How often an item may be given to a worker that never comes back with it."""

    max_attempts: int = Field(default=5, ge=1)
    """How often something that fails is tried before it is left to people."""

    retry_s: float = Field(default=300, ge=0)
    """Wait after the first failure, four times as long after each further one."""

    ingest_wait_s: float = Field(default=600, ge=0)
    """How long `chandra-search ingest` waits for a Qdrant server that is away; 0 is not at all."""

    visibility_timeout_s: float = Field(default=3600, gt=0)
    """When Redis gives a message away again that nobody has acknowledged."""

    poll_csc_days: float = Field(default=30, gt=0)
    poll_cda_days: float = Field(default=1, gt=0)
    poll_ads_days: float = Field(default=1, gt=0)
    rematch_days: float = Field(default=30, gt=0)
    citations_days: float = Field(default=30, gt=0)
    outliers_days: float = Field(default=7, gt=0)
    optimize_days: float = Field(default=1, gt=0)
    """How often the vector index takes in what is new; a server does so by itself."""

    snapshot_days: float = Field(default=1, gt=0)
    learn_days: float = Field(default=0, ge=0)
    """How often a new model is trained on what is stored, and used if it is better; 0 is never."""

    dispatch_s: float = Field(default=5, gt=0)
    """How often is looked what is due."""

    snapshots: int = Field(default=7, ge=1)
    """How many snapshots are kept."""

    withdraw_at_most: float = Field(default=0.05, ge=0, le=1)
    """Share of a feed that one sweep may find withdrawn; more is taken for the archive's fault."""

    csc_per_second: float = Field(default=10, gt=0)
    """Requests a second to the Chandra archives, from all workers together."""

    ads_per_second: float = Field(default=5, gt=0)
    """Requests a second to ADS, from all workers together."""

    io_threads: int = Field(default=4, ge=1, le=64)
    """Threads that wait for archives where one process does everything."""

    worker_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Where a worker, beat or ``serve --ingest`` tells Prometheus of ingestion; 0 is nowhere."""

    worker_metrics_host: str = "127.0.0.1"
    """Address on which it does."""

    summaries: Literal["extractive", "openai"] = "extractive"
    """How new papers are summarised."""

    @property
    def lease(self) -> timedelta:
        """`lease_s` as a span of time."""
        return timedelta(seconds=self.lease_s)


@lru_cache
def get_settings() -> WorkerSettings:
    """Return the settings, read when first asked for."""
    return WorkerSettings()
