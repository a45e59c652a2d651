"""A running service changes to another model when the store does."""

import logging
from collections.abc import Callable

from common.errors import ChandraSearchError
from common.supervised_loop import SupervisedLoop
from search.collections.schema import model_of
from search.store.base import Store

WATCH_EVERY_S = 2.0

_log = logging.getLogger(__name__)


class ModelWatch:
    """Look now and then which model the store's alias names, and ask to change to it.

    Answers come from one model at any moment, without a lock: what answers holds its encoder and
    asks collections by their own names (`search.collections.model_view`), so a question under way
    ends as it began, and ``change`` replaces encoder and collections as one reference. The
    collections left behind stay until long after everybody has looked
    (`workers.maintenance.reindex`). It looks while its ``loop`` runs.
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
        self.loop = SupervisedLoop("model watch", self.look, every_s)

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
