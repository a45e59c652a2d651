"""``--recipe`` and ``--profile``: whose model is trained, and how much time it may take."""

from typing import Annotated

import typer

from encoders.config import Profile, RecipeName


def _profile(name: str) -> Profile:
    """Return the profile of a name; who asks for one that has another name now is told so."""
    if name == "paper":
        raise typer.BadParameter(
            "'paper' is called 'standard' now; the model of arXiv:2603.04516 as printed is "
            "--recipe paper."
        )
    try:
        return Profile(name)
    except ValueError as exc:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(Profile)}.") from exc


RecipeOption = Annotated[
    RecipeName,
    typer.Option(help="ours, or paper: the model of arXiv:2603.04516 as printed, to compare with."),
]
ProfileOption = Annotated[
    Profile,
    typer.Option(
        parser=_profile,
        metavar=f"[{'|'.join(Profile)}]",
        help="quick: new heads on the autoencoder of --start; standard: that autoencoder trained "
        "on, an ensemble of 4; best: longer, an ensemble of 8.",
    ),
]
