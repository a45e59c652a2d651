"""Three-section summaries without a language model: sentences of the abstract, chosen, not written.

Every sentence is compared with descriptions of the three sections of arXiv:2603.04516 in the space
of a text embedder. Nothing is rephrased, so nothing can be invented.
"""

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from common.errors import InvalidPaperError
from common.ports import Float32Array, Progress, TextEmbedder, no_progress
from common.records import Summary
from common.sentences import split_sentences

MIN_SENTENCES = 3
MAX_SENTENCES_PER_SECTION = 4
MAX_CHARACTERS_PER_SECTION = 800  # about 185 tokens, more with formulae; MiniLM reads 256
MIN_WORDS = 4
ORDER_WEIGHT = 0.1  # abstracts begin with the object and end with the conclusions

ANCHORS = (
    (  # nature
        "We study this object, an active galaxy, X-ray binary, star or galaxy cluster.",
        "The source is identified and classified as a quasar, a Seyfert galaxy or a neutron star.",
        "The sample of objects, their type, distance, redshift and optical counterpart.",
        "Observations of a known source, a nearby galaxy or an accreting compact object.",
    ),
    (  # xray
        "The X-ray spectrum is fitted by an absorbed power law with a photon index and a column "
        "density.",
        "The X-ray luminosity and flux in the 2-10 keV band were measured with Chandra.",
        "A thermal plasma of temperature kT in keV, with an iron K emission line.",
        "The light curve shows variability, flares, pulsations or a period.",
        "Hardness ratios, spectral state and the number of X-ray counts.",
    ),
    (  # interpretation
        "These results suggest and imply a physical explanation of the emission.",
        "We interpret the data with a model of accretion, a disc, a jet, a wind or shocks.",
        "The environment, the host galaxy, the surrounding gas and the evolution of the object.",
        "Implications for the formation and growth of black holes and for feedback.",
        "We conclude and discuss the origin of the phenomenon.",
    ),
)

_BOILERPLATE = re.compile(
    r"https?:|\S@\S|anonymous ftp|^\W*(?:based on (?:data|observations)|e-?mail|copyright|©|"
    r"tables? .* available|partly based)",
    re.IGNORECASE,
)


class ExtractiveSummarizer:
    """Give each section the sentences of the abstract that fit it best, the title being nature."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder = embedder

    def summarize(
        self, texts: Sequence[tuple[str, str]], progress: Progress = no_progress
    ) -> list[Summary]:
        """Return one summary for each ``(title, abstract)``; sections are never empty.

        An abstract of fewer than three usable sentences is repeated in every section.
        """
        sentences = [_usable(split_sentences(abstract)) for _, abstract in texts]
        scores = self._scores([sentence for own in sentences for sentence in own], progress)
        ends = np.cumsum([len(own) for own in sentences])
        return [
            _summary(*text, own, scores[end - len(own) : end])
            for text, own, end in zip(texts, sentences, ends, strict=True)
        ]

    def _scores(self, sentences: Sequence[str], progress: Progress) -> Float32Array:
        """Return how well each sentence fits each section, shape (n_sentence, 3)."""
        if not sentences:
            return np.zeros((0, len(ANCHORS)), dtype=np.float32)
        embeddings = self._embedder.embed(sentences, progress)  # (n_sentence, width)
        similarity = embeddings @ self._anchors.T  # (n_sentence, n_anchor)
        ends = np.cumsum([len(section) for section in ANCHORS])[:-1]
        return np.stack([part.max(axis=1) for part in np.split(similarity, ends, axis=1)], axis=1)

    @cached_property
    def _anchors(self) -> Float32Array:
        return self._embedder.embed([anchor for section in ANCHORS for anchor in section])


def _usable(sentences: Sequence[str]) -> list[str]:
    """Return the sentences that say something, or none where they are too few to share out."""
    usable = [s for s in sentences if len(s.split()) >= MIN_WORDS and not _BOILERPLATE.search(s)]
    return usable if len(usable) >= MIN_SENTENCES else []


def _summary(title: str, abstract: str, sentences: Sequence[str], scores: Float32Array) -> Summary:
    title = " ".join(title.split())
    if title and title[-1] not in ".!?":
        title += "."
    if not sentences:
        whole = " ".join([title, *abstract.split()]).strip()
        if not whole:
            raise InvalidPaperError("neither title nor abstract: give at least one of them")
        return Summary(whole, whole, whole, method="extractive")
    order = np.linspace(-0.5, 0.5, len(sentences))[:, None] * (-1, 0, 1)
    chosen = share_out(scores + ORDER_WEIGHT * order, [len(s) for s in sentences], len(title))
    nature, xray, interpretation = (" ".join(sentences[i] for i in own) for own in chosen)
    return Summary(f"{title} {nature}".strip(), xray, interpretation, method="extractive")


def share_out(
    scores: npt.NDArray[np.floating], lengths: Sequence[int], title_length: int = 0
) -> list[list[int]]:
    """Share sentences out to the sections, each to the one it fits best.

    Parameters
    ----------
    scores : ndarray of float, shape (n_sentence, n_section)
        How well each sentence fits each section; ``n_sentence >= n_section``.
    lengths : sequence of int, length n_sentence
        Characters of each sentence.
    title_length : int
        Characters the first section holds already.

    Returns
    -------
    list of list of int
        Ascending sentence indices of each section: at least one, and no more than
        `MAX_SENTENCES_PER_SECTION` sentences and, with a second one, `MAX_CHARACTERS_PER_SECTION`.
    """
    # Some descriptions are close to any astronomical sentence: what counts is which sentence of
    # this abstract fits better than its others.
    relative = scores - scores.mean(axis=0)
    best_first = np.dstack(np.unravel_index(np.argsort(-relative, axis=None), relative.shape))[0]
    sections: list[list[int]] = [[] for _ in range(scores.shape[1])]
    sizes = [title_length] + [0] * (scores.shape[1] - 1)
    taken: set[int] = set()
    for first_round in (True, False):  # one for each section, all different; then the others
        for sentence, section in best_first.tolist():
            size = sizes[section] + 1 + lengths[sentence]
            if first_round:
                fits = not sections[section]
            else:
                fits = (
                    relative[sentence].argmax() == section
                    and len(sections[section]) < MAX_SENTENCES_PER_SECTION
                    and size <= MAX_CHARACTERS_PER_SECTION
                )
            if fits and sentence not in taken:
                sections[section].append(sentence)
                sizes[section] = size
                taken.add(sentence)
    return [sorted(own) for own in sections]
