"""Where the archives are and how they are asked, from ``CHANDRA_*`` variables."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

CatalogVersion = Literal["rel2.0", "rel2.1", "cur"]


class ArchiveSettings(BaseSettings):
    """Settings of the archive clients."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", env_ignore_empty=True, frozen=True)

    csc_tap_url: HttpUrl = HttpUrl("http://cda.cfa.harvard.edu/csc21tap")
    """Table access to the Chandra Source Catalog; release 2.0 has a service of its own."""

    csccli_url: HttpUrl = HttpUrl("https://cda.cfa.harvard.edu/csccli")
    """Data products of the catalogue."""

    cda_tap_url: HttpUrl = HttpUrl("https://cda.cfa.harvard.edu/cxctap")
    """Table access to the observations of the archive."""

    simbad_tap_url: HttpUrl = HttpUrl("https://simbad.cds.unistra.fr/simbad/sim-tap")

    ads_url: HttpUrl = HttpUrl("https://api.adsabs.harvard.edu/v1")

    ads_token: SecretStr | None = None
    """Token of an ADS account."""

    ads_query: str = 'collection:astronomy abs:"X-ray" abs:"Chandra"'
    """Which papers are ours, in the words of ADS."""

    csc_catalog: CatalogVersion = "rel2.1"
    """Release of the catalogue, or ``cur`` for what is processed day by day."""

    archive_timeout_s: float = Field(default=60.0, gt=0)
    """How long to wait for an answer, or for the next part of one."""

    archive_attempts: int = Field(default=5, ge=1)
    """How often a request is sent before the archive is left alone."""

    archive_backoff_s: float = Field(default=1.0, ge=0)
    """Wait before the second attempt, twice as long before each further one."""

    archive_max_wait_s: float = Field(default=120.0, ge=0)
    """Longest wait for an archive that asks for patience; beyond it the request is given up."""

    archive_max_answer_mb: float = Field(default=256.0, gt=0)
    """Largest answer or file that is read, in MiB."""

    simbad_per_second: float = Field(default=5.0, gt=0, le=5)
    """Requests a second to SIMBAD, which blocks who sends more than 6."""

    ads_daily_budget: int = Field(default=4000, ge=1, le=5000)
    """Requests a day to ADS, which grants 5,000."""

    downloads_dir: Path = Field(
        default_factory=lambda: user_cache_path("chandra-search") / "downloads"
    )
    """Folder of downloaded files; it can be deleted at any time."""

    downloads_gb: float = Field(default=20.0, gt=0)
    """Size in GiB above which the files used longest ago are deleted."""


@lru_cache
def get_settings() -> ArchiveSettings:
    """Return the settings, read when first asked for."""
    return ArchiveSettings()
