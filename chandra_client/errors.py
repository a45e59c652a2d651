"""What can go wrong, by what the caller can do about it.

* ChandraError
  x RefusedError            the question is wrong: correct it (the message says how)
    + NotFoundError         nothing of that name
    + UnauthorizedError     an API key is missing, wrong, or not enough
  x UnavailableError        the server does not answer now: ask again later
  x BadAnswerError          what answered is no chandra-search, or the answer is incomplete
"""


class ChandraError(Exception):
    """Base class of every error that this package raises on purpose.

    Attributes
    ----------
    status : int or None
        HTTP status of the answer, if there was one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RefusedError(ChandraError):
    """The server refused the question; the message is its own."""


class NotFoundError(RefusedError):
    """There is no detection, paper or page of that name."""


class UnauthorizedError(RefusedError):
    """The server wants an API key, or another one."""


class UnavailableError(ChandraError):
    """The server did not answer in time, or said that it cannot now."""


class BadAnswerError(ChandraError):
    """The answer is incomplete, or no answer of a chandra-search server."""
