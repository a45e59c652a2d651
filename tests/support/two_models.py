"""A store filled by one model, and another model that it may change to."""

from functools import lru_cache
from threading import Thread

from fake_encoder import FakeEncoder

from ingest.simulation import simulate as simulation
from search.collections.schema import DETECTIONS, PAPERS, collection_of
from search.store.scroll import scroll_all
from workers.writing.dual_write import is_carried
from workers.writing.pipeline import Pipeline


class BetterEncoder(FakeEncoder):
    model_id = "fake1"
    spectrum_width = 10
    shared_width = 5

    def __init__(self):
        super().__init__()
        self.spectra = 0

    def encode_spectra(self, counts, exposure_s, **kwargs):
        self.spectra += len(counts)
        return super().encode_spectra(counts, exposure_s, **kwargs)


class NoSummarizer:
    def summarize(self, texts, **_kwargs):
        raise AssertionError("every paper of these tests comes with its summary")


@lru_cache
def simulate(n, seed):
    return simulation.simulate(n, seed)


ENCODERS = {"fake0": FakeEncoder, "fake1": BetterEncoder}


def open_pipeline(store, encoder=None):
    return Pipeline(store, encoder or FakeEncoder(), NoSummarizer(), lambda name: ENCODERS[name]())


def filled(store, n=40, seed=5):
    """Fill a store with a simulated dataset, and return it."""
    dataset = simulate(n, seed)
    list(open_pipeline(store).ingest_dataset(dataset))
    return dataset


def payloads(store, kind, model_id):
    records = scroll_all(store, collection_of(kind, model_id))
    return {str(record.id): record.payload for record in records}


def differences(store, old="fake0", new="fake1"):
    """Return the points of which two models' collections do not say the same."""
    found = []
    for kind in (DETECTIONS, PAPERS):
        said, held = payloads(store, kind, old), payloads(store, kind, new)
        found += [
            point
            for point in said.keys() | held.keys()
            if not is_carried(said.get(point), held.get(point))
        ]
    return found


class Background:
    """Do something again and again in a thread, and raise at the end what went wrong."""

    def __init__(self, action):
        self.done = 0
        self._action = action
        self._stop = False
        self._error = None
        self._thread = Thread(target=self._run)

    def _run(self):
        try:
            while not self._stop:
                self._action(self.done)
                self.done += 1
        except BaseException as exc:
            self._error = exc

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        if self._error:
            raise self._error
