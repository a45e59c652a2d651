"""Requests to the HTTP API as tests make them, and what a refusal must look like."""

from io import BytesIO

import numpy as np
from astropy.io import fits
from small_store import EXPOSURE_S, soft_counts

from common.binning import BIN_EDGES_KEV

TEXT = "/v1/search/text"
SPECTRUM = "/v1/search/spectrum"


def array(counts=None, **more):
    counts = soft_counts(3) if counts is None else counts
    return {"counts": list(counts), "exposure_s": EXPOSURE_S, **more}


def pha(counts, name="OGIP"):
    """Return an ACIS PHA file of 1,024 channels of 14.6 eV whose counts follow the 400 bins."""
    middle = (np.arange(1024) + 0.5) * 0.0146
    per_channel = np.interp(middle, (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2, counts)
    columns = [
        fits.Column("CHANNEL", "J", array=np.arange(1, 1025)),
        fits.Column("COUNTS", "J", array=per_channel.round().astype(int)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
    table.header.update(
        HDUCLASS=name,
        HDUCLAS1="SPECTRUM",
        TELESCOP="CHANDRA",
        INSTRUME="ACIS",
        CHANTYPE="PI",
        DETCHANS=1024,
        EXPOSURE=EXPOSURE_S,
        RESPFILE="none",
        ANCRFILE="none",
    )
    out = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(out)
    return out.getvalue()


def rmf():
    """Return the response of `pha`: the bounds of its channels."""
    low = np.arange(1024) * 0.0146
    columns = [
        fits.Column("CHANNEL", "J", array=np.arange(1, 1025)),
        fits.Column("E_MIN", "D", unit="keV", array=low),
        fits.Column("E_MAX", "D", unit="keV", array=low + 0.0146),
    ]
    bounds = fits.BinTableHDU.from_columns(columns, name="EBOUNDS")
    bounds.header.update(HDUCLASS="OGIP", HDUCLAS1="RESPONSE", HDUCLAS2="EBOUNDS", DETCHANS=1024)
    out = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), bounds]).writeto(out)
    return out.getvalue()


def ids(response):
    assert response.status_code == 200, response.text
    return [hit["id"] for hit in response.json()["answers"]]


def assert_problem(response, status, *said):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    problem = response.json()
    assert list(problem) == ["type", "title", "status", "detail", "request_id"]
    assert problem["status"] == status
    for words in said:
        assert words in problem["detail"]
