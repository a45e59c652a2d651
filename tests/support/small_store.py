"""A store with a handful of known detections and papers, and a service over it."""

from datetime import UTC, datetime

import numpy as np
from fake_encoder import FakeEncoder
from qdrant_client import models

from common.binning import BIN_EDGES_KEV, N_BINS
from common.records import Detection, Paper, Spectrum, Summary, catalogue_key
from search.collections import schema
from search.service import SearchService
from search.store.embedded import EmbeddedStore

EXPOSURE_S = 1000.0
AGN_NAME = "2CXO J004242.9+411543"
QUESTION = "obscured active nucleus with an iron line"


def hard_counts(seed=0):
    return np.random.default_rng(seed).poisson(np.linspace(1, 20, N_BINS)).astype(float)


def soft_counts(seed=0):
    return np.random.default_rng(seed).poisson(np.linspace(20, 1, N_BINS)).astype(float)


def detection(region_id, **more):
    fields = {"telescope": "CHANDRA", "instrument": "ACIS", "obsid": 100 + region_id} | more
    return Detection(
        key=catalogue_key("2.0", fields["obsid"], 1, region_id),
        release="2.0",
        obi=1,
        region_id=region_id,
        **fields,
    )


AGN = detection(
    1,
    source_name=AGN_NAME,
    source_class=("Galaxy", "AGN", "SyG", "Sy1"),
    variables={"hard_hs": 0.8, "flux_significance_b": 12.0},
    ra_deg=10.679,
    dec_deg=41.262,
    observed_at=datetime(2001, 10, 5, tzinfo=UTC),
)
AGN_AGAIN = detection(
    2,
    source_name=AGN_NAME,
    source_class=("Galaxy", "AGN", "SyG", "Sy1"),
    variables={"hard_hs": 0.7, "flux_significance_b": 4.0},
    observed_at=datetime(2010, 1, 1, tzinfo=UTC),
)
BINARY = detection(
    3,
    source_name="2CXO J174702.6-285259",
    source_class=("Star", "**", "XB*", "LXB"),
    variables={"hard_hs": -0.6},
    instrument="EPN",
    observed_at=datetime(2005, 6, 1, tzinfo=UTC),
)
SIMULATED = detection(4, source_class=("Galaxy", "AGN", "SyG", "Sy2"), simulated=True)
CATALOGUE_ONLY = detection(5, source_name="2CXO J000000.0+000000")

DETECTIONS = (
    (AGN, hard_counts(1)),
    (AGN_AGAIN, hard_counts(2)),
    (BINARY, soft_counts(3)),
    (SIMULATED, hard_counts(4)),
    (CATALOGUE_ONLY, None),
)


def paper(bibcode, text, **more):
    return Paper(bibcode=bibcode, title=text, abstract=text, summary=summary(text), **more)


def summary(text):
    return Summary(text, text, text, "given")


AGN_PAPER = paper(
    "2004A&A...426...11P",
    QUESTION,
    year=2004,
    source_class=("Galaxy", "AGN"),
    alternate_bibcodes=("2003astro.ph.12345P",),
)
BINARY_PAPER = paper(
    "2010ApJ...710..100X", "bursts of a low mass binary", year=2010, source_class=("Star",)
)

WEATHER_PAPER = Paper(
    bibcode="1995JCli....8..000A",
    title="The global weather",
    abstract="The weather of the whole globe, year by year.",
    year=1995,
    source_names=(AGN.source_name,),
    summary=Summary("the weather", "the weather", "the weather", "given"),
)
"""Not about X-ray sources, though linked with one; in no store by itself."""


class SmallStore:
    """The store, its service, and what a test may want to look at."""

    def __init__(self, path):
        self.encoder = FakeEncoder()
        self.store = EmbeddedStore(path)
        self.service = SearchService(self.store, self.encoder)
        schema.open_collections(self.store, self.encoder)
        self.store.upsert(schema.DETECTIONS, [self._detection(*pair) for pair in DETECTIONS])
        papers = [paper_point(self.encoder, one) for one in (AGN_PAPER, BINARY_PAPER)]
        self.store.upsert(schema.PAPERS, papers)

    def add_paper(self, one):
        """Store another paper."""
        self.store.upsert(schema.PAPERS, [paper_point(self.encoder, one)])

    def _detection(self, one, counts):
        if counts is None:
            payload = schema.detection_payload(one, None, None)
            return models.PointStruct(id=str(one.id), vector={}, payload=payload)
        spectrum = Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], EXPOSURE_S)
        vectors = self.encoder.encode_spectra(counts[None, :], np.array([EXPOSURE_S]))
        return models.PointStruct(
            id=str(one.id),
            vector={
                schema.SPECTRUM: vectors.own[0].tolist(),
                schema.SHARED_SPECTRUM: vectors.shared[0].tolist(),
            },
            payload=schema.detection_payload(one, spectrum, "spectrum.pha"),
        )


def paper_point(encoder, one):
    """Return a paper as a point, as the pipeline would store it."""
    vectors = encoder.encode_summaries([one.summary])
    return models.PointStruct(
        id=str(one.id),
        vector={
            schema.TEXT: vectors.own[0].tolist(),
            schema.SHARED: vectors.shared[0].tolist(),
            schema.BM25: schema.paper_keywords(one, one.summary),
        },
        payload=schema.paper_payload(one, one.summary)
        | schema.topic_payload(vectors.topic_probability[0]),
    )
