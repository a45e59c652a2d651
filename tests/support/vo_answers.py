"""One answer of each kind that is not a list of hits, and every answer as text."""

from dataclasses import replace
from functools import partial
from uuid import UUID

from common.variables import VARIABLES
from search.rendering.formats import (
    render,
    render_classification,
    render_description,
    render_estimates,
    render_facets,
    render_outliers,
)
from search.results import (
    Check,
    Classification,
    ClassProbability,
    Description,
    Deviation,
    Estimate,
    Estimates,
    Hit,
    Neighbour,
    Outlier,
    OutlierReport,
    Reference,
    Statement,
)

POINT = UUID("6f1f5a2e-6a0b-5c58-9a3e-0b1d6d1f4c11")
NEIGHBOUR = Neighbour(POINT, "2CXO J1", 0.125, 1.5, ("Galaxy", "AGN"))


def estimate(variable, value=1.5, stored=None, width=0.25):
    low, high = (None, None) if width is None else (value - width, value + width)
    low_90, high_90 = (None, None) if width is None else (value - 2 * width, value + 2 * width)
    return Estimate(
        variable, value, low, high, low_90, high_90, ("both",), 3, "mean", (NEIGHBOUR,), stored
    )


def estimates(name="src", *of, outside=False, calibrated_on="simbench, validation", notes=()):
    chosen = of or [estimate(v.name) for v in VARIABLES]
    by_name = {one.variable: one for one in chosen}
    return Estimates(name, by_name, outside, 0.4, calibrated_on, notes)


CLASSES = Classification(
    "src",
    [
        [ClassProbability(("Galaxy",), 0.7, 0.6), ClassProbability(("Star",), 0.3, 0.4)],
        [
            ClassProbability(("Star", "Y*O"), 0.2, 0.3),
            ClassProbability(("Galaxy", "AGN"), 0.6, 0.5),
        ],
    ],
    (NEIGHBOUR,),
    stored=("Galaxy", "AGN"),
    calibrated_on="simbench, validation",
)
OUTLIERS = OutlierReport(
    [
        Outlier(
            Hit(POINT, 0.93, {"key": "csc2.0/1/1/1", "counts": 9000.0, "simulated": True}),
            1,
            1,
            (Deviation("powlaw_nh", 950.0, 12.0, 8.25), Deviation("hard_hs", 0.9, 0.1, 4.0)),
            (Check("pile-up", False, "0.4 counts a frame"), Check("off-axis", None, "no theta")),
            "likely artefact",
        )
    ],
    120,
    "both",
    ("one note",),
)
DESCRIPTION = Description(
    "src",
    [Statement("It is hard.", ("[1]",)), Statement("An AGN fits.", ("[1]", "[2]"))],
    [
        Reference("measured", "[1]", "hard_hs 0.8"),
        Reference("paper", "[2]", "A survey", "2004A&A...426...11P"),
    ],
    "template",
)
FACETS = {"class": {"AGN": 1200, "Star": 3}, "year": {"2004": 5}}

EVERY = {
    "estimates": (render_estimates, [estimates()]),
    "classification": (render_classification, CLASSES),
    "outliers": (render_outliers, OUTLIERS),
    "description": (render_description, DESCRIPTION),
    "facets": (render_facets, FACETS),
}

DETECTION = Hit(
    POINT,
    0.87,
    {
        "key": "csc2.0/1575/1/475",
        "obsid": 1575,
        "ra_deg": 10.679,
        "dec_deg": 41.262,
        "observed_at": "2001-10-05T00:00:00+00:00",
        "powlaw_nh": 12.5,
        "has_spectrum": True,
        "simulated": False,
        "catalogue": {"hard_hs_lolim": 0.2, "theta": 1.5, "piled_up": True, "note": "a"},
    },
    compared="shared_spectrum",
    cosine=0.87,
    separation_arcsec=0.25,
    n_detections=2,
)
CATALOGUE_ONLY = Hit(UUID(int=2), None, {"key": "csc2.0/1/1/1", "simulated": True})
PAPER = Hit(
    UUID(int=3),
    0.03,
    {"bibcode": "2004A&A...426...11P", "title": "Deep <X> & \u202f survey", "year": 2004},
    keyword_score=8.25,
    highlights=("A sentence about Γ & <β>.",),
)

ANSWERS = {
    **{name: partial(give, answer, title="a & b") for name, (give, answer) in EVERY.items()},
    "bare estimates": partial(render_estimates, [estimates("a", calibrated_on=None)]),
    "no estimates": partial(render_estimates, []),
    "no outliers": partial(render_outliers, replace(OUTLIERS, outliers=())),
    "detections": partial(render, [DETECTION, CATALOGUE_ONLY], title="q", truncated=True),
    "papers": partial(render, [PAPER], title="<'q'>"),
    "no detections": partial(render, [], to="detections"),
    "no papers": partial(render, [], to="papers"),
}
