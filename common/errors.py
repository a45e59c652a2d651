"""Errors raised on purpose; the caller decides by branch of this tree.

* ChandraSearchError
  x InputError              wrong input: correct it, never retried
    + InvalidSpectrumError
    + InvalidTableError
    + InvalidPaperError
    + InvalidQueryError
    + BundleError
  x NotFoundError           unknown identifier or file, never retried
  x UnavailableError        a service or the store did not answer: retried
    + StoreUnavailableError the Qdrant server did not answer, or a batch met a change of model
    + StoreLockedError      another process holds the embedded store
    + ArchiveError          an archive did not answer, or answered nonsense
    + BudgetError           no request may be sent to an archive before a known time
    + BusyError             as much as may wait does already
    + NoRoomError           the disk is full
"""

from datetime import datetime


class ChandraSearchError(Exception):
    """Base class of every error this project raises on purpose."""


class InputError(ChandraSearchError):
    """The input is wrong; the message says what to do about it."""


class InvalidSpectrumError(InputError):
    """A file or array is no spectrum that can be used here."""


class InvalidTableError(InputError):
    """A table or dataset lacks what is needed, or contradicts itself."""


class InvalidPaperError(InputError):
    """A paper record has no usable bibcode or abstract."""


class InvalidQueryError(InputError):
    """A query, a filter or a source class cannot be understood."""


class BundleError(InputError):
    """A model bundle is altered, incomplete, or made for something else."""


class NotFoundError(ChandraSearchError):
    """There is no file, detection, paper or collection of that name."""


class UnavailableError(ChandraSearchError):
    """A service did not answer; the same call may succeed later."""


class StoreUnavailableError(UnavailableError):
    """The store did not do what was asked; the same may be asked again until it does."""


class StoreLockedError(UnavailableError):
    """The embedded store is in use by another process."""


class ArchiveError(UnavailableError):
    """An archive did not answer, or what it answered cannot be trusted.

    Attributes
    ----------
    retry_after_s : float or None
        How long it asked to be left alone.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetError(UnavailableError):
    """The requests that an archive grants are used up until `retry_at` (UTC)."""

    def __init__(self, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class BusyError(UnavailableError):
    """As much as may wait does already."""

    retry_after_s = 10.0


class NoRoomError(UnavailableError):
    """The disk is full: somebody has to make room."""
