"""What every ensemble of heads offers, whatever the recipe."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Heads(nn.Module):
    """One member of an ensemble: a head for spectra and one for texts, to one shared space.

    Attributes
    ----------
    spectrum : Module
        Prepared latents to unit vectors, (B, latent) -> (B, shared).
    text : Module
        Prepared sentences, (n_sentence, d), and rows of those of each text, (B, longest), to unit
        vectors, (B, shared).
    """

    spectrum: nn.Module
    text: nn.Module


class SharedSpace(nn.Module, ABC):
    """An ensemble of heads with what prepares its inputs and merges its outputs.

    Attributes
    ----------
    pairs : ModuleList of Heads
        The members.
    """

    pairs: nn.ModuleList

    @abstractmethod
    def fit_inputs(self, latents: Tensor, embeddings: Tensor) -> None:
        """Learn from (n, latent) and (n_sentence, text_width) how inputs are prepared."""

    @abstractmethod
    def prepare_latents(self, latents: Tensor) -> Tensor:
        """Return latents as the heads see them, (B, latent) -> the same."""

    @abstractmethod
    def prepare_sentences(self, embeddings: Tensor, numbers: Tensor) -> Tensor:
        """Return sentences as the heads see them, (s, text_width), (s, n_number) -> (s, d)."""

    @abstractmethod
    def fit_merge(self, latents: Tensor, sentences: Tensor, of_text: Tensor) -> None:
        """Learn from these prepared inputs how the members' outputs are merged."""

    @abstractmethod
    def place(self, latents: Tensor) -> Tensor:
        """Return unit vectors of the shared space for prepared latents, (B, d)."""

    @abstractmethod
    def read(self, sentences: Tensor, of_text: Tensor) -> Tensor:
        """Return unit vectors of the shared space for prepared sentences, (B, d)."""

    def spectra(self, latents: Tensor) -> Tensor:
        """Return unit vectors of the shared space for latents, (B, d)."""
        return self.place(self.prepare_latents(latents))

    def texts(self, embeddings: Tensor, numbers: Tensor, of_text: Tensor) -> Tensor:
        """Return unit vectors of the shared space for what `SentenceSets` holds, (B, d)."""
        return self.read(self.prepare_sentences(embeddings, numbers), of_text)
