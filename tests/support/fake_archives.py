"""Archives played in memory: rows, files and papers that tests add, change and take away."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from fits_files import N_CHANNEL, ebounds_hdu, spectrum_hdu, write

from common.errors import NotFoundError
from common.records import Detection, Paper, Summary, catalogue_key
from workers.steps.archive_ports import Archives, Match
from workers.steps.feeds.ads import ADSFeed
from workers.steps.feeds.cda import CDAFeed
from workers.steps.feeds.csc import CSCFeed

BASE = 1000


@dataclass
class Observed:
    obsid: int
    public_at: datetime
    target: str = "M31"


class FakeArchives:
    """Everything that is asked; ``failing`` maps a key to the error that its file raises."""

    def __init__(self, folder, page=4):
        self.folder = folder
        self.page = page
        self.rows = {}
        self.papers = {}
        self.recent = {}
        self.matches = {}
        self.cited = {}
        self.observed = []
        self.without_file = set()
        self.failing = {}
        self.exposure_s = {}
        self.fetched = []
        self.asked = []
        folder.mkdir(exist_ok=True)
        write(folder / "small.rmf", ebounds_hdu())

    def archives(self, page=None):
        observations = CDAFeed(self, self)
        feeds = {
            "csc": CSCFeed(self, page or self.page),
            "cda": observations,
            "ads": ADSFeed(self),
        }
        return Archives(feeds, observations, {"csc": self, "cda": self}, self, self)

    def add_detections(self, n, obsid=None, where=None):
        where = self.rows if where is None else where
        start = max([key[2] for key in where], default=0)
        for i in range(start + 1, start + n + 1):
            key = (obsid or BASE + i // 3, 0, i)
            where[key] = Detection(
                catalogue_key("2.1", *key),
                "CHANDRA",
                "ACIS",
                obsid=key[0],
                obi=0,
                region_id=i,
                release="2.1",
                source_name=f"2CXO J{i:06d}.0+000000",
                ra_deg=i / 100,
                dec_deg=1.0,
                variables={"hard_hs": 0.1 + i / 1e6},
            )
        return [row.key for row in list(where.values())[-n:]]

    def add_papers(self, n):
        start = len(self.papers)
        for i in range(start, start + n):
            text = f"paper {i} about a source that is one of many"
            paper = Paper(f"20{i % 20 + 10}ApJ...{i:03d}..{i % 900 + 100}X", text, text)
            self.papers[paper.bibcode] = (datetime.now(UTC), paper)
        return [*self.papers][-n:]

    def change(self, key, **fields):
        place = next(place for place, row in self.rows.items() if row.key == key)
        self.rows[place] = replace(self.rows[place], **fields)

    def withdraw(self, key):
        self.rows = {place: row for place, row in self.rows.items() if row.key != key}

    def move(self, former, present):
        _, paper = self.papers.pop(former)
        moved = replace(paper, bibcode=present, alternate_bibcodes=(former,))
        self.papers[present] = (datetime.now(UTC), moved)

    # what archives are asked

    def detections(self, after, page=5000, catalog=None):
        self.asked.append(("detections", after))
        rows = sorted((self.recent if catalog == "cur" else self.rows).items())
        rows = [row for place, row in rows if after is None or place > after]
        for start in range(0, len(rows), page):
            yield rows[start : start + page]

    def observations(self, since, until):
        return [one for one in self.observed if since <= one.public_at <= until]

    def fetch_spectrum(self, obsid, obi, region_id):
        self.fetched.append((obsid, obi, region_id))
        if error := self.failing.get(region_id):
            raise error
        if region_id in self.without_file:
            raise NotFoundError(f"no spectrum of region {region_id}")
        path = self.folder / f"{obsid}_{region_id}.pha"
        if not path.exists():
            counts = np.random.default_rng(region_id).poisson(9, N_CHANNEL)
            exposure_s = self.exposure_s.get(region_id, 1000.0)
            about = {"TELESCOP": "CHANDRA", "INSTRUME": "ACIS", "EXPOSURE": exposure_s}
            write(path, spectrum_hdu({"COUNTS": counts}, **about))
        return path

    def added(self, since, until):
        self.asked.append(("added", since))
        yield [paper for at, paper in self.papers.values() if since <= at < until]

    def changed(self, since, until):
        yield [paper for at, paper in self.papers.values() if since <= at < until]

    def match(self, detections):
        return {d.key: self.matches[d.key] for d in detections if d.key in self.matches}

    def citations(self, bibcodes):
        return {bibcode: self.cited[bibcode] for bibcode in bibcodes if bibcode in self.cited}


def known(*class_path, bibcodes=()):
    return Match(class_path, tuple(bibcodes))


class FirstSentences:
    """A summariser that copies."""

    def summarize(self, texts, **_):
        return [Summary(title, abstract, abstract, "extractive") for title, abstract in texts]
