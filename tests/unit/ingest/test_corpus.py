import gzip
import json

import numpy as np
import pytest

from common.corpus import is_held_out
from common.errors import InvalidPaperError, InvalidTableError, NotFoundError
from ingest.papers.corpus import read_corpus
from ingest.papers.object_names import ObjectNames
from ingest.settings import IngestSettings

PROSE = (
    "We present the X-ray spectrum of this source, which is well fitted by a power law with an "
    "absorbing column density of 10^22 per square centimetre, and we discuss the origin of it."
)
GERMAN = (
    "Wir zeigen das Spektrum dieser Quelle im Bereich der Röntgenstrahlung und vergleichen es mit "
    "einem Modell der Akkretion auf ein schwarzes Loch, dessen Masse wir zum ersten Mal bestimmen."
)
CHINESE = "我们展示了该源的光谱 并与吸积模型进行了比较 " * 5


def record(number=0, **changes):
    base = {
        "id": f"arXiv:{number}",
        "title": f"Source {number}",
        "abstract": f"{PROSE} It is number {number}.",
        "kind": "xray-source",
    }
    return {k: v for k, v in (base | changes).items() if v is not None}


@pytest.fixture
def write(tmp_path):
    def _write(*lines, name="corpus.jsonl"):
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return _write


GOOD = [record(n) for n in range(100, 110)]


def test_a_corpus_is_read_from_packed_and_plain_files(write):
    whole = record(1, year=2003, classes=["Sy2"], score=9.5)
    files = [write(whole, name="a.jsonl.gz"), write(record(2, kind="other"), name="b.jsonl")]
    corpus = read_corpus(files)
    first, second = corpus.texts
    assert (first.id, first.title, first.year) == ("arXiv:1", "Source 1", 2003)
    assert (first.kind, first.classes, first.score) == ("xray-source", ("Sy2",), 9.5)
    assert (second.year, second.classes, second.score) == (None, (), 0.0)
    assert (corpus.notes, corpus.files) == ((), ("a.jsonl.gz", "b.jsonl"))


def test_the_held_out_fifth_is_in_the_pool_only(write):
    corpus = read_corpus([write(*(record(n) for n in range(200)))])
    assert all(is_held_out(text.id) for text in corpus.pool())
    assert not any(is_held_out(text.id) for text in corpus.training())
    assert len(corpus.pool()) + len(corpus.training()) == 200


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no JSON object"),
        (record(id=None), "without id"),
        (record(id=7), "is no text"),
        (record(abstract=None), "without abstract"),
        (record(abstract=[PROSE]), "is no text"),
        (record(abstract="<p> </p>"), "without abstract"),
        (record(kind=None), "without kind"),
        (record(kind="biology"), "of a kind other than"),
        (record(kind=["astro"]), "of a kind other than"),
        (record(classes="Sy2"), "classes are no list"),
        (record(score="high"), "score is no number"),
        (record(abstract=PROSE * 400), "more than 50,000 characters"),
        (record(abstract=GERMAN), "another language"),
        (record(abstract=CHINESE), "another language"),
    ],
)
def test_lines_that_are_no_use_are_left_out_and_named(write, line, reason, caplog):
    corpus = read_corpus([write(*GOOD, line)])
    assert len(corpus.texts) == len(GOOD)
    (note,) = corpus.notes
    assert reason in note
    assert "1 lines" in note
    assert "(line 11)" in note
    assert reason in caplog.text


def test_many_lines_are_counted_and_the_first_named(write):
    corpus = read_corpus([write(*["{"] * 8, *GOOD)])
    assert "8 lines that are no JSON (line 1, 2, 3, 4, 5 …)" in corpus.notes[0]


@pytest.mark.parametrize("lines", [["{"], [record(kind=None)] * 3, [""], [*GOOD[:2], *["x"] * 3]])
def test_a_file_of_which_most_is_no_use_is_refused(write, lines):
    with pytest.raises(InvalidTableError, match=r"lines are no use.*expected JSON objects"):
        read_corpus([write(*lines)])


def test_a_text_counts_once_by_id_and_by_wording(write):
    again = record(1, id="arXiv:other", title="SOURCE 1")
    other_words = record(1, abstract=f"{PROSE} Revised.")
    files = [write(record(1), record(2), again, name="a.jsonl"), write(other_words, name="b.jsonl")]
    corpus = read_corpus(files)
    assert [text.id for text in corpus.texts] == ["arXiv:1", "arXiv:2"]
    assert [f"{name}: 1 texts left out that are there already" for name in ("a.jsonl", "b.jsonl")] \
        == list(corpus.notes)  # fmt: skip


def test_files_that_cannot_be_read_are_refused(write, tmp_path):
    with pytest.raises(NotFoundError, match="no file"):
        read_corpus([tmp_path / "nowhere.jsonl"])
    broken = write(*GOOD, name="a.jsonl.gz")
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(InvalidPaperError, match="cannot be read"):
        read_corpus([broken])
    with pytest.raises(InvalidPaperError, match="folder"):
        read_corpus([tmp_path])


def test_packed_files_are_not_unpacked_beyond_the_limit(write):
    path = write(record(abstract="the " * 500_000), name="a.jsonl.gz")
    assert path.stat().st_size < 20_000
    with pytest.raises(InvalidPaperError, match="holds more than 1 MiB"):
        read_corpus([path], limits=IngestSettings(max_file_mb=1))


# Objects of a test


@pytest.fixture
def judged(tmp_path):
    folder = tmp_path / "judged"
    folder.mkdir()
    np.savez_compressed(
        folder / "detections.npz",
        counts=np.random.default_rng(0).poisson(2, size=(2, 400)),
        exposure=np.ones(2),
        name=["NGC 4258", "MCG-6-30-15"],
    )
    own = {"id": "arXiv:7", "title": "A text", "abstract": PROSE, "object": "Cyg X-1"}
    (folder / "texts.jsonl").write_text(json.dumps(own))
    return folder


@pytest.mark.parametrize(
    "title",
    ["NGC 4258", "The nucleus of NGC4258", "ngc-4258", "NGC~4258:", "MCG-06-30-15",
     "MCG--6--30--15", "Cyg X-1", "Cyg~X$-$1 again"],
)  # fmt: skip
def test_texts_that_name_a_test_object_are_left_out(write, judged, title):
    corpus = read_corpus([write(*GOOD, record(title=title))], [judged])
    assert len(corpus.texts) == len(GOOD)
    assert "1 texts left out that name an excluded object (" in corpus.notes[0]
    in_the_abstract = record(abstract=f"{PROSE} We compare with {title}.")
    assert len(read_corpus([write(*GOOD, in_the_abstract)], [judged]).texts) == len(GOOD)


@pytest.mark.parametrize("title", ["NGC 42580", "NGC 425 and 8", "MCG-6-30-150", "Cyg X-10"])
def test_other_objects_of_similar_names_stay(write, judged, title):
    assert len(read_corpus([write(*GOOD, record(title=title))], [judged]).texts) == len(GOOD) + 1


def test_texts_of_a_test_are_left_out_by_id(write, judged):
    corpus = read_corpus([write(*GOOD, record(7))], [judged])
    assert "1 texts left out that are texts of an excluded dataset" in corpus.notes[0]


@pytest.mark.parametrize("name", ["", "A", "B2", "1234", "- -"])
def test_names_that_any_text_holds_are_not_looked_for(name):
    assert ObjectNames([name]).first_in("A text of 1234 words about B2 and others") is None


# The corpus at hand


def test_the_shared_corpus_has_the_pool_that_the_benchmark_speaks_of(shared_data):
    files = sorted((shared_data / "papers" / "corpus").glob("*.jsonl.gz"))
    pool = read_corpus(files).pool()
    assert sum(text.is_topical for text in pool) == 232
    assert sum(text.is_off_topic for text in pool) == 1484
