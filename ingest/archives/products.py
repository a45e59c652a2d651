"""Data products of the Chandra Source Catalog: a detection -> its spectrum with its responses."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from common.errors import ArchiveError, InputError, InvalidSpectrumError, NotFoundError
from ingest.archives.download_cache import DownloadCache, is_plain
from ingest.archives.http_session import PoliteSession
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings
from ingest.spectra.fits_file import read_fits
from ingest.spectra.product_names import parse_product_name

_FILE_TYPES: Final = {"pha3": "spectrum", "arf3": "arf", "rmf3": "rmf", "regevt3": "regevt3"}
"""What the archive calls a product, by the ending of its file's name."""


class _File(BaseModel):
    filename: str


_FILES = TypeAdapter(list[_File])


class CSCProducts:
    """Files of detections.

    Parameters
    ----------
    settings : ArchiveSettings
        Where they are, and of which release.
    courtesy : Courtesy
        Asked before each request, as ``csc``.
    cache : DownloadCache
        Where they are kept.
    """

    def __init__(self, settings: ArchiveSettings, courtesy: Courtesy, cache: DownloadCache) -> None:
        self._url = str(settings.csccli_url).rstrip("/")
        self._version = settings.csc_catalog
        self._session = PoliteSession("csc", settings, courtesy)
        self._cache = cache

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def browse(self, obsid: int, obi: int, region_id: int) -> list[str]:
        """Return the names of the files of a detection: spectrum, responses, event list.

        Raises
        ------
        NotFoundError
            If the archive does not know the detection.
        InputError
            If a name is no plain file name.
        ArchiveError
            If it does not answer, or not with a list of names.
        """
        # The last part of a package is a band, which these have not. What is not there is left
        # out of the answer. Only the wish for one product at a time is documented; that for
        # several, with commas, is how the archive's own tools ask.
        wished = ",".join(f"{obsid}.{obi}.{region_id}/{kind}/" for kind in _FILE_TYPES.values())
        params = {"packageset": wished, "version": self._version}

        def attempt() -> list[str]:
            answer = self._session.once("GET", f"{self._url}/browse", params=params)
            try:
                return [file.filename for file in _FILES.validate_json(answer.content)]
            except ValidationError as exc:
                raise ArchiveError(
                    f"csc answers no list of files for {obsid}/{obi}/{region_id}: "
                    f"{exc.errors()[0]['msg']}"
                ) from exc

        names = self._session.repeat(attempt)
        if strange := [name for name in names if not is_plain(name)]:
            raise InputError(f"csc names {strange[0]!r}, which is no plain file name: not fetched")
        return names

    def fetch_spectrum(self, obsid: int, obi: int, region_id: int) -> Path:
        """Return the spectrum of a detection, its responses beside it; else its event list.

        Parameters
        ----------
        obsid, obi, region_id : int
            The detection.

        Returns
        -------
        Path
            PHA file or event list in the cache, whole and FITS.

        Raises
        ------
        NotFoundError
            If it has neither.
        InputError
            If a file is too large, or has no plain name.
        ArchiveError
            If the archive does not answer, or sends what is no FITS file.
        UnavailableError
            If the files cannot be written.
        """
        place = f"{obsid}.{obi}.{region_id}"
        files: dict[str, str] = {}
        instruments = set()
        for name in sorted(self.browse(obsid, obi, region_id)):  # of two versions, the later
            parsed = parse_product_name(name)
            if parsed is None:
                continue
            if (parsed.obsid, parsed.obi, parsed.region_id) != (obsid, obi, region_id):
                raise ArchiveError(f"csc answers {name} to a question for the files of {place}")
            instruments.add(parsed.instrument)
            files[parsed.product] = name
        if "HRC" in instruments:
            raise NotFoundError(f"{place} has no spectrum: HRC has no energy resolution")
        wanted = ["arf3", "rmf3", "pha3"] if "pha3" in files else ["regevt3"]
        asked = {
            files[product]: {
                "filetype": _FILE_TYPES[product],
                "filename": files[product],
                "version": self._version,
            }
            for product in wanted
            if product in files
        }
        if not asked:
            raise NotFoundError(f"csc has neither spectrum nor event list of {place}")
        # A folder of their own: responses are looked for beside a spectrum.
        group = f"{self._version}-{place}"
        url = f"{self._url}/retrieveFile"
        # Files of a release never change; those of `cur` are processed again under the same name.
        changing = self._version == "cur"
        return self._cache.fetch_group(
            self._session, url, asked, group, revalidate=changing, check=_check_fits
        )[-1]


def _check_fits(path: Path) -> None:
    """Raise unless a file is FITS to its end, also when it is unpacked."""
    try:
        read_fits(path)
    except InvalidSpectrumError as exc:
        raise ArchiveError(f"csc sends what is no whole FITS file: {exc}") from exc
