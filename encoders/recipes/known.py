"""The recipes by name."""

from types import MappingProxyType
from typing import Final

from encoders.config import TrainingConfig
from encoders.recipes.ours import OurRecipe
from encoders.recipes.paper import PaperRecipe
from encoders.recipes.recipe import Recipe

RECIPES: Final = MappingProxyType[str, Recipe]({"ours": OurRecipe(), "paper": PaperRecipe()})


def recipe_of(config: TrainingConfig) -> Recipe:
    """Return the recipe that hyperparameters are of.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if config.recipe not in RECIPES:
        raise ValueError(f"recipe {config.recipe!r}: known are {', '.join(RECIPES)}")
    return RECIPES[config.recipe]
