"""``chandra-search search``: questions to the store."""

from pathlib import Path
from typing import Annotated

import typer

from cli.batch import batch
from cli.options.answer import Answering, give_page, opened
from cli.options.filters import FilterOptions
from cli.options.groups import Arranging, LongPaging, Paging, Place, grouped
from cli.options.spectrum_input import Reading
from search.filters.cone import Cone
from search.results import Ranking, Target

app = typer.Typer(
    no_args_is_help=True, help="Ask by text, by spectrum, by example, by place on the sky."
)

To = Annotated[Target, typer.Option(help="What to look for.")]
Rank = Annotated[
    Ranking,
    typer.Option(
        help="How papers are compared with the words: by meaning (dense), by keywords, or both."
    ),
]
Circle = Annotated[
    str,
    typer.Argument(
        metavar="CIRCLE",
        help='Right ascension and declination (ICRS degrees), radius: "10.68 41.27 5arcmin".',
    ),
]


@app.command()
@grouped
def text(
    question: Annotated[str, typer.Argument(help="What you look for, in words.")],
    narrowing: FilterOptions,
    arranging: Arranging,
    how: Answering,
    place: Place,
    to: To = "detections",
    ranking: Rank = "hybrid",
) -> None:
    """Find the spectra, or the papers, that fit a sentence.

    Example: chandra-search search text "obscured active nucleus with an iron line" --class AGN

    Example: chandra-search search text "soft thermal plasma" --range hard_hs::-0.5 --all
    --output soft.vot
    """
    wanted = narrowing.filter(to)
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.by_text(question, to, wanted, arrange, ranking),
            to,
            question,
            arranging,
            how,
        )


@app.command()
@grouped
def spectrum(
    path: Annotated[
        Path, typer.Argument(help="PHA file or event list, or text of 400 counts (--exposure).")
    ],
    reading: Reading,
    narrowing: FilterOptions,
    arranging: Arranging,
    how: Answering,
    place: Place,
    to: To = "detections",
) -> None:
    """Find the spectra, or the papers, nearest to a spectrum.

    Example: chandra-search search spectrum source.pi --to papers

    Example: chandra-search search spectrum counts.txt --exposure 49500 --exclude-class Star
    """
    wanted = narrowing.filter(to)
    one = reading.spectrum(path)
    counts = one.binned_counts()
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.by_spectrum(
                counts, one.exposure_s, to, wanted, arrange
            ),
            to,
            path.name,
            arranging,
            how,
        )


@app.command()
@grouped
def like(
    identifier: Annotated[
        str, typer.Argument(help="Id, key, source name or bibcode in the store.")
    ],
    narrowing: FilterOptions,
    arranging: Arranging,
    how: Answering,
    place: Place,
    to: To = "detections",
) -> None:
    """Find what is like a stored detection or paper; its own source is left out.

    Example: chandra-search search like "2CXO J183333.5-103407" --to papers
    """
    wanted = narrowing.filter(to)
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.like(identifier, to, wanted, arrange),
            to,
            f"like {identifier}",
            arranging,
            how,
        )


@app.command()
@grouped
def examples(
    identifiers: Annotated[
        list[str], typer.Argument(help="Ids, keys, source names or bibcodes: like these.")
    ],
    narrowing: FilterOptions,
    arranging: Arranging,
    how: Answering,
    place: Place,
    unlike: Annotated[list[str] | None, typer.Option(help="Unlike this one; repeatable.")] = None,
    to: To = "detections",
) -> None:
    """Find what is like these and unlike those; the sources of the examples are left out.

    Example: chandra-search search examples csc2.0/459/0/1 csc2.0/1575/1/475 --unlike
    "2CXO J183333.5-103407"
    """
    wanted = narrowing.filter(to)
    title = f"like {', '.join(identifiers)}" + (f", unlike {', '.join(unlike)}" if unlike else "")
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.by_examples(
                identifiers, unlike or (), to, wanted, arrange
            ),
            to,
            title,
            arranging,
            how,
        )


@app.command()
@grouped
def cone(
    circle: Circle, narrowing: FilterOptions, paging: LongPaging, how: Answering, place: Place
) -> None:
    """List the detections in a circle on the sky, nearest to its centre first.

    Example: chandra-search search cone "10.68 41.27 5arcmin" --class XB* --samp

    Example: chandra-search search cone "180.47 -18.88 2arcmin" --output antennae.vot
    """
    where, wanted = Cone.parse(circle), narrowing.detections()
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.cone(where, wanted, arrange.limit, arrange.cursor),
            "detections",
            f"cone {circle}",
            paging,
            how,
        )


@app.command()
@grouped
def region(
    circle: Circle, narrowing: FilterOptions, paging: Paging, how: Answering, place: Place
) -> None:
    """Find the papers about the sources in a circle on the sky.

    Example: chandra-search search region "266.42 -29.01 2arcmin" --from 2010
    """
    where, wanted = Cone.parse(circle), narrowing.papers()
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.papers_in(where, wanted, arrange),
            "papers",
            f"papers in {circle}",
            paging,
            how,
            "no paper is linked with a detection in this circle: widen it, loosen the filter, or "
            "see with `chandra-search search cone` what lies there",
        )


@app.command()
@grouped
def papers(
    narrowing: FilterOptions,
    arranging: Arranging,
    how: Answering,
    place: Place,
    question: Annotated[
        str | None, typer.Argument(help="What they shall be about; none: list them all.")
    ] = None,
    ranking: Rank = "hybrid",
) -> None:
    """Search the literature, by meaning and by keywords, or list the papers that fit a filter.

    Example: chandra-search search papers "type I bursts" --author Galloway --from 2005

    Example: chandra-search search papers --source "2CXO J004242.9+411543"
    """
    wanted = narrowing.papers()
    with opened(place.settings()) as services:
        search = services.search
        give_page(
            lambda arrange: (
                search.by_text(question, "papers", wanted, arrange, ranking)
                if question is not None
                else search.select("papers", wanted, arrange)
            ),
            "papers",
            question or "papers",
            arranging,
            how,
        )


@app.command()
@grouped
def detections(narrowing: FilterOptions, paging: Paging, how: Answering, place: Place) -> None:
    """List the detections that fit a filter, without a question.

    Example: chandra-search search detections --class LXB --has bb_kt --all --output binaries.ecsv
    """
    wanted = narrowing.detections()
    with opened(place.settings()) as services:
        give_page(
            lambda arrange: services.search.select("detections", wanted, arrange),
            "detections",
            "detections",
            paging,
            how,
        )


app.command()(batch)
