"""Options that several commands share, spelled once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from search.settings import SearchSettings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of the store. Default: $CHANDRA_DATA_DIR, else ./data.",
        show_default=False,
    ),
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        help="Model bundle to encode with. Default: $CHANDRA_BUNDLE, else the one shipped.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON document on standard output.")
]


def settings_for(data_dir: Path | None, bundle: Path | None = None, **more: Any) -> SearchSettings:  # noqa: ANN401
    """Return the settings: options win over ``CHANDRA_*`` variables, these over defaults."""
    given = {"data_dir": data_dir, "bundle": bundle, **more}
    return SearchSettings(**{name: value for name, value in given.items() if value is not None})
