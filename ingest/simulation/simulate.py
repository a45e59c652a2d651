"""The built-in simulator: detections, catalogue values and texts for a machine with no network.

Sources of the kinds an X-ray catalogue holds are drawn, their spectra folded through ACIS-like
responses and filled with Poisson counts. Catalogue values are then measured on these counts, and
each source is described in three sections as literature would. Nothing here is real, and every
record says so (``simulated``).
"""

from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import numpy.typing as npt

from common.dataset import Dataset, Text
from common.errors import InputError
from common.ports import Progress, no_progress
from common.records import Detection, Summary
from common.source_class import normalise
from common.variables import BY_NAME, VARIABLE_NAMES
from ingest.simulation.concepts import concepts_of
from ingest.simulation.emission import emission
from ingest.simulation.fits import fit_spectra
from ingest.simulation.instrument import responses
from ingest.simulation.measure import measure_bands, variability
from ingest.simulation.observe import (
    Conditions,
    Observations,
    background_shapes,
    observe,
)
from ingest.simulation.population import KINDS, Population, PopulationName, draw_population
from ingest.simulation.text import describe

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_DETECTIONS = 100_000  # a bibcode has five digits for the source
MAX_SEED = 99_999  # and five for the seed

MIXED: tuple[PopulationName, ...] = ("catalogue", "even")
_SOURCES_PER_BLOCK = 500
_CALIBRATION_ERROR = 0.12  # of the even population


def simulate(
    n_detections: int,
    seed: int,
    progress: Progress = no_progress,
    population: PopulationName = "catalogue",
    calibration_error: float | None = None,
) -> Dataset:
    """Simulate detections of X-ray sources, with catalogue values and a summary of each source.

    The first n detections of a seed are the same however many are asked for.

    Parameters
    ----------
    n_detections : int
        1 to 100,000; there are about 1.5 for each source.
    seed : int
        0 to 99,999; it is part of keys and bibcodes.
    progress : Progress
        Called with the stages ``simulate spectra`` and ``measure spectra``.
    population : str
        ``catalogue``: kinds and counts as in the Chandra Source Catalog, or ``even``: each kind as
        often as any other, 20 to 10 million counts, backgrounds of many shapes, instruments of
        several observatories: for nets that have to know the rare and to read the strange. Or
        ``mixed``: blocks of 500 sources of the one and the other by turns.
    calibration_error : float, optional
        Rms by which effective areas are wrong, 0 to 1; energies are then wrong by 0.3%. Without,
        it is 0 for ``catalogue`` and 0.12 for ``even``.

    Returns
    -------
    Dataset
        Marked as simulated.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    if not 1 <= n_detections <= MAX_DETECTIONS:
        raise InputError(
            f"cannot simulate {n_detections} detections: give a number from 1 to {MAX_DETECTIONS}"
        )
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"cannot simulate with seed {seed}: give a number from 0 to {MAX_SEED}")
    names: tuple[PopulationName, ...] = MIXED if population == "mixed" else (population,)
    conditions = {name: _conditions(name, calibration_error) for name in names}
    populations: list[Population] = []
    concepts: list[BoolArray] = []
    parts: list[Observations] = []
    summaries: list[Summary] = []
    # Each block has its own random stream and is drawn whole, so that a longer run only adds.
    for index in count():
        rng = np.random.default_rng([seed, index])
        name = names[index % len(names)]
        populations.append(draw_population(rng, _SOURCES_PER_BLOCK, name))
        emitted = emission(populations[-1])
        concepts.append(concepts_of(populations[-1], emitted))
        spectra = emitted.total()
        first = index * _SOURCES_PER_BLOCK
        parts.append(observe(rng, populations[-1], spectra, first, conditions[name]))
        summaries += describe(rng, populations[-1], spectra)
        done = min(sum(map(len, parts)), n_detections)
        progress("simulate spectra", done, n_detections)
        if done == n_detections:
            break
    observations = Observations.join(parts, n_detections)
    measured = _measure(observations, progress)
    drawn = Population.join(populations)
    n_sources = int(observations.source.max()) + 1
    bibcodes = [f"2026Sim.{seed:05d}{source:05d}S" for source in range(n_sources)]
    return Dataset(
        name=f"simulated, seed {seed}",
        counts=observations.counts,
        exposure_s=observations.exposure_s,
        source=observations.source,
        variables={name: measured[name] for name in VARIABLE_NAMES},
        detections=_detections(seed, drawn, observations, measured, bibcodes),
        texts=[
            Text(source, bibcode, summary)
            for source, (bibcode, summary) in enumerate(zip(bibcodes, summaries, strict=False))
        ],
        simulated=True,
        concepts=np.concatenate(concepts)[observations.source],
    )


def _conditions(population: PopulationName, calibration_error: float | None) -> Conditions:
    """Return how a population is observed."""
    if calibration_error is not None and not 0 <= calibration_error <= 1:
        raise InputError(
            f"cannot simulate a calibration error of {calibration_error}: give a number from 0 to 1"
        )
    if population == "catalogue":
        return Conditions(calibration_error=calibration_error or 0.0)
    error = _CALIBRATION_ERROR if calibration_error is None else calibration_error
    return Conditions(len(responses()), error, wide=True)


def _measure(observations: Observations, progress: Progress) -> dict[str, FloatArray]:
    """Return all catalogue columns, response by response, NaN where nothing was measured."""
    measured: dict[str, FloatArray] = {}
    done = 0
    for index, response in enumerate(responses()):
        rows = np.flatnonzero(observations.response == index)
        if len(rows) == 0:
            continue
        counts, background = observations.counts[rows], observations.background[rows]
        shapes = observations.background_mix[rows] @ background_shapes(response)
        expected = background[:, None] * shapes
        columns = measure_bands(counts, expected, response)
        for name, values in (columns | fit_spectra(counts, expected, response)).items():
            measured.setdefault(name, np.full(len(observations), np.nan))[rows] = values
        done += len(rows)
        progress("measure spectra", done, len(observations))
    measured["var_prob_b"], measured["var_index_b"] = variability(observations.light_curve)
    return measured


def _detections(
    seed: int,
    population: Population,
    observations: Observations,
    measured: dict[str, FloatArray],
    bibcodes: list[str],
) -> list[Detection]:
    paths = [normalise(kind.source_class) for kind in KINDS]
    detections = []
    for row, source in enumerate(observations.source.tolist()):
        values = {name: float(column[row]) for name, column in measured.items()}
        response = responses()[observations.response[row]]
        ra_deg, dec_deg = float(population.ra_deg[source]), float(population.dec_deg[source])
        detections.append(
            Detection(
                key=f"simulated/{seed}/{row}",
                telescope="SIMULATED",
                instrument=f"{response.family}-like",
                source_name=_source_name(ra_deg, dec_deg),
                ra_deg=round(ra_deg, 6),
                dec_deg=round(dec_deg, 6),
                observed_at=datetime(response.first_year, 1, 1, tzinfo=UTC)
                + timedelta(minutes=int(1440 * observations.day[row])),
                exposure_s=float(observations.exposure_s[row]),
                source_class=paths[population.kind[source]],
                variables={
                    name: values[name]
                    for name in VARIABLE_NAMES
                    if BY_NAME[name].is_valid(values[name])
                },
                catalogue={
                    name: value
                    for name, value in values.items()
                    if name not in BY_NAME and np.isfinite(value)
                },
                bibcodes=(bibcodes[source],),
                simulated=True,
            )
        )
    return detections


def _source_name(ra_deg: float, dec_deg: float) -> str:
    """Return a name by position, truncated as the IAU asks: ``SIM J123456.7-012345``."""
    tenths, seconds = int(ra_deg / 15 * 36000), int(abs(dec_deg) * 3600)
    hours, minutes = divmod(tenths // 600, 60)
    degrees, arcmin = divmod(seconds // 60, 60)
    return (
        f"SIM J{hours:02d}{minutes:02d}{tenths % 600 / 10:04.1f}"
        f"{'-' if dec_deg < 0 else '+'}{degrees:02d}{arcmin:02d}{seconds % 60:02d}"
    )
