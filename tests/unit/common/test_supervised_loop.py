import logging
import threading

from common.supervised_loop import SupervisedLoop

PATIENCE_S = 30
LONG_S = 3600.0


class Steps:
    """Raise these errors, one a step, then do well; count the steps."""

    def __init__(self, *errors, enough=1):
        self.done = 0
        self.well = threading.Event()
        self._errors = [*errors]
        self._enough = enough

    def __call__(self):
        self.done += 1
        if self._errors:
            raise self._errors.pop(0)
        self._enough -= 1
        if self._enough <= 0:
            self.well.set()


def test_loop_goes_on_after_whatever_a_step_raises(caplog):
    steps = Steps(RuntimeError("a surprise"), MemoryError(), KeyError("x"))
    with (
        caplog.at_level(logging.ERROR),
        SupervisedLoop("schedule", steps, every_s=0.001) as loop,
    ):
        assert steps.well.wait(PATIENCE_S)
    assert loop.errors == 3
    assert len(caplog.records) == 3
    assert "schedule met what nobody expected" in caplog.text
    assert "RuntimeError: a surprise" in caplog.text  # with its traceback


def test_loop_waits_twice_as_long_after_each_error_and_as_ever_when_all_is_well(monkeypatch):
    steps = Steps(*[RuntimeError() for _ in range(6)], enough=2)
    loop = SupervisedLoop("schedule", steps, every_s=1.0, longest_wait_s=8.0)
    waits = []

    def go_on(wait_s):
        waits.append(wait_s)
        return not steps.well.is_set()

    monkeypatch.setattr(loop, "_is_to_go_on", go_on)
    with loop:
        assert steps.well.wait(PATIENCE_S)
    assert waits == [1, 2, 4, 8, 8, 8, 8, 1, 1]


def test_loop_that_is_woken_does_not_wait():
    steps = Steps(enough=2)
    with SupervisedLoop("schedule", steps, every_s=LONG_S) as loop:
        while not steps.well.is_set():
            loop.wake()
    assert steps.done >= 2


def test_loop_ends_at_once_whatever_it_waits_for():
    steps = Steps()
    with SupervisedLoop("schedule", steps, every_s=LONG_S):
        pass
    assert steps.done == 0
