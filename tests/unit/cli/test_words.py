import json

import numpy as np
import pytest
from word_embedder import WordEmbedder

from cli.options.corpus import read_words
from common.concepts import NAMES
from common.corpus import is_held_out
from common.errors import InputError, InvalidTableError, NotFoundError
from common.ports import no_progress

ABOUT = {
    "xray-source": "We present the X-ray spectrum of this Seyfert 2 galaxy, which is absorbed by a "
    "column density of 10^23 cm^-2, and we discuss what it is that absorbs it.",
    "xray-other": "We describe the calibration of a detector for X-ray telescopes, and how it is "
    "kept stable in orbit.",
    "astro": "We study the rotation of stars in open clusters and what it tells us of their age.",
    "other": "We study the price of butter and of milk, and what it tells us about the farms.",
}


def record(number, kind="xray-source", **more):
    title = f"On matter {number}"
    return {"id": f"arXiv:{number}", "title": title, "abstract": ABOUT[kind], "kind": kind} | more


@pytest.fixture
def write(tmp_path):
    def _write(*records, name="corpus.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, records)))
        return path

    return _write


def read(*files, exclude=()):
    return read_words(files, exclude, WordEmbedder(), no_progress)


def varied(kind, numbers):
    return [
        record(n, kind, abstract=f"{ABOUT[kind]} It is the one of number {n}.") for n in numbers
    ]


def test_four_fifths_of_a_corpus_are_learnt_from(write):
    path = write(*varied("xray-source", range(40)))
    words = read(path)
    learnt = sum(not is_held_out(f"arXiv:{n}") for n in range(40))
    assert 0 < learnt < 40
    assert len(words.texts) == learnt
    assert words.sizes == {"corpus.jsonl": learnt}


def test_each_kind_teaches_what_is_sure_of_it(write):
    numbers = [n for n in range(40) if not is_held_out(f"arXiv:{n}")]
    words = read(write(*(record(n, kind) for n, kind in zip(numbers, ABOUT, strict=False))))
    source, instrument, astronomy, butter = words.texts
    assert source.topic > 0.5
    assert source.targets[NAMES.index("seyfert2")] > 0.5
    assert source.weights.all()
    assert np.isnan(instrument.topic)  # neither on the topic nor surely off it
    assert astronomy.topic == butter.topic == 0
    assert not any(text.weights.any() for text in (instrument, astronomy, butter))


def test_the_score_of_a_corpus_is_how_much_it_is_trusted(write):
    numbers = [n for n in range(40) if not is_held_out(f"arXiv:{n}")][:2]
    both = [
        record(n, score=score, classes=["TDE/QPE"])
        for n, score in zip(numbers, (7.0, 12.0), strict=True)
    ]
    both[1]["abstract"] += " It is another one."
    unsure, sure = read(write(*both)).texts
    labelled = NAMES.index("tidal_disruption")
    assert 0.5 < unsure.targets[labelled] < sure.targets[labelled]
    assert unsure.topic == sure.topic == 1  # about X-ray sources, whatever they are


def test_without_a_corpus_it_is_said_what_is_missing(capsys):
    assert read() is None
    assert "no --corpus" in capsys.readouterr().err


def test_exclude_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="--exclude leaves texts out of a --corpus: give one"):
        read(exclude=[tmp_path])


def test_a_corpus_without_x_ray_sources_is_refused(write):
    with pytest.raises(InputError, match=r"butter\.jsonl: no text of kind xray-source"):
        read(write(*varied("other", range(20)), name="butter.jsonl"))


def test_what_was_left_out_is_said(write, capsys):
    path = write(*varied("xray-source", range(20)), {"id": "arXiv:99"})
    read(path)
    assert "note: corpus.jsonl: left out: 1 lines without abstract" in capsys.readouterr().err


def test_a_corpus_that_is_not_there_or_no_use_is_refused(write, tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(InvalidTableError, match="correct the file"):
        read(write({"id": 3}, name="broken.jsonl"))
