import pytest

from search.queries.highlights import MOST, highlight

PAPER = {
    "title": "A deep look at NGC 1068",
    "abstract": "We observed the galaxy with Chandra. An iron line at 6.4 keV is seen. "
    "The nucleus is obscured by a thick absorber. Nothing else is of note.",
    "summary": {
        "nature": "A Seyfert 2 galaxy.",
        "xray": "An iron line at 6.4 keV is seen.",
        "interpretation": "Obscuration by a torus explains the iron line of the nucleus.",
    },
}
OTHER = {"title": "Stars", "abstract": "Coronae of cool stars flare. Their galaxy is ours."}


def test_highlights_are_the_sentences_that_share_words_best_first():
    (found,) = highlight("obscured nucleus with an iron line", [PAPER])

    assert found == (
        "Obscuration by a torus explains the iron line of the nucleus.",
        "The nucleus is obscured by a thick absorber.",
        "An iron line at 6.4 keV is seen.",
    )


def test_rare_words_count_more_than_common_ones():
    (first, second) = highlight("galaxy absorber", [PAPER, OTHER])

    assert first[0] == "The nucleus is obscured by a thick absorber."
    assert second == ("Their galaxy is ours.",)


def test_words_are_compared_by_their_stems():
    assert highlight("flaring star corona", [OTHER])[0][0] == "Coronae of cool stars flare."


def test_sentence_that_summary_and_abstract_share_is_shown_once():
    (found,) = highlight("6.4 keV iron", [PAPER])

    assert found.count("An iron line at 6.4 keV is seen.") == 1


@pytest.mark.parametrize("question", ["", "the of and", "!?", "supernova"])
def test_no_shared_word_is_no_highlight(question):
    assert highlight(question, [PAPER, OTHER]) == [(), ()]


def test_no_more_than_a_few_sentences_are_shown():
    text = " ".join(f"Jet number {i} is bright." for i in range(10))

    assert len(highlight("jets", [{"title": "T", "abstract": text}])[0]) == MOST


def test_no_papers_have_no_highlights():
    assert highlight("jets", []) == []
