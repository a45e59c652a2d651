"""The search layer as tools for language models: a Model Context Protocol server."""

import functools
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import Field, ValidationError

from common.errors import ChandraSearchError, InvalidQueryError
from common.variables import BY_NAME
from search.collections.schema import TOPIC_PROBABILITY
from search.filters.cone import Cone
from search.filters.filters import DetectionFilter, PaperFilter
from search.results import Estimate, Hit, Page, PageOptions, Target
from search.services import Services

P = ParamSpec("P")
R = TypeVar("R")
Json = dict[str, Any]

MAX_ANSWERS = 50
ABSTRACT_CHARACTERS = 600
NEIGHBOURS_SHOWN = 3
INSTRUCTIONS = """\
A store of X-ray detections (mostly of the Chandra Source Catalog) with their spectra, and of papers
about X-ray sources. Identifiers in answers (key, source_name, bibcode) are what the tools take.
Cosines say how alike things are, not how probable. What is `simulated` was never observed: say so.
Always give intervals together with estimates, and the bibcodes of papers that you use."""

DETECTION_FIELDS = (
    "key", "source_name", "telescope", "instrument", "obsid", "ra_deg", "dec_deg", "observed_at",
    "exposure_s", "counts", "hard_hs", "hard_ms", "flux_significance_b", "bibcodes", "simulated",
)  # fmt: skip
PAPER_FIELDS = (
    "bibcode", "title", "year", "journal", "source_names", TOPIC_PROBABILITY, "simulated",
)  # fmt: skip

Identifier = Annotated[
    str, Field(description="Key, source name or point id of a stored detection.", max_length=400)
]
Question = Annotated[str | None, Field(description="What to look for, in words.", max_length=2000)]
Like = Annotated[
    list[str],
    Field(
        description="Stored things the answers shall be like: keys, source names, bibcodes.",
        max_length=20,
    ),
]
Unlike = Annotated[
    list[str], Field(description="Stored things the answers shall be unlike.", max_length=20)
]
Circle = Annotated[
    str | None,
    Field(description='Circle on the sky, ICRS degrees: "10.68 41.27 5arcmin".', max_length=100),
]
Classes = Annotated[
    list[str],
    Field(
        description="SIMBAD object types (AGN, LXB, SNR, Star …), descendants included, any of "
        "them.",
        max_length=20,
    ),
]
Where = Annotated[
    str | None,
    Field(
        description="Condition on catalogue columns: hard_hs > 0.3 and flux_significance_b >= 5.",
        max_length=2000,
    ),
]
Year = Annotated[int | None, Field(ge=0, le=9999)]
Limit = Annotated[int, Field(ge=1, le=MAX_ANSWERS, description="Answers at most.")]
Cursor = Annotated[
    str | None,
    Field(description="next_cursor of the page before, same question.", max_length=20_000),
]

_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


def create_mcp(services: Services) -> MCPServer:
    """Return the server; ``run("stdio")`` answers on standard input and output until it closes."""
    server = _StrictServer(
        "chandra-search",
        title="X-ray spectra and the papers about them",
        instructions=INSTRUCTIONS,
        version=version("chandra-search"),
        log_level="WARNING",
    )
    tools = _Tools(services)
    for tool in (tools.search, tools.papers, tools.estimate, tools.describe):
        server.add_tool(_refusing(tool), annotations=_READS)
    return server


class _StrictServer(MCPServer):
    """A server that refuses arguments a tool does not have, where the package ignores them."""

    async def call_tool(
        self, name: str, arguments: Json, context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool by name with arguments."""
        takes = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}
        known = takes.get(name, arguments)
        if unknown := [argument for argument in arguments if argument not in known]:
            near = get_close_matches(unknown[0], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ToolError(f"{name} takes no argument {unknown[0][:40]!r}; {hint}")
        return await super().call_tool(name, arguments, context)


def _refusing(tool: Callable[P, R]) -> Callable[P, R]:
    """Let the model read our messages, which say what to do."""

    @functools.wraps(tool)
    def call(*args: P.args, **given: P.kwargs) -> R:
        try:
            return tool(*args, **given)
        except ChandraSearchError as exc:
            raise ToolError(str(exc)) from exc

    return call


class _Tools:
    """The tools; their docstrings and annotations are what the model is told."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def search(
        self,
        question: Question = None,
        like: Like = [],  # noqa: B006
        unlike: Unlike = [],  # noqa: B006
        cone: Circle = None,
        classes: Classes = [],  # noqa: B006
        exclude_classes: Classes = [],  # noqa: B006
        where: Where = None,
        limit: Limit = 10,
        cursor: Cursor = None,
    ) -> Json:
        """Find X-ray detections: by a sentence, by examples, in a circle on the sky, by a filter.

        Give either question or like (with unlike), or neither to list what fits cone, classes and
        where. All restrictions combine. Best first; next_cursor leads to the next page.
        """
        service = self._services.search
        wanted = _checked(
            DetectionFilter,
            classes=classes,
            exclude_classes=exclude_classes,
            where=where,
            cone=cone and Cone.parse(cone),
        )
        arrange = PageOptions(limit=limit, cursor=cursor)
        if question and (like or unlike):
            raise InvalidQueryError("question and like are two ways to ask: give one of them")
        if question:
            return _page(service.by_text(question, "detections", wanted, arrange), "detections")
        if like or unlike:
            found = service.by_examples(like, unlike, "detections", wanted, arrange)
            return _page(found, "detections")
        return _page(service.select("detections", wanted, arrange), "detections")

    def papers(
        self,
        question: Question = None,
        about: Annotated[
            str | None,
            Field(description="A stored detection or paper: papers that fit it.", max_length=400),
        ] = None,
        region: Circle = None,
        classes: Classes = [],  # noqa: B006
        year_from: Year = None,
        year_to: Year = None,
        author: Annotated[
            str | None, Field(description="Family name of an author.", max_length=200)
        ] = None,
        min_topic: Annotated[
            float | None,
            Field(ge=0, le=1, description="Lowest probability of being about X-ray sources."),
        ] = None,
        any_topic: Annotated[
            bool, Field(description="With about and region: papers on anything, too.")
        ] = False,
        limit: Limit = 10,
        cursor: Cursor = None,
    ) -> Json:
        """Find papers: by words (meaning and keywords), about a detection, or of a region of sky.

        Give one of question, about and region, or none to list what fits the other arguments.
        highlights are the sentences of a paper that fit the question best; topic_probability says
        how likely it is about X-ray sources. Papers about a detection and of a region are likely
        to be, unless any_topic; off_topic is how many were left out for that.
        """
        service = self._services.search
        wanted = _checked(
            PaperFilter,
            classes=classes,
            year_from=year_from,
            year_to=year_to,
            author=(author,) if author else (),
            min_topic=min_topic,
            any_topic=any_topic,
        )
        arrange = PageOptions(limit=limit, cursor=cursor)
        if sum(map(bool, (question, about, region))) > 1:
            raise InvalidQueryError(
                "question, about and region are three ways to ask: give one of them"
            )
        if question:
            found = service.by_text(question, "papers", wanted, arrange)
        elif about:
            found = service.like(about, "papers", wanted, arrange)
        elif region:
            found = service.papers_in(Cone.parse(region), wanted, arrange)
        else:
            found = service.select("papers", wanted, arrange)
        return _page(found, "papers")

    def estimate(self, identifier: Identifier) -> Json:
        """Estimate the 20 catalogue variables and the class of a stored detection's source.

        Estimates come from detections with similar spectra, not from the detection's own catalogue
        row, which stands beside as catalogue. interval_68 and interval_90 are calibrated prediction
        intervals. If outside is true the store knows nothing alike: do not trust the numbers.
        """
        subject = self._services.search.subject(identifier)
        estimates = self._services.estimator.estimate(subject)
        classes = self._services.classifier.classify(subject)
        return {
            "name": estimates.name,
            "outside": estimates.outside,
            "calibrated_on": estimates.calibrated_on,
            "variables": {
                name: _estimate(one)
                for name, one in estimates.estimates.items()
                if one.value is not None
            },
            "classes": [
                {"path": " > ".join(one.path), "probability": round(one.probability, 3)}
                for level in classes.levels
                for one in level[:NEIGHBOURS_SHOWN]
            ],
            "notes": list(dict.fromkeys((*estimates.notes, *classes.notes))),
        }

    def describe(self, identifier: Identifier) -> Json:
        """Characterise a stored detection in sentences, each with the evidence behind it."""
        described = self._services.describer.describe(self._services.search.subject(identifier))
        return {
            "name": described.name,
            "statements": [
                {"text": one.text, "references": list(one.references)}
                for one in described.statements
            ],
            "references": {
                one.label: _present(kind=one.kind, text=one.text, identifier=one.identifier)
                for one in described.references
            },
            "written_by": described.written_by,
            "notes": list(described.notes),
        }


FilterKind = TypeVar("FilterKind", DetectionFilter, PaperFilter)


def _checked(kind: type[FilterKind], **given: Any) -> FilterKind:  # noqa: ANN401
    try:
        return kind.model_validate(_present(**given))
    except ValidationError as exc:
        said = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InvalidQueryError("; ".join(said)) from exc


def _present(**fields: Any) -> Json:  # noqa: ANN401
    """Return the fields that say something: a model pays for every word it reads."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value is not False and value not in ("", [], ())
    }


def _page(page: Page, to: Target) -> Json:
    show = _detection if to == "detections" else _paper
    said = _present(next_cursor=page.cursor, off_topic=page.off_topic or None)
    return said | {"answers": [show(hit) for hit in page.hits]}


def _detection(hit: Hit) -> Json:
    return _ranking(hit) | _picked(hit.payload, DETECTION_FIELDS)


def _paper(hit: Hit) -> Json:
    abstract = str(hit.payload.get("abstract") or "")
    cut = abstract[:ABSTRACT_CHARACTERS] + ("…" if len(abstract) > ABSTRACT_CHARACTERS else "")
    return (
        _ranking(hit)
        | _picked(hit.payload, PAPER_FIELDS)
        | _present(highlights=list(hit.highlights), abstract="" if hit.highlights else cut)
    )


def _ranking(hit: Hit) -> Json:
    """Return what says why a hit stands where it does."""
    return _present(
        cosine=_rounded(hit.cosine),
        keyword_score=_rounded(hit.keyword_score),
        separation_arcsec=_rounded(hit.separation_arcsec),
        n_detections=hit.n_detections,
    )


def _picked(payload: Mapping[str, Any], names: Sequence[str]) -> Json:
    path = " > ".join(payload.get("class_path") or ())
    return _present(**{name: _rounded(payload.get(name)) for name in names}, class_path=path)


def _rounded(value: Any) -> Any:  # noqa: ANN401
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _estimate(one: Estimate) -> Json:
    return _present(
        unit=BY_NAME[one.variable].unit,
        interval_68=_ends(one.low_68, one.high_68),
        interval_90=_ends(one.low_90, one.high_90),
        intervals_from="simulated values" if one.interval_simulated else None,
    ) | {
        name: _rounded(value)
        for name, value in (("estimate", one.value), ("catalogue", one.stored))
        if value is not None
    }


def _ends(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [_rounded(low), _rounded(high)]
