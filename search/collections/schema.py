"""What the store holds: collections, named vectors, payload fields. Spelled here and nowhere else.

A record becomes a payload in one place, so that what is written and what is asked for agree.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from qdrant_client import models

from common.binning import ENERGY_HI_KEV, ENERGY_LO_KEV
from common.errors import InputError
from common.ports import Encoder
from common.records import Detection, Paper, Spectrum, Summary, content_hash
from common.variables import VARIABLE_NAMES
from search.collections.store_format import write_format
from search.store.base import CollectionSchema, Store, VectorField
from search.store.keywords import KEYWORD_MODEL, keywords_of_document

DETECTIONS = "detections"
PAPERS = "papers"

SPECTRUM = "spectrum"  # detections: autoencoder latents, before alignment
TEXT = "text"  # both collections: text embeddings, before alignment
SHARED_SPECTRUM = "shared_spectrum"
SHARED_TEXT = "shared_text"
BOTH = "both"  # the two shared vectors, concatenated
SHARED = "shared"  # papers
BM25 = "bm25"  # papers: the words of title, abstract and summary, sparse

WITHDRAWN = "withdrawn_at"
"""Payload field of a tombstone: no search answers with it, its own address still does."""

UNENCODED = "unencoded"
"""Payload field: the inputs (`SPECTRUM`, `TEXT`) that this model could not be given."""

TOPIC_PROBABILITY = "topic_probability"
"""Payload field of papers: the probability of being about X-ray sources, as this model sees it."""

Payload = dict[str, Any]
NamedVectors = dict[str, list[float]]

_INDEX = models.PayloadSchemaType

DETECTION_FIELDS: dict[str, models.PayloadSchemaType] = {
    "key": _INDEX.KEYWORD,
    "source_name": _INDEX.KEYWORD,
    "release": _INDEX.KEYWORD,
    "telescope": _INDEX.KEYWORD,
    "instrument": _INDEX.KEYWORD,
    "matched_by": _INDEX.KEYWORD,
    "class_path": _INDEX.KEYWORD,
    "bibcodes": _INDEX.KEYWORD,
    "spectrum_hash": _INDEX.KEYWORD,
    "obsid": _INDEX.INTEGER,
    "obi": _INDEX.INTEGER,
    "region_id": _INDEX.INTEGER,
    "counts": _INDEX.FLOAT,
    "exposure_s": _INDEX.FLOAT,
    "ra_deg": _INDEX.FLOAT,
    "dec_deg": _INDEX.FLOAT,
    "location": _INDEX.GEO,
    "observed_at": _INDEX.DATETIME,
    "observed_year": _INDEX.INTEGER,
    "outlier_score": _INDEX.FLOAT,
    "outlier_class_rank": _INDEX.INTEGER,
    "simulated": _INDEX.BOOL,
    "has_spectrum": _INDEX.BOOL,
    WITHDRAWN: _INDEX.DATETIME,
    UNENCODED: _INDEX.KEYWORD,
    **dict.fromkeys(VARIABLE_NAMES, _INDEX.FLOAT),
}
DETECTION_LINKED = frozenset({"class_path", "instrument"})
"""Fields of few values that nearly every filtered question names."""

PAPER_FIELDS: dict[str, models.PayloadSchemaType] = {
    "bibcode": _INDEX.KEYWORD,
    "alternate_bibcodes": _INDEX.KEYWORD,
    "journal": _INDEX.KEYWORD,
    "authors": _INDEX.KEYWORD,
    "author_names": _INDEX.KEYWORD,
    "source_names": _INDEX.KEYWORD,
    "class_path": _INDEX.KEYWORD,
    "year": _INDEX.INTEGER,
    TOPIC_PROBABILITY: _INDEX.FLOAT,
    "simulated": _INDEX.BOOL,
    WITHDRAWN: _INDEX.DATETIME,
}
PAPER_LINKED = frozenset({"class_path"})

INGEST_LOG = "ingest_log"
"""The ledger of continuous ingestion: work items, feeds, jobs and budgets, payloads only."""

INGEST_LOG_SCHEMA = CollectionSchema(
    vectors={},
    payload_indexes={
        "kind": _INDEX.KEYWORD,
        "feed": _INDEX.KEYWORD,
        "state": _INDEX.KEYWORD,
        "name": _INDEX.KEYWORD,
        "day": _INDEX.KEYWORD,
        "sweep": _INDEX.INTEGER,
        "page": _INDEX.INTEGER,
        "deliveries": _INDEX.INTEGER,
        "leased_until": _INDEX.DATETIME,
        "retry_at": _INDEX.DATETIME,
        "updated_at": _INDEX.DATETIME,
        "matched_at": _INDEX.DATETIME,
    },
    sparse=("none",),  # the engines want at least one vector, which no point has
)

SPECTRUM_FIELDS = frozenset(
    {
        "telescope",
        "instrument",
        "observed_at",
        "observed_year",
        "exposure_s",
        "counts",
        "background_counts",
        "background_scaling",
        "energy_source",
        "warnings",
        "file",
        "spectrum_hash",
        "has_spectrum",
        "matched_by",
        "simulated",
    }
)
"""Fields that the spectrum decides, so that a catalogue row read later does not flip them."""


OUTLIER_FIELDS = ("outlier_score", "outlier_class_rank", "outlier_run")
"""What the outlier search writes: of no use once the spectrum is another."""


def detections_schema(encoder: Encoder) -> CollectionSchema:
    """Return the schema of the detections collection for the widths of a bundle."""
    shared = encoder.shared_width
    return CollectionSchema(
        vectors={
            SPECTRUM: VectorField(encoder.spectrum_width),
            TEXT: VectorField(encoder.text_width, on_disk=True),
            SHARED_SPECTRUM: VectorField(shared),
            SHARED_TEXT: VectorField(shared),
            BOTH: VectorField(2 * shared),
        },
        payload_indexes=DETECTION_FIELDS,
        linked=DETECTION_LINKED,
    )


def papers_schema(encoder: Encoder) -> CollectionSchema:
    """Return the schema of the papers collection for the widths of a bundle."""
    return CollectionSchema(
        vectors={
            TEXT: VectorField(encoder.text_width, on_disk=True),
            SHARED: VectorField(encoder.shared_width),
        },
        payload_indexes=PAPER_FIELDS,
        linked=PAPER_LINKED,
        sparse=(BM25,),
    )


def open_collections(store: Store, encoder: Encoder) -> None:
    """Create the collections of a bundle where there are none, and check that the model is theirs.

    Raises
    ------
    InputError
        If the store was filled by another model: vectors of two models never mix.
    """
    for alias in (DETECTIONS, PAPERS):
        held = model_of(store, alias)
        if held not in (None, encoder.model_id):
            raise InputError(
                f"this store was filled by model {held}, the bundle in use is {encoder.model_id}: "
                "use that bundle (--bundle), or another --data-dir, or change the model of this "
                "store with `chandra-search reindex`"
            )
    create_collections(store, encoder)
    write_format(store)
    for alias in (DETECTIONS, PAPERS):
        if store.resolve(alias) is None:
            store.set_alias(alias, collection_of(alias, encoder.model_id))


def create_collections(store: Store, encoder: Encoder) -> None:
    """Create the collections of a bundle and what indexes they lack, beside those in use."""
    schemas = {DETECTIONS: detections_schema(encoder), PAPERS: papers_schema(encoder)}
    for alias, schema in schemas.items():
        store.create_collection(collection_of(alias, encoder.model_id), schema)


def collection_of(alias: str, model_id: str) -> str:
    """Return the collection that holds one model's detections or papers."""
    return f"{alias}@{model_id}"


def model_of(store: Store, alias: str = DETECTIONS) -> str | None:
    """Return the model whose collection is in use, None before anything is stored."""
    name = store.resolve(alias)
    return None if name is None else name.partition("@")[2]


def detection_payload(
    detection: Detection,
    spectrum: Spectrum | None = None,
    file: str | None = None,
    summary: Summary | None = None,
) -> Payload:
    """Return the payload of a detection; what is unknown is absent, never null or NaN."""
    payload: Payload = {
        "key": detection.key,
        "telescope": detection.telescope,
        "instrument": detection.instrument,
        "release": detection.release,
        "obsid": detection.obsid,
        "obi": detection.obi,
        "region_id": detection.region_id,
        "source_name": detection.source_name,
        "ra_deg": detection.ra_deg,
        "dec_deg": detection.dec_deg,
        "location": _location(detection.ra_deg, detection.dec_deg),
        "observed_at": detection.observed_at.isoformat() if detection.observed_at else None,
        "observed_year": detection.observed_at.year if detection.observed_at else None,
        "exposure_s": detection.exposure_s,
        "class_path": list(detection.source_class) or None,
        "matched_by": detection.matched_by,
        "bibcodes": list(detection.bibcodes) or None,
        "simulated": detection.simulated,
        "catalogue": dict(detection.catalogue) or None,
        "summary_hash": summary.hash() if summary else None,
        **detection.variables,
    }
    if spectrum is None:
        payload["has_spectrum"] = False
    else:
        payload |= _spectrum_payload(spectrum, file)
    return {name: value for name, value in payload.items() if value is not None}


def _spectrum_payload(spectrum: Spectrum, file: str | None) -> Payload:
    payload: Payload = {
        "has_spectrum": True,
        "spectrum_hash": spectrum.hash(),
        "counts": round(float(spectrum.binned_counts().sum()), 6),
        "exposure_s": spectrum.exposure_s,
        "frame_time_s": spectrum.frame_time_s,
        "energy_source": spectrum.energy_source,
        "warnings": list(spectrum.warnings) or None,
        "file": file,
    }
    if spectrum.background is not None:
        middle = (spectrum.energy_lo_kev + spectrum.energy_hi_kev) / 2
        band = (middle >= ENERGY_LO_KEV) & (middle <= ENERGY_HI_KEV)
        payload["background_counts"] = float(spectrum.background.counts[band].sum())
        payload["background_scaling"] = spectrum.background.scaling
    return payload


def _location(ra_deg: float | None, dec_deg: float | None) -> dict[str, float] | None:
    """Return the engine's geo point: longitude is RA, minus 360 beyond 180 (decision 6)."""
    if ra_deg is None or dec_deg is None:
        return None
    return {"lon": ra_deg - 360 if ra_deg > 180 else ra_deg, "lat": dec_deg}


def fold_name(name: str) -> str:
    """Return a person's name as it is compared: no case, no accents, single blanks."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def _author_names(authors: Sequence[str]) -> list[str]:
    """Return each author's full name and surname, folded."""
    forms = {form for author in authors for form in (author, author.partition(",")[0])}
    return sorted({folded for form in forms if (folded := fold_name(form))})


def paper_payload(paper: Paper, summary: Summary) -> Payload:
    """Return the payload of a paper with its three-section summary."""
    nature, xray, interpretation = summary.sections()
    payload: Payload = {
        "bibcode": paper.bibcode,
        "title": paper.title,
        "abstract": paper.abstract or None,
        "year": paper.year,
        "authors": list(paper.authors) or None,
        "author_names": _author_names(paper.authors) or None,
        "journal": paper.journal,
        "keywords": list(paper.keywords) or None,
        "alternate_bibcodes": list(paper.alternate_bibcodes) or None,
        "source_names": list(paper.source_names) or None,
        "class_path": list(paper.source_class) or None,
        "simulated": paper.simulated,
        "summary": {"nature": nature, "xray": xray, "interpretation": interpretation},
        "summary_method": summary.method,
        "text_hash": paper_hash(paper),
        "keyword_model": KEYWORD_MODEL,
    }
    return {name: value for name, value in payload.items() if value is not None}


def topic_payload(probability: float) -> Payload:
    """Return what is stored of the probability that a paper is about X-ray sources, if known."""
    return {} if math.isnan(probability) else {TOPIC_PROBABILITY: round(float(probability), 4)}


def paper_keywords(paper: Paper, summary: Summary) -> models.SparseVector:
    """Return the words by which a paper is found: of its title, abstract and summary."""
    return keywords_of(paper.title, paper.abstract, summary)


def keywords_of(title: str, abstract: str, summary: Summary) -> models.SparseVector:
    """Return the words of a title, an abstract and a summary."""
    return keywords_of_document(" ".join((title, abstract, *summary.sections())))


def paper_hash(paper: Paper) -> str:
    """Return the hash of what a paper's vectors depend on."""
    given = paper.summary.sections() if paper.summary else ()
    return content_hash(paper.title, paper.abstract, *given)


def same_payload(new: Any, stored: Any) -> bool:  # noqa: ANN401
    """Return whether two payloads say the same; an engine may give a number back one ulp off."""
    if isinstance(new, dict) and isinstance(stored, dict):
        return new.keys() == stored.keys() and all(
            same_payload(value, stored[name]) for name, value in new.items()
        )
    if isinstance(new, list) and isinstance(stored, list):
        return len(new) == len(stored) and all(map(same_payload, new, stored))
    if isinstance(new, float) and isinstance(stored, int | float):
        return math.isclose(new, stored, rel_tol=1e-12)
    return bool(new == stored)


def stored_summary(payload: Payload) -> Summary:
    """Return the summary of a paper's payload."""
    return Summary(**payload["summary"], method=payload["summary_method"])


def both_vector(vectors: NamedVectors) -> NamedVectors:
    """Return the concatenated vector of a detection, if it has both shared vectors by now."""
    if SHARED_SPECTRUM not in vectors or SHARED_TEXT not in vectors:
        return {}
    both = np.concatenate([vectors[SHARED_SPECTRUM], vectors[SHARED_TEXT]]) / np.sqrt(2)
    return {BOTH: both.tolist()}


def named_vectors(record: models.Record) -> NamedVectors:
    """Return the dense named vectors of a retrieved point."""
    return dense(record.vector if isinstance(record.vector, dict) else {})


def dense(vectors: Mapping[str, Any]) -> NamedVectors:
    """Return the dense ones of named vectors."""
    return {
        name: cast("list[float]", vector)
        for name, vector in vectors.items()
        if not isinstance(vector, models.SparseVector)
    }
