"""A spectrum in plain words: statements that each cite the evidence they rest on."""

from collections.abc import Sequence
from typing import Final, Protocol

from common.errors import InputError, NotFoundError, UnavailableError
from common.ports import MIN_TOPIC
from search.collections.schema import PAPERS, SHARED_SPECTRUM, SHARED_TEXT, TOPIC_PROBABILITY
from search.describing.claims import objection
from search.describing.evidence import Evidence, gather
from search.describing.template import Section, template
from search.describing.writing import TOPICS, Writer
from search.filters.filters import PaperFilter
from search.results import (
    Classification,
    Description,
    Estimates,
    Hit,
    PageOptions,
    Reference,
    Statement,
    Subject,
)
from search.service import SearchService

N_NEIGHBOURS: Final = 3
N_PAPERS: Final = 3
ON_TOPIC: Final = PaperFilter(has=(TOPIC_PROBABILITY,), min_topic=MIN_TOPIC)
"""Only papers known to be about X-ray sources are cited."""
BY_TEMPLATE: Final = "template"


class GivesEstimates(Protocol):
    """What is asked of `search.inference.estimates.Estimator`."""

    def estimate(self, subject: Subject) -> Estimates:
        """Return estimates of the 20 variables."""
        ...


class GivesClasses(Protocol):
    """What is asked of `search.inference.classification.Classifier`."""

    def classify(self, subject: Subject) -> Classification:
        """Return the vote of the neighbours."""
        ...


class Describer:
    """Describe spectra from neighbours, estimates and papers.

    Parameters
    ----------
    search : SearchService
        Finds papers.
    estimator, classifier : GivesEstimates, GivesClasses
        What they say is evidence.
    writer : Writer or None
        Words the evidence; None leaves it to the template. What a writer says and its evidence
        does not is replaced by the template's words.
    """

    def __init__(
        self,
        search: SearchService,
        estimator: GivesEstimates,
        classifier: GivesClasses,
        writer: Writer | None = None,
    ) -> None:
        self._search = search
        self._estimator = estimator
        self._classifier = classifier
        self._writer = writer

    def describe(self, subject: Subject) -> Description:
        """Return statements on a stored or new spectrum, each with its references."""
        estimates = self._estimator.estimate(subject)
        classes = self._classifier.classify(subject)
        stored = {}
        for neighbour in classes.neighbours[:N_NEIGHBOURS]:
            try:
                stored[neighbour.id] = self._search.detection(str(neighbour.id)).payload
            except NotFoundError:
                continue  # deleted meanwhile; it voted all the same
        papers, n_stored = self._papers(subject)
        evidence = gather(subject, estimates, classes, papers, n_stored, stored, N_NEIGHBOURS)
        sections = template(evidence, estimates.outside, estimates.calibrated_on is not None)
        written_by, notes = BY_TEMPLATE, [*estimates.notes, *classes.notes]
        if self._writer is not None:
            written_by = self._word(self._writer, subject, evidence, sections, notes)
        cited = {label for one in sections.values() for label in one.references}
        return Description(
            name=subject.name,
            statements=list(sections.values()),
            references=[one for one in evidence.references if one.label in cited],
            written_by=written_by,
            notes=tuple(dict.fromkeys(notes)),
        )

    def _papers(self, subject: Subject) -> tuple[Sequence[Hit], int]:
        """Return the papers to cite, and of how many papers where there are none."""
        vector = subject.vectors.get(SHARED_SPECTRUM, subject.vectors.get(SHARED_TEXT))
        if vector is None:
            return (), 0
        model_id = self._search.encoder.model_id
        arrange = PageOptions(limit=N_PAPERS)
        hits = self._search.by_vector(vector, model_id, "papers", ON_TOPIC, arrange).hits
        return hits, 0 if hits else self._search.store.count(PAPERS)

    def _word(
        self,
        writer: Writer,
        subject: Subject,
        evidence: Evidence,
        sections: dict[Section, Statement],
        notes: list[str],
    ) -> str:
        """Replace statements by a writer's where they can stand; return who wrote the result."""
        topics = [topic for topic in TOPICS if topic in sections]
        if not topics:
            return BY_TEMPLATE
        try:
            written = writer.write(subject.name, topics, evidence.references)
        except (UnavailableError, InputError) as exc:
            notes.append(f"written by template: {exc}")
            return BY_TEMPLATE
        references: dict[str, Reference] = {one.label: one for one in evidence.references}
        n_kept = 0
        for topic in topics:
            statement = written.get(topic)
            wrong = objection(statement, references) if statement else "nothing was written"
            if statement is None or wrong:
                notes.append(f"on {topic} the template stands in for {writer.name}: {wrong}")
                continue
            sections[topic] = statement
            n_kept += 1
        return writer.name if n_kept else BY_TEMPLATE
