"""Concepts and topic of a text, read from its sentences.

A small net gives the probability of each of `common.concepts.CONCEPTS`: every sentence is read by
itself, what they say is added up, and the title is looked at apart, as it tells what a text is on.
Another net, smaller still, tells whether a text is about X-ray sources at all. Beside the first
stand the rules of `common.concept_rules`: each reads what the other overlooks.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.concept_rules import read_concepts
from common.concepts import N_CONCEPTS
from common.numbers import N_NUMBER_FEATURES
from common.ports import Float32Array
from common.records import Summary
from encoders.config import TextConceptsConfig
from encoders.text.sentences import SentenceSets

SENTENCE_NORM = 4.0
WHITENING_FLOOR = 0.1
"""Added to standard deviations of about 0.05: what is like a phrase learnt stays like it."""

_CHUNK = 2048


class ConceptReader(nn.Module):
    """One member: logits of all concepts from the sentences of a text.

    References
    ----------
    .. [1] M. Zaheer et al., Deep Sets, arXiv:1703.06114.
    """

    def __init__(self, n_sentence: int, config: TextConceptsConfig) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(n_sentence, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
        )
        self.read_title = nn.Sequential(
            nn.Linear(n_sentence, config.hidden), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.conclude = nn.Sequential(
            nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * config.hidden, N_CONCEPTS)
        )

    def forward(self, sentences: Tensor, of_text: Tensor, title: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        sentences : Tensor of float32, shape (n_sentence, d)
            Prepared sentences.
        of_text : Tensor of int64, shape (B, longest)
            Rows of the sentences of each text, one at least; -1 where it has no more.
        title : Tensor of int64, shape (B,)
            Row of the title; -1 where it is not to be known.

        Returns
        -------
        Tensor of float32, shape (B, N_CONCEPTS)
            Logits.
        """
        said, _ = _read_present(self.read, sentences, of_text)  # (B, longest, hidden)
        headed = self.read_title(sentences[title.clamp_min(0)]) * (title >= 0)[:, None]
        return cast("Tensor", self.conclude(torch.cat([said.sum(dim=1), headed], dim=1)))


class TopicReader(nn.Module):
    """Logit of being about X-ray sources: each sentence is read, their mean decides."""

    def __init__(self, n_sentence: int, config: TextConceptsConfig) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(n_sentence, config.topic_hidden), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.conclude = nn.Linear(2 * config.topic_hidden, 1)

    def forward(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        """Return logits, (n_sentence, d), (B, longest) -> (B,)."""
        read, present = _read_present(self.read, sentences, of_text)  # (B, longest, hidden)
        mean = read.sum(dim=1) / present.sum(dim=1, keepdim=True)
        return cast("Tensor", self.conclude(torch.cat([mean, read.amax(dim=1)], dim=1)))[:, 0]


def _read_present(layers: nn.Module, sentences: Tensor, of_text: Tensor) -> tuple[Tensor, Tensor]:
    """Return what layers read in the sentences that are there, else 0, and which these are."""
    present = of_text >= 0
    said = layers(sentences[of_text[present]])  # (t, hidden)
    read = said.new_zeros(*of_text.shape, said.shape[1])
    read[present] = said
    return read, present


class TextConcepts(nn.Module):
    """What prepares sentences, the members that read concepts, and the topic's reader.

    Parameters
    ----------
    text_width : int
        Length of a sentence embedding.
    config : TextConceptsConfig
        Hyperparameters.
    """

    text_mean: Tensor
    text_components: Tensor
    prior: Tensor
    topic_slope: Tensor
    topic_offset: Tensor

    def __init__(self, text_width: int, config: TextConceptsConfig) -> None:
        super().__init__()
        self.config = config
        components = min(config.components, text_width)
        width = components + N_NUMBER_FEATURES
        self.members = nn.ModuleList(ConceptReader(width, config) for _ in range(config.members))
        self.topic = TopicReader(width, config)
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_components", torch.eye(text_width, components))
        self.register_buffer("prior", torch.full((N_CONCEPTS,), 0.5))
        self.register_buffer("topic_slope", torch.ones(()))
        self.register_buffer("topic_offset", torch.zeros(()))

    def fit_whitening(self, embeddings: Tensor) -> None:
        """Set how embeddings are whitened, from those of training, (n_sentence, text_width)."""
        self.text_mean.copy_(embeddings.mean(0))
        centred = (embeddings - self.text_mean).double()
        variance, direction = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
        scale = variance.clamp_min(0).sqrt() + WHITENING_FLOOR
        self.text_components.copy_((direction / scale).flip(1)[:, : self.text_components.shape[1]])

    def prepare(self, embeddings: Tensor, numbers: Tensor) -> Tensor:
        """Whiten embeddings and add the numbers, (s, text_width), (s, 15) -> (s, d)."""
        white = (embeddings - self.text_mean) @ self.text_components
        return torch.cat([SENTENCE_NORM * functional.normalize(white, dim=-1), numbers], dim=1)

    def forward(self, sentences: Tensor, of_text: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the nets say, without rules and calibration.

        Parameters
        ----------
        sentences : Tensor of float32, shape (n_sentence, d)
            Prepared sentences.
        of_text : Tensor of int64, shape (B, longest)
            Rows of the sentences of each text, the title's first; -1 where it has no more.

        Returns
        -------
        concepts : Tensor of float32, shape (B, N_CONCEPTS)
            Logits, mean of the members.
        topic : Tensor of float32, shape (B,)
            Logit.
        """
        logits = [member(sentences, of_text, of_text[:, 0]) for member in self.members]
        return torch.stack(logits).mean(0), self.topic(sentences, of_text)

    @torch.no_grad()
    def probabilities(
        self, summaries: Sequence[Summary], sentences: SentenceSets
    ) -> tuple[Float32Array, Float32Array]:
        """Return what texts say, and whether it is said of X-ray sources.

        Parameters
        ----------
        summaries : sequence of Summary, length n
            Papers, or questions with all sections equal.
        sentences : SentenceSets
            Their `encoders.text.sentences.embed_sentences`.

        Returns
        -------
        concepts : ndarray of float32, shape (n, N_CONCEPTS)
            Probability that each concept is told.
        topic : ndarray of float32, shape (n,)
            Calibrated probability of being about X-ray sources; means nothing for questions.
        """
        self.eval()
        device = self.text_mean.device
        prepared = self.prepare(
            torch.from_numpy(sentences.embeddings).to(device),
            torch.from_numpy(sentences.numbers).to(device),
        )
        concepts = np.zeros((len(summaries), N_CONCEPTS), dtype=np.float32)
        topic = np.zeros(len(summaries), dtype=np.float32)
        for start in range(0, len(summaries), _CHUNK):
            rows = slice(start, start + _CHUNK)
            logits, topic_logits = self(
                prepared, torch.from_numpy(sentences.of_text[rows]).to(device)
            )
            concepts[rows] = logits.sigmoid().cpu().numpy()
            calibrated = self.topic_slope * topic_logits + self.topic_offset  # NaN: not learnt
            topic[rows] = calibrated.sigmoid().cpu().numpy()
        share = self.config.rules_share
        if share and summaries:
            told = np.stack([read_concepts(summary.sections()) for summary in summaries])
            concepts = (1 - share) * concepts + share * told
        return concepts, topic

    def standardise(self, probabilities: Float32Array) -> Float32Array:
        """Return (p - prior) / sqrt(prior (1 - prior)), (n, N_CONCEPTS) -> the same."""
        prior = self.prior.cpu().numpy()
        return cast("Float32Array", (probabilities - prior) / np.sqrt(prior * (1 - prior)))
