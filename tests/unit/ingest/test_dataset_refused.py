"""Datasets that are refused, and files that strangers have made."""

import zipfile

import numpy as np
import pytest
from dataset_files import arrays_of, section_texts

from common.errors import InvalidTableError, NotFoundError
from ingest.dataset.dataset import read_dataset
from ingest.settings import IngestSettings

# What is refused


def counts_with(row, value):
    counts = np.random.default_rng(0).poisson(1.0, size=(3, 400)).astype(float)
    counts[row] = value
    return counts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": None}, "no array counts"),
        ({"exposure": None, "source": None}, r"no array exposure, source \(or name\)"),
        ({"counts": counts_with(1, -1.0)}, "counts are negative or not finite in rows 1"),
        ({"counts": counts_with(2, np.nan)}, "counts are negative or not finite in rows 2"),
        ({"counts": counts_with(2, np.inf)}, "counts are negative or not finite in rows 2"),
        ({"counts": counts_with([0, 2], 0.0)}, r"same in all bins.* in rows 0, 2"),
        ({"exposure": np.array([1.0, 0.0, np.nan])}, "exposure is not positive in rows 1, 2"),
        ({"exposure": np.ones(2)}, r"exposure \(2,\) instead of \(3,\)"),
        ({"counts": np.ones((3, 399))}, r"counts \(3, 399\) instead of \(3, 400\)"),
        ({"counts": np.float64(1.0)}, "wrong shape"),
        ({"n": 0}, "no rows"),
        ({"ra": np.array([0.0, 361.0, np.nan])}, "no ICRS position in degrees in rows 1"),
        ({"source": np.array(["a", "", "b"])}, "source is empty in rows 1"),
        ({"obsid": np.array([1.5, 2.0, 3.0])}, "array obsid is of type float64, expected integers"),
        ({"key": np.array(list("aab")), "source": np.zeros(3, int)}, "rows 0, 1 .* detection a"),
        ({"release": np.array(["x", "", ""])}, "release 'x' is not known"),
        ({"observed_at": np.array(["May", "", ""])}, "observed_at 'May' is no time"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_refused_with_the_reason(write, changes, message):
    with pytest.raises(InvalidTableError, match=message):
        read_dataset(write(**changes))


def test_many_wrong_rows_are_counted(write):
    counts = np.zeros((30, 400))
    with pytest.raises(InvalidTableError, match=r"rows 0, 1, .*, 9 … \(30 in all\)"):
        read_dataset(write(n=30, counts=counts))


def test_summaries_written_by_a_language_model_keep_its_name(write):
    dataset = read_dataset(write(summaries=[section_texts(method="openai:gpt-4o-mini")]))
    assert dataset.summary_of(0).method == "openai:gpt-4o-mini"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([section_texts(source=7)], "line 1: source 7 is in no row"),
        ([section_texts(source=True)], "line 1: source True is in no row"),
        ([section_texts(source=[0])], "line 1: source .* is in no row"),
        (["[1]"], "line 1: no JSON object"),
        ([section_texts(), section_texts()], "line 2: source 0 has a summary in line 1 .*pairs:0"),
        ([section_texts(source=None)], "line 1: a text that belongs to no source needs a bibcode"),
        ([section_texts(year="2003")], "line 1: year '2003' is no whole number"),
        ([section_texts(title=["A"])], "line 1: title .* is no text"),
        ([section_texts(xray=" ")], "line 1: section xray is missing or empty"),
        ([section_texts(nature=None)], "line 1: section nature is missing or empty"),
        ([section_texts(nature="x" * 50_001)], "section nature has 50,001 characters"),
        ([section_texts(), "{"], "line 2: not valid JSON"),
        (["[" * 100_000], "line 1: not valid JSON"),
        ([section_texts(method="guessed")], "method 'guessed' is not known"),
        ([section_texts(bibcode=3)], "bibcode 3 is no text"),
        ([section_texts(bibcode="x"), section_texts(source=1, xray="Hard.", bibcode="x")],
         "sources 0 and 1 have different summaries under bibcode x"),
    ],
)  # fmt: skip
def test_summaries_that_cannot_be_used_are_refused_with_line_and_reason(write, lines, message):
    with pytest.raises(InvalidTableError, match=message):
        read_dataset(write(summaries=lines))


def test_sources_may_share_one_paper(write):
    same = [section_texts(bibcode="x"), section_texts(source=1, bibcode="x")]
    texts = read_dataset(write(summaries=same)).texts
    assert [(text.source, text.bibcode) for text in texts] == [(0, "x"), (1, "x")]


@pytest.mark.parametrize(
    "description", [[], "text", {"name": 3}, {"simulated": "no"}, {"use": "judging"}]
)
def test_description_of_other_types_is_refused(write, description):
    with pytest.raises(InvalidTableError, match=r"dataset\.json: expected an object"):
        read_dataset(write(description=description))


def test_missing_dataset_is_not_found(folder):
    with pytest.raises(NotFoundError, match=r"detections\.npz"):
        read_dataset(folder)
    with pytest.raises(NotFoundError, match="nothing"):
        read_dataset(folder / "nothing")


# Files from strangers


def npy_header(shape, dtype="<f8"):
    text = str({"descr": dtype, "fortran_order": False, "shape": shape})
    header = (text + " " * (64 - (10 + len(text) + 1) % 64) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def replace_member(path, name, data):
    np.savez_compressed(path, **arrays_of(**{name: None}))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", data)


def test_arrays_larger_than_the_limit_are_refused_before_reading(write):
    path = write(n=300)
    with pytest.raises(InvalidTableError, match=r"more than 0\.5: .*CHANDRA_MAX_FILE_MB"):
        read_dataset(path, IngestSettings(max_file_mb=0.5))


def test_limit_counts_what_arrays_become_in_memory(write):
    path = write(counts=np.eye(3, 400, dtype=np.int8) + np.zeros((3, 400), np.int8))
    with pytest.raises(InvalidTableError, match="CHANDRA_MAX_FILE_MB"):
        read_dataset(path, IngestSettings(max_file_mb=3 * 400 * 7 / 2**20))


def test_compressed_zeros_do_not_expand_beyond_the_limit(folder):
    n = 20_000  # 64 MB that take 62 kB in the file
    np.savez_compressed(folder / "detections.npz", counts=np.zeros((n, 400)))
    assert (folder / "detections.npz").stat().st_size < 200_000
    with pytest.raises(InvalidTableError, match="its arrays take 61 MiB, more than 10"):
        read_dataset(folder, IngestSettings(max_file_mb=10))


@pytest.mark.parametrize(
    "data",
    [
        npy_header((10**12, 400)) + bytes(8),
        npy_header((3, 400)) + bytes(8),
        npy_header((-3, -400)) + bytes(9600),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"\x93NUMPY\x01\x00\x40\x00" + b"(" * 64,
        b"",
        b"no array",
    ],
)
def test_arrays_that_lie_about_themselves_are_refused(folder, data):
    replace_member(folder / "detections.npz", "counts", data)
    with pytest.raises(InvalidTableError, match=r"cannot be read as \.npz"):
        read_dataset(folder)


def test_pickled_arrays_are_refused(folder):
    replace_member(folder / "detections.npz", "name", npy_header((3,), "|O") + b"cos\nsystem\n")
    with pytest.raises(InvalidTableError, match="array name is of type object, expected text"):
        read_dataset(folder)


def test_truncated_files_are_refused(write):
    path = write() / "detections.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InvalidTableError, match=r"cannot be read as \.npz"):
        read_dataset(path.parent)


def test_damaged_bytes_are_refused(write):
    path = write() / "detections.npz"
    data = bytearray(path.read_bytes())
    data[400:420] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(InvalidTableError, match=r"cannot be read as \.npz"):
        read_dataset(path.parent)


def test_large_summaries_are_refused_before_reading(write):
    path = write(summaries=[section_texts(nature="x" * 40_000)])
    with pytest.raises(InvalidTableError, match=r"summaries\.jsonl is larger"):
        read_dataset(path, IngestSettings(max_file_mb=0.03))
