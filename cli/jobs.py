"""``chandra-search jobs``: how far continuous ingestion is, and what failed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from cli.console import answers, errors, print_json, say, table_of
from cli.options.store import AsJson, Bundle, DataDir, settings_for
from common.errors import NotFoundError, StoreLockedError
from search.app import open_store, open_uploads
from search.collections.schema import INGEST_LOG
from search.settings import SearchSettings
from workers.bootstrap import open_flow
from workers.inprocess import drain
from workers.ledger.items import State
from workers.ledger.ledger import Ledger
from workers.redis_client import shared_redis
from workers.settings import get_settings
from workers.status import failed_items, said_of, status_of
from workers.steps.flow import OPTIMIZE

app = typer.Typer(
    no_args_is_help=True, help="See how far continuous ingestion is, and retry what failed."
)

Feed = Annotated[str | None, typer.Option("--feed", help="Only this feed: csc, cda or ads.")]


@app.command()
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say how far each feed is, and when each job of the schedule ran and is next.

    Example: chandra-search jobs status --json
    """
    with _ledger(settings_for(data_dir)) as ledger:
        said = status_of(ledger, get_settings())
    if as_json:
        print_json(said)
    else:
        answers.print(_shown(said))


@app.command()
def watch(
    data_dir: DataDir = None,
    every_s: Annotated[float, typer.Option("--every", min=0.5, help="Seconds.")] = 2.0,
) -> None:
    """Show the same again and again until Ctrl-C.

    Example: chandra-search jobs watch --every 5
    """
    with _ledger(settings_for(data_dir)) as ledger, Live(console=answers) as live:
        try:
            while True:
                live.update(_shown(status_of(ledger, get_settings())))
                time.sleep(every_s)
        except KeyboardInterrupt:
            return


@app.command()
def failed(
    feed: Feed = None,
    limit: Annotated[int, typer.Option(min=1, help="Items at most.")] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what failed or is set aside, each with its reason.

    Example: chandra-search jobs failed --feed csc
    """
    with _ledger(settings_for(data_dir)) as ledger:
        total, items = failed_items(ledger, feed, limit)
    if as_json:
        print_json({"total": total, "items": [said_of(item) for item in items]})
        return
    table = table_of("feed", "key", "state", "tried", "again at", "reason")
    for item in items:
        tried = item.deliveries if item.state == State.QUARANTINED else item.attempts
        again = f"{item.retry_at:%Y-%m-%d %H:%M}" if item.retry_at else "never"
        table.add_row(item.feed, item.key, item.state, f"{tried}", again, item.error)
    answers.print(table)
    if total > len(items):
        say(f"… and {total - len(items):,} more; give a higher --limit")


@app.command()
def retry(
    feed: Feed = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="Only this item; may be repeated.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let what failed or is set aside be tried afresh, as if it had never been tried.

    Example: chandra-search jobs retry --feed csc --key csc2.1/635/0/12
    """
    with _ledger(settings_for(data_dir)) as ledger:
        n = ledger.retry(feed, keys)
    if as_json:
        print_json({"retried": n})
    else:
        answers.print(f"{n:,} items will be tried again")


@app.command()
def poll(
    feed: Annotated[str, typer.Argument(help="csc, cda or ads.")],
    data_dir: DataDir = None,
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Ask an archive now, and ingest what is new in this process; nothing else need run.

    Where CHANDRA_REDIS_URL is set, it keeps to the pace at which workers and it may ask together.

    Example: chandra-search jobs poll ads
    """
    ours = get_settings()
    with (
        shared_redis(ours.redis_url) as client,
        open_flow(settings_for(data_dir, bundle), ours, client) as flow,
    ):
        flow.free()
        with errors.status(f"asking {feed} …"):
            found = flow.discover(feed)
        with errors.status(f"{found:,} items are new or changed; ingesting …"):
            drain(flow)
        with errors.status("indexing …"):
            flow.run(OPTIMIZE, now=True)
        counts = flow.ledger.counts().get(feed, {})
    if as_json:
        print_json({"found": found, "counts": counts})
    else:
        answers.print(f"{found:,} new or changed; now {_listed(counts)}")


@app.command()
def uploads(
    limit: Annotated[int, typer.Option(min=1, help="Uploads at most, the newest.")] = 20,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what was sent over HTTP to be ingested, also while the store is in use.

    Example: chandra-search jobs uploads --json
    """
    folder = open_uploads(settings_for(data_dir))
    told = [(job, folder.report(job.id)) for job in folder.every()[-limit:]]
    if as_json:
        print_json(
            [
                {**job.model_dump(mode="json", exclude={"owner"}), **report.model_dump(mode="json")}
                for job, report in told
            ]
        )
        return
    table = table_of("job", "sent", "what", "state", "ingested", "unchanged", "refused", "reason")
    for job, report in told:
        numbers = (f"{n:,}" for n in (report.ingested, report.unchanged, report.refused))
        sent = _short(job.created_at.isoformat())
        table.add_row(job.id, sent, job.kind, report.state, *numbers, report.reason or "")
    answers.print(table)


@contextmanager
def _ledger(settings: SearchSettings) -> Iterator[Ledger]:
    try:
        store = open_store(settings)
    except StoreLockedError as exc:
        raise StoreLockedError(
            f"{exc}. If that is `serve --ingest`, it tells the same at /v1/admin/jobs"
        ) from exc
    with store:
        if INGEST_LOG not in store.collections():  # who only looks makes none
            raise NotFoundError(
                "no archive was polled yet: start `serve --ingest` or workers, or `jobs poll`"
            )
        yield Ledger(store)


def _shown(said: dict[str, Any]) -> Group:
    feeds = table_of("items", *said["feeds"])
    of_all = said["feeds"].values()
    for state in State:
        feeds.add_row(state, *(f"{one['counts'].get(state, 0):,}" for one in of_all))
    feeds.add_section()
    feeds.add_row("complete up to", *(one["watermark"] or "-" for one in of_all))
    feeds.add_row("polled", *(_short(one["polled_at"]) for one in of_all))
    feeds.add_row("note", *(one["error"] or "" for one in of_all))
    schedule = table_of("job", "done", "next", "failures", "reason")
    for name, job in said["jobs"].items():
        running = job["running_until"] and datetime.fromisoformat(job["running_until"]) > _now()
        again = "runs" if running else _short(job["next_at"], "due")
        reason = job["error"] or ""
        schedule.add_row(name, _short(job["done_at"]), again, f"{job['attempts']}", reason)
    return Group(feeds, schedule)


def _short(time: str | None, absent: str = "never") -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}" if time else absent


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {state}" for state, n in counts.items()) or "nothing"


def _now() -> datetime:
    return datetime.now(UTC)
