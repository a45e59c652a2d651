"""Spectra that come with a request."""

import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastapi import HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData

from common.binning import BIN_EDGES_KEV
from common.errors import InvalidSpectrumError
from common.records import Spectrum
from ingest.discover import read_observed
from ingest.pha import read_pha
from search.api.models import ArrayBody, UploadBody

SpectrumBody = ArrayBody | UploadBody

MAX_FIELDS = 100


async def spectrum_body(request: Request) -> AsyncIterator[SpectrumBody]:
    """Give the spectrum of a request, uploaded files open until it is answered."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = await request.body()
        yield _checked(lambda: ArrayBody.model_validate_json(body))
    elif kind == "multipart/form-data":
        async with request.form(max_files=2, max_fields=MAX_FIELDS) as form:
            yield _checked(lambda: UploadBody.model_validate(_fields(form)))
    else:
        raise HTTPException(
            415,
            f"content type {kind or 'none'}: send a file as multipart/form-data "
            "(curl -F file=@source.pha), or application/json with counts and exposure_s",
        )


def _checked(parse: Callable[[], SpectrumBody]) -> SpectrumBody:
    """Let mistakes in the body be answered like those that the framework finds."""
    try:
        return parse()
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc


def _fields(form: FormData) -> dict[str, Any]:
    """Return the fields of a form, repeated ones as lists."""
    lists = {name: form.getlist(name) for name in form}
    return {name: values if len(values) > 1 else values[0] for name, values in lists.items()}


def read_spectrum(body: SpectrumBody) -> Spectrum:
    """Return the spectrum of a request, or raise InputError if it is no usable one."""
    if isinstance(body, ArrayBody):
        counts = np.array(body.counts)
        return Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], body.exposure_s)
    with TemporaryDirectory(prefix="chandra-search-") as folder:
        path = _saved(body.file, Path(folder, "spectrum"))
        if body.rmf is None:
            found = read_observed(path)
        else:
            found = read_pha(path, rmf=_saved(body.rmf, Path(folder, "response")))
    if body.row > len(found):
        raise InvalidSpectrumError(f"{path.name} has {len(found)} spectra: row is {body.row}")
    return found[body.row - 1].spectrum


def _saved(upload: UploadFile, folder: Path) -> Path:
    """Save an upload under a harmless form of its name, which may tell what kind of file it is."""
    folder.mkdir()
    name = re.sub(r"[^\w.+-]", "_", upload.filename or "", flags=re.ASCII).lstrip(".")[-100:]
    path = folder / (name or "spectrum.fits")
    with path.open("wb") as out:
        shutil.copyfileobj(upload.file, out)
    return path
