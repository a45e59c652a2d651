"""Our recipe, docs/decisions/0005: counts, catalogue values, sentences and numbers."""

from collections.abc import Callable, Mapping

from common.ports import Float32Array
from encoders.alignment import Alignment, HeadPair
from encoders.autoencoder import SpectrumAutoencoder
from encoders.config import TrainingConfig
from encoders.fitting.fit_alignment import FitHeads, Pairs, fit_pair
from encoders.text.sentences import SentenceSets


class OurRecipe:
    """See `encoders.recipes.recipe.Recipe`."""

    def autoencoder(self, config: TrainingConfig) -> SpectrumAutoencoder:
        """Return an autoencoder of shape, counts and catalogue variables."""
        return SpectrumAutoencoder(config)

    def shared_space(self, section_width: int, config: TrainingConfig) -> Alignment:
        """Return an ensemble that reads whitened sentences and is merged into one vector."""
        return Alignment(section_width, config)

    def shared_width(self, config: TrainingConfig) -> int:
        """Return the width of one member: the ensemble is turned back into it."""
        return config.shared

    def heads(self, text_width: int, config: TrainingConfig) -> HeadPair:
        """Return one member."""
        return HeadPair(text_width, config)

    def text_inputs(
        self, sentences: SentenceSets, sections: Callable[[], Float32Array]
    ) -> SentenceSets:
        """Return the sentences, whatever section they stand in."""
        return sentences

    def fitting(self, pairs: Mapping[str, Pairs]) -> FitHeads:
        """Return `fit_pair`, which tunes the temperature on the training pairs."""
        return fit_pair
