"""A small sky, and the archives that know it: servers in the process of the test.

It grows when a test says so, and it has faults: by chance, as archives have on a bad day, and by
nature, such as a detection without a spectrum, a file that is no spectrum, one that kills.
"""

from contextlib import ExitStack

from archives.ads_server import OURS, TOKEN, ADSServer
from archives.csc_server import CSCServer
from archives.http_server import BY_CHANCE, hang
from archives.simbad_server import SimbadServer
from archives.universe import OTYPES, START, Universe, bibcode_of, number_at, place_of

from common.records import catalogue_key
from common.source_class import normalise_or_none

RELEASE = "2.1"
KINDS = {13: "hrc", 29: "broken", 41: "misplaced"}
HANG_S = 4.0
MOST_ROWS = 2500

__all__ = ["World", "bibcode_of", "key_of", "match_of", "nature", "number_at", "place_of"]


class World:
    """What there is, by number: detection 0, 1, 2 …, paper 0, 1, 2 …"""

    def __init__(self):
        self.universe = Universe()
        kinds = (*BY_CHANCE, hang(HANG_S))
        self.csc = CSCServer(self.universe, kinds=kinds, seed=1, max_rows=MOST_ROWS)
        self.simbad = SimbadServer(self.universe.sources, kinds=kinds, seed=2)
        self.ads = ADSServer(self.universe.papers, granted=10**6, kinds=kinds, seed=3)
        self._stack = ExitStack()

    def __enter__(self):
        for server in (self.csc, self.simbad, self.ads):
            self._stack.enter_context(server)
        return self

    def __exit__(self, *raised):
        return self._stack.__exit__(*raised)

    def make(self, detections=0, papers=0, faults=0.0, lethal=()):
        self.universe.make("lethal", *lethal)
        self._add(detections)
        self.universe.add_papers(papers, START)
        self.stumble(faults)
        return self

    def grow(self, detections=0, papers=0):
        """Let archives know more; papers are entered now."""
        self._add(detections)
        self.universe.add_papers(papers)

    def _add(self, detections):
        known = self.detections
        for kind in KINDS.values():
            own = [n for n in range(known, known + detections) if nature(n) == kind]
            self.universe.make(kind, *own)
        self.universe.add_detections(detections)

    def stumble(self, rate):
        """Let a share of all answers be wrong, late or missing."""
        for server in (self.csc, self.simbad, self.ads):
            server.rate = rate

    @property
    def detections(self):
        return self.universe.n_detections

    @property
    def papers(self):
        return len(self.universe.papers())

    @property
    def environment(self):
        """Settings by which clients ask these archives, and do not wait long."""
        return {
            "CHANDRA_CSC_TAP_URL": f"{self.csc.url}/csc21tap",
            "CHANDRA_CSCCLI_URL": f"{self.csc.url}/csccli",
            "CHANDRA_SIMBAD_TAP_URL": f"{self.simbad.url}/sim-tap",
            "CHANDRA_ADS_URL": f"{self.ads.url}/v1",
            "CHANDRA_ADS_TOKEN": TOKEN,
            "CHANDRA_ADS_QUERY": OURS,
            "CHANDRA_ARCHIVE_TIMEOUT_S": str(HANG_S / 2),
            "CHANDRA_ARCHIVE_BACKOFF_S": "0.05",
            "CHANDRA_CSC_PER_SECOND": "10000",
            "CHANDRA_ADS_PER_SECOND": "10000",
        }


def key_of(number):
    return catalogue_key(RELEASE, *place_of(number))


def nature(number):
    """Return what is wrong with a detection by nature, if anything."""
    return KINDS.get(number % 97)


def match_of(number):
    """Return class and papers of a detection's source."""
    otype = OTYPES[number // 2 % len(OTYPES)]
    return normalise_or_none(otype) or () if otype else (), (bibcode_of(number // 2),)
