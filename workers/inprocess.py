"""The schedule without Redis: the same steps, in threads of one process."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from common.errors import ChandraSearchError
from common.supervised_loop import SupervisedLoop
from workers.ledger.schedule import ENCODING, LEARN
from workers.queue import tasks
from workers.settings import WorkerSettings
from workers.steps.flow import Flow

_log = logging.getLogger(__name__)


class Steps(tasks.Steps, Protocol):
    """What there is to do: a whole `Flow`, or `workers.steps.uploads.Uploads` alone."""

    settings: WorkerSettings

    def take_over(self) -> None:
        """Free what a process before this one had in hand."""
        ...

    def stop(self) -> None:
        """Ask what takes long to end."""
        ...


class Scheduler:
    """Do what is due until told to stop; slow archives hold up nothing that encodes.

    What is under way at the end is finished, what waits is left for the next start; learning is
    broken off. ``loop`` is what looks; it outlives whatever goes wrong, and counts it.
    """

    def __init__(self, flow: Steps) -> None:
        self._flow = flow
        self._io = ThreadPoolExecutor(flow.settings.io_threads, "io")
        self._encode = ThreadPoolExecutor(1, "encode")
        self._learn = ThreadPoolExecutor(1, "learn")  # it waits for hours for another process
        self.loop = SupervisedLoop("schedule", self._look, flow.settings.dispatch_s)

    def __enter__(self) -> Self:
        self._flow.take_over()
        self.loop.wake()
        self.loop.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.loop.stop()
        self._flow.stop()
        self.loop.join()
        for pool in (self._io, self._encode, self._learn):
            pool.shutdown(cancel_futures=True)

    def _look(self) -> None:
        try:
            for step, feed in self._flow.due():
                self._send(step, feed)
            self._flow.dispatch(self._send)
        except ChandraSearchError as exc:
            _log.warning("nothing can be sent now, tried again soon: %s", exc)

    def _send(self, step: str, feed: str, keys: Sequence[str] = ()) -> None:
        pool = self._encode if step in ENCODING else self._learn if step == LEARN else self._io
        pool.submit(self._flow.run, step, feed, keys).add_done_callback(self._ended)

    def _ended(self, future: "Future[object]") -> None:
        """Log what went wrong, whatever it was, and look at once what is to be done next."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, ChandraSearchError):
            _log.warning("step put off: %s", error)
        elif error:
            _log.error("a step was broken off", exc_info=error)
        self.loop.wake()


def drain(flow: Flow) -> int:
    """Do everything that waits for a step now, in this thread; return how many items were sent.

    What is put off, because an archive does not answer, waits for its time.
    """
    sent = 0
    while True:
        given: list[tuple[str, str, Sequence[str]]] = []
        flow.dispatch(lambda step, feed, keys: given.append((step, feed, keys)))  # noqa: B023
        if not given:
            return sent
        for step, feed, keys in given:
            sent += len(keys)
            try:
                flow.run(step, feed, keys)
            except ChandraSearchError as exc:
                _log.warning("step put off: %s", exc)
