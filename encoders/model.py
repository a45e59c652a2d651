"""Everything of a model that has weights."""

from torch import Tensor, nn

from encoders.concept_bridge import SpectrumConcepts, beyond_expectation
from encoders.config import TrainingConfig
from encoders.recipes.known import recipe_of
from encoders.shared_space import Joint
from encoders.text.text_concepts import TextConcepts


class SpectrumTextModel(nn.Module):
    """Everything with weights: the autoencoder, what reads texts, and the alignment."""

    def __init__(self, section_width: int, config: TrainingConfig) -> None:
        super().__init__()
        recipe = recipe_of(config)
        self.autoencoder = recipe.autoencoder(config)
        self.alignment = recipe.shared_space(section_width, config)
        self.spectrum_concepts = SpectrumConcepts(config)
        self.text_concepts = TextConcepts(section_width, config.text_concepts)
        self.joint = Joint(config) if config.bridge_share != 0 else None

    def place(self, counts: Tensor, latents: Tensor) -> Tensor:
        """Return unit vectors of the shared space for spectra, (B, 400), (B, latent) -> (B, d)."""
        aligned = self.alignment.spectra(latents)
        return aligned if self.joint is None else self.joint(self.shown(counts), aligned)

    def read(self, told: Tensor, aligned: Tensor) -> Tensor:
        """Return unit vectors of the shared space for texts.

        Parameters
        ----------
        told : Tensor of float32, shape (B, N_CONCEPTS)
            Probabilities of the concepts that they say.
        aligned : Tensor of float32, shape (B, d)
            Their vectors after alignment.

        Returns
        -------
        Tensor of float32, shape (B, d)
            The latter, joined with what is said.
        """
        return aligned if self.joint is None else self.joint(self.said(told), aligned)

    def shown(self, counts: Tensor) -> Tensor:
        """Return what spectra show beyond expectation, (B, 400) -> (B, N_CONCEPTS)."""
        return beyond_expectation(self.spectrum_concepts(counts), self.spectrum_concepts.prior)

    def said(self, told: Tensor) -> Tensor:
        """Return what texts say beyond expectation, (B, N_CONCEPTS) -> the same."""
        return beyond_expectation(told, self.text_concepts.prior)
