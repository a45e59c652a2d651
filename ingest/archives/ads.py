"""ADS: papers by question, by object, and by when they were entered or changed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from common.errors import ArchiveError, InputError, InvalidPaperError, NotFoundError
from common.records import Paper, Refusal
from ingest.archives.ads_api import ADSService, Answer, Translation, Unknown
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings
from ingest.papers.bibtex import Record
from ingest.papers.papers import paper_of
from ingest.settings import IngestSettings
from ingest.settings import get_settings as ingest_settings

ROWS = 2000
"""Most papers of an answer, and most bibcodes of a question, that ADS grants."""
LONGEST_QUERY = 1000
FIELDS: Final = (
    *("bibcode", "title", "abstract", "year", "author", "pub", "keyword"),
    *("alternate_bibcode", "identifier", "citation_count"),
)


class ADSArchive:
    """The Astrophysics Data System.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is, the token, and which papers are ours.
    courtesy : Courtesy
        Asked before each request, as ``ads`` or ``ads-bigquery``.
    limits : IngestSettings or None
        Longest abstract; from the environment when None.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        courtesy: Courtesy,
        limits: IngestSettings | None = None,
    ) -> None:
        self._ours = settings.ads_query
        self._limits = limits or ingest_settings()
        self._service = ADSService(settings, courtesy)

    def close(self) -> None:
        """Close all connections."""
        self._service.close()

    def search(
        self, query: str, fields: Sequence[str] = FIELDS, rows: int = 200, start: int = 0
    ) -> Iterator[list[Record]]:
        """Yield the records that a question of ADS finds, page by page, by bibcode.

        Parameters
        ----------
        query : str
            As on the page of ADS, at most 1,000 characters.
        fields : sequence of str
            Those wanted; the bibcode always comes along.
        rows : int
            Records a page, 2 to `ROWS`.
        start : int
            How many records to leave out.

        Yields
        ------
        list of dict
            Records as ADS writes them, each once.

        Raises
        ------
        InputError
            If there is no token or it is refused, or the question is.
        ArchiveError
            If ADS does not answer, or not with all that it has found.
        BudgetError
            If the requests of the day are used up.
        """
        if not 2 <= rows <= ROWS:
            raise ValueError(f"{rows} rows a page, expected 2 to {ROWS}")
        if len(query) > LONGEST_QUERY:
            raise InputError(
                f"a question of {len(query):,} characters, ADS takes {LONGEST_QUERY:,}: shorten it"
                " (CHANDRA_ADS_QUERY, if it is the question which papers are yours)"
            )
        asked = {"q": query, "fl": _listed(fields), "rows": rows, "sort": "bibcode asc"}
        seen: set[str] = set()
        while True:
            # Pages of an order that hangs on relevance would overlap. From the second on a page
            # begins with the last record of the one before: if others went meanwhile, it shows.
            page = {**asked, "start": start}
            found = self._service.ask(Answer, "GET", "/search/query", params=page).response
            names = [str(record.get("bibcode")) for record in found.docs]
            if seen and (not names or names[0] not in seen):
                raise ArchiveError("ads changed while page after page was asked for: ask again")
            fresh = dict(zip(names, found.docs, strict=True))
            yield [record for name, record in fresh.items() if name not in seen]
            if start + len(names) >= found.numFound:
                return
            if fresh.keys() <= seen:
                raise ArchiveError(f"ads answers {len(seen):,} of {found.numFound:,} papers")
            seen |= fresh.keys()
            start += len(names) - 1

    def papers(self, query: str) -> Iterator[list[Paper | Refusal]]:
        """Yield the papers that a question finds, page by page; raises as `search` does."""
        for page in self.search(query, rows=ROWS):
            yield [self._paper(record) for record in page]

    def objects(self, names: Sequence[str]) -> list[str]:
        """Return questions for `papers` about objects, whatever they are called in the papers.

        ADS wants names translated first, into the numbers of SIMBAD and NED: one request each.

        Parameters
        ----------
        names : sequence of str
            Such as ``NGC 4258``.

        Returns
        -------
        list of str
            A question for each name.

        Raises
        ------
        NotFoundError
            If ADS does not know an object.
        InputError, ArchiveError, BudgetError
            As `search` does.
        """
        return [self._translated(" ".join(re.sub(r'["\\]', " ", name).split())) for name in names]

    def _translated(self, name: str) -> str:
        asked = {"query": [f'object:"{name}"']}
        said = self._service.ask(Translation, "POST", "/objects/query", json=asked).root
        if isinstance(said, Unknown):
            raise NotFoundError(f"ADS knows no object {name!r}: {said.reason[:200]}")
        return said.query

    def added(self, since: datetime, until: datetime) -> Iterator[list[Paper | Refusal]]:
        """Yield those of our papers that were entered in a span, widened to whole days (UTC)."""
        span = f"[{since.astimezone(UTC):%Y-%m-%d} TO {until.astimezone(UTC):%Y-%m-%d}]"
        yield from self.papers(f"({self._ours}) entdate:{span}")

    def changed(self, since: datetime, until: datetime) -> Iterator[list[Paper | Refusal]]:
        """Yield those of our papers whose record was indexed in a span: new ones, too."""
        first, last = (f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for time in (since, until))
        yield from self.papers(f'({self._ours}) indexstamp:["{first}" TO "{last}"]')

    def citations(self, bibcodes: Sequence[str]) -> Mapping[str, int]:
        """Return how often papers are cited, by the bibcodes asked for; unknown ones are left out.

        Parameters
        ----------
        bibcodes : sequence of str
            Also former ones. Two thousand take one of the about hundred big questions a day.

        Returns
        -------
        mapping of str to int
            Number of citations.

        Raises
        ------
        InputError, ArchiveError, BudgetError
            As `search` does.
        """
        counts: dict[str, int] = {}
        fields = ("bibcode", "alternate_bibcode", "identifier", "citation_count")
        for record in self.bigquery(bibcodes, fields):
            count = record.get("citation_count")
            if isinstance(count, int):
                counts |= dict.fromkeys(_names_of(record), count)
        return {bibcode: counts[bibcode] for bibcode in bibcodes if bibcode in counts}

    def bigquery(self, bibcodes: Sequence[str], fields: Sequence[str] = FIELDS) -> list[Record]:
        """Return the records of any number of bibcodes, as `citations` asks for them."""
        found: list[Record] = []
        for start in range(0, len(bibcodes), ROWS):
            answer = self._service.ask(
                Answer,
                "POST",
                "/search/bigquery",
                courtesy="ads-bigquery",
                params={"q": "*:*", "fl": _listed(fields), "rows": ROWS},
                data="\n".join(["bibcode", *bibcodes[start : start + ROWS]]).encode(),
                headers={"Content-Type": "big-query/csv"},
            ).response
            if len(answer.docs) < answer.numFound:
                raise ArchiveError(
                    f"ads answers {len(answer.docs):,} of {answer.numFound:,} records"
                )
            found += answer.docs
        return found

    def _paper(self, record: Record) -> Paper | Refusal:
        try:
            return paper_of(record, self._limits.max_text_characters)
        except InvalidPaperError as exc:
            return Refusal(str(record.get("bibcode"))[:40], str(exc))


def _names_of(record: Record) -> set[str]:
    """Return all bibcodes that a paper has or had."""
    names = {str(record.get("bibcode"))}
    for field in ("alternate_bibcode", "identifier"):
        held = record.get(field)
        names |= {str(one) for one in held} if isinstance(held, list) else set()
    return names


def _listed(fields: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(("bibcode", *fields)))
