"""Ask a chandra-search server from Python; answers are astropy tables with units.

>>> from chandra_client import Client
>>> with Client("http://127.0.0.1:8000") as chandra:  # doctest: +SKIP
...     spectra = chandra.search_text("obscured AGN with an iron line", classes=["AGN"])
...     spectra["exposure_s"].to("ks")
"""

from chandra_client.client import Client
from chandra_client.errors import (
    BadAnswerError,
    ChandraError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from chandra_client.options import Filters, Options
from chandra_client.spectra import EstimateOptions, SearchOptions

__all__ = [
    "BadAnswerError",
    "ChandraError",
    "Client",
    "EstimateOptions",
    "Filters",
    "NotFoundError",
    "Options",
    "RefusedError",
    "SearchOptions",
    "UnauthorizedError",
    "UnavailableError",
]
