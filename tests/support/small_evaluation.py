"""A hand-made evaluation with every part, and the vectors it would be of."""

import numpy as np

from common.representations import REPRESENTATIONS, Representations
from common.variables import VARIABLE_NAMES
from encoders.evaluation.result import (
    ClassificationResult,
    DimensionCorrelations,
    Evaluation,
    Interval,
    MapResult,
    Outlier,
    OutlierResult,
    RetrievalResult,
    Rule,
    VariableResult,
)
from encoders.retrieval import Retrieval

CLASSES = ("AGN", "LXB", "Y*O")
N = 600


def interval(value):
    return Interval(value, 0.01 * value, 0.99 * value, 1.01 * value)


def retrieval(seed):
    rng = np.random.default_rng(seed)
    ranks = tuple(np.ceil(200 * rng.beta(0.6, 4, 240)).astype(int).tolist())
    deciles = [
        (10.0 * 2**i, 20.0 * 2**i, Retrieval(ranks[24 * i : 24 * (i + 1)], 200)) for i in range(10)
    ]
    names = (*(f"recall_at_{k}_percent" for k in (1, 5, 10)), "median_rank_percent")
    return RetrievalResult(
        overall=Retrieval(ranks, 200),
        interval={name: interval(0.2) for name in names},
        by_class={name: Retrieval(ranks[i::3], 200) for i, name in enumerate(CLASSES)},
        by_counts=deciles,
    )


def variable(spectrum=2.0, text=3.0, both=1.5, moe=1.0, refined=0.8, worse=False):
    errors = {"spectrum": spectrum, "text": text, "shared_spectrum": 1.8, "shared_text": 2.9}
    return VariableResult(
        n_test=120,
        mean_baseline=interval(4.0),
        by_representation={name: interval(x) for name, x in {**errors, "both": both}.items()},
        moe=interval(moe),
        moe_choice="both",
        refined=interval(refined),
        refined_rule=Rule(("spectrum", "both"), 10, "median"),
        worse_than_best_single=worse,
    )


def small_representations():
    rng = np.random.default_rng(0)
    variables = {name: rng.lognormal(1, 1.5, N) for name in VARIABLE_NAMES}
    variables["hard_hs"] = rng.uniform(-1, 1, N)
    variables["bb_kt"] = np.full(N, np.nan)
    return Representations(
        dataset="pairs <A&B>",
        simulated=True,
        model_id="0123456789abcdef",
        text_model="all-MiniLM-L6-v2",
        vectors={name: rng.normal(size=(N, 8)).astype(np.float32) for name in REPRESENTATIONS},
        variables=variables,
        source=np.arange(N) // 2,
        source_class=[("Galaxy", CLASSES[i % 3]) if i % 7 else () for i in range(N)],
        names=[f"2CXO J{i:06d}.0+000000" for i in range(N)],
        counts=rng.lognormal(5, 1, N),
        split={
            "train": np.arange(400), "validation": np.arange(400, 500), "test": np.arange(500, N)
        },
    )  # fmt: skip


def small_evaluation():
    rng = np.random.default_rng(1)
    correlation = rng.uniform(-1, 1, (64, len(VARIABLE_NAMES)))
    correlation[:, 8] = np.nan
    return Evaluation(
        dataset="pairs <A&B>",
        simulated=True,
        model_id="0123456789abcdef",
        text_model="all-MiniLM-L6-v2",
        scheme="fixed split",
        sizes={"train": 400, "validation": 100, "test": 100},
        spectrum_to_text=retrieval(1),
        text_to_spectrum=retrieval(2),
        regression={
            **{name: variable() for name in VARIABLE_NAMES if name != "bb_kt"},
            "apec_z": variable(refined=2.6, worse=True),
        },
        dimensions=[
            DimensionCorrelations(name, VARIABLE_NAMES, correlation)
            for name in ("spectrum", "shared_spectrum")
        ],
        outliers=OutlierResult(
            top=[Outlier(f"J{i:06d}", CLASSES[i % 3], 50.0 * i, 1 - i / 20) for i in range(10)],
            scores=rng.uniform(0, 1, N),
            by_class={"AGN": (300, 0.2, 0.3, 0.4), "LXB": (90, 0.3, 0.5, 0.7),
                      "Y*O": (12, 0.1, 0.6, 0.8)},
        ),
        classification=[
            ClassificationResult(name, CLASSES, interval(0.5), [[30, 5, 1], [4, 9, 2], [0, 3, 7]],
                                 interval(0.7))
            for name in ("spectrum", "both")
        ],
        maps=[MapResult("both", np.arange(N), rng.normal(size=(N, 2)))],
        notes=["bb_kt has no values"],
        mean_ratio={
            "spectrum": interval(0.5), "text": interval(0.75), "shared_spectrum": interval(0.45),
            "shared_text": interval(0.725), "both": interval(0.375), "moe": interval(0.25),
            "refined": interval(0.224),
        },
        mean_gain={"both": interval(0.25), "moe": interval(0.5), "refined": interval(0.553)},
    )  # fmt: skip
