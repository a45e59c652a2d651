import numpy as np

from common.records import Summary
from encoders.text.sentences import embed_sentences


def summary(nature, xray="The spectrum is soft.", interpretation="It has a corona."):
    return Summary(nature, xray, interpretation, "given")


def test_each_distinct_sentence_is_embedded_once(embedder):
    sets = embed_sentences(embedder, [summary("A star."), summary("A quasar. It is far.")])
    assert embedder.asked == len(sets.embeddings) == len(sets.numbers) == 5
    assert sets.of_text.shape == (2, 4)
    assert np.count_nonzero(sets.of_text >= 0, axis=1).tolist() == [3, 4]


def test_a_sentence_repeated_in_a_text_counts_once(embedder):
    sets = embed_sentences(embedder, [summary(*["One abstract for all sections."] * 3)])
    assert sets.of_text.tolist() == [[0]]


def test_texts_that_share_a_sentence_share_its_row(embedder):
    sets = embed_sentences(embedder, [summary("A star."), summary("A pulsar.")])
    assert len(set(sets.of_text[0]) & set(sets.of_text[1])) == 2


def test_quantities_of_one_sentence_are_read_apart(embedder):
    one = summary("Gamma = 1.7, kT = 0.6 keV.", "", "")
    assert len(embed_sentences(embedder, [one]).embeddings) == 2


def test_no_text_at_all_is_one_empty_sentence(embedder):
    assert embed_sentences(embedder, [summary("", "", "")]).of_text.tolist() == [[0]]
