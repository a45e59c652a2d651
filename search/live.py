"""A running service changes to another model when the store does."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from common.errors import ChandraSearchError
from search.schema import model_of
from search.store.base import Store

WATCH_EVERY_S = 2.0

_log = logging.getLogger(__name__)


class ModelWatch:
    """Look now and then which model the store's alias names, and ask to change to it.

    Answers come from one model at any moment, without a lock: what answers holds its encoder and
    asks collections by their own names (`search.view`), so a question under way ends as it began,
    and ``change`` replaces encoder and collections as one reference. The collections left behind
    stay until long after everybody has looked (`workers.reindex`).
    """

    def __init__(
        self,
        store: Store,
        model_id: str,
        change: Callable[[str], None],
        every_s: float = WATCH_EVERY_S,
    ) -> None:
        self._store = store
        self._model_id = model_id
        self._change = change
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-watch", daemon=True)

    def look(self) -> bool:
        """Change if the store has, and return whether it had; what prevents it is tried again."""
        try:
            found = model_of(self._store)
            if found is None or found == self._model_id:
                return False
            self._change(found)
        except ChandraSearchError as exc:
            _log.warning("still answering by model %s: %s", self._model_id, exc)
            return False
        _log.warning("changed from model %s to %s", self._model_id, found)
        self._model_id = found
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.look()
