import resource

import pytest

from common.errors import UnavailableError
from workers.writing.first_inputs import FirstInputs


def test_first_input_of_a_detection_stays_the_first():
    with FirstInputs() as inputs:
        assert inputs.first("key", "a.pha", "1") == ("a.pha", "1")
        assert inputs.first("key", "b.pha", "2") == ("a.pha", "1")
        assert inputs.first("other", "row", None) == ("row", None)
        assert inputs.first("other", "b.pha", "2") == ("row", None)


def test_first_input_is_known_among_more_than_memory_is_taken_for():
    with FirstInputs() as inputs:
        for number in range(10_000):
            inputs.first(f"{number}", f"{number}.pha" + " " * 500, None)
        assert inputs.first("0", "again.pha", None)[0].startswith("0.pha")


def test_runs_know_nothing_of_one_another():
    with FirstInputs() as one, FirstInputs() as other:
        one.first("key", "a.pha", None)
        assert other.first("key", "b.pha", None) == ("b.pha", None)


def fill(inputs):
    for number in range(10_000):
        inputs.first(f"{number}", f"{number}.pha" + " " * 1000, None)


def test_full_disk_is_an_error_with_the_cure():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with FirstInputs() as inputs, pytest.raises(UnavailableError, match="TMPDIR"):
            fill(inputs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
