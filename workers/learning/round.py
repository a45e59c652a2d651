"""One round of learning, in a folder that keeps what was done: repeated, it goes on from there.

Three steps. `Round.begin` reads the store into a dataset of the round's own, so that the store may
grow, or be used by others, meanwhile. `Round.work` needs no store: it trains a new bundle, then
scores it and the store's on what was held out. `Round.end` changes the store to the new one if that
is better beyond chance, and files the report.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from common.errors import InputError, NotFoundError
from common.ports import Progress, no_progress
from ingest.dataset.dataset import write_dataset
from ingest.simulation.mixing import default_share
from search.app import keep_bundle, keep_current_bundle, kept_bundle
from search.collections.schema import model_of
from search.collections.training_pairs import stored_pairs
from search.settings import SearchSettings
from search.store.base import Store
from search.store.lock import StoreLock
from workers.learning.files import draft_of, write_text, writing
from workers.learning.plan import Plan, Wish, check_enough, only_simulated
from workers.learning.work import DATASET, PLAN, Load, Train, Work
from workers.maintenance.reindex import GRACE_S, drop_old, open_reindex
from workers.writing.dual_write import read_state

FOLDER = "learning"
REPORTS = "reports"

Decision = Literal["switched", "kept the old one", "better, not switched"]

_UNDER_WAY = "round"
_BUSY = (
    "a round of learning is under way in {folder}, by {holder}: wait until it has ended, or stop "
    "that process and repeat the command, which goes on from there"
)


class Round:
    """A round of learning in ``DATA_DIR/learning``; two at once are refused.

    Parameters
    ----------
    data_dir : Path
        Data folder of the store.
    load, train : callable or None
        As for `Work`.
    """

    def __init__(
        self, data_dir: Path, load: Load | None = None, train: Train | None = None
    ) -> None:
        self.folder = data_dir / FOLDER
        self.work = Work(self.folder / _UNDER_WAY, load, train)
        self._lock = StoreLock(self.folder, _BUSY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def begin(
        self,
        store: Store,
        settings: SearchSettings,
        wish: Wish | None = None,
        progress: Progress = no_progress,
    ) -> Plan:
        """Read what there is to learn from, or go on with a round that was broken off.

        Raises
        ------
        NotFoundError
            If nothing is stored.
        InvalidTableError
            If there are too few pairs.
        InputError
            If the round under way was begun with other wishes, or the store is changing its model.
        """
        plan = self._under_way(store, wish)
        if plan is not None:
            return plan
        state = read_state(store)
        if state is not None and state.phase in ("filling", "ending"):
            raise InputError(
                f"the store is changing to model {state.new}: complete that first, see "
                "`chandra-search reindex --status`"
            )
        if model_of(store) is None:
            raise NotFoundError("nothing is stored yet: there is nothing to learn from")
        dataset, notes = stored_pairs(store, progress)
        check_enough(dataset, tuple(notes))
        wish = wish or Wish()
        share = wish.simulated_share
        with writing(self.folder):
            old = str(keep_current_bundle(store, settings))
            plan = Plan(
                begun=datetime.now(UTC).isoformat(timespec="seconds"),
                old=old,
                old_bundle=str(kept_bundle(settings, old).resolve()),
                wish=wish,
                simulated_share=default_share(dataset) if share is None else share,
                n_detections=len(dataset),
                n_sources=dataset.n_sources,
                n_texts=len(dataset.texts),
                simulated=dataset.simulated,
                notes=(*notes, *only_simulated(dataset)),
            )
            draft = draft_of(self.work.folder)
            draft.mkdir(parents=True)
            write_dataset(dataset, draft / DATASET)
            (draft / PLAN).write_text(plan.to_json(), encoding="utf-8")
            draft.rename(self.work.folder)
        return plan

    def _under_way(self, store: Store, wish: Wish | None) -> Plan | None:
        """Return the plan of a round that was broken off, if the store is still what it was."""
        if not (self.work.folder / PLAN).exists():
            return None
        plan = Plan.from_json(self.work.folder / PLAN)
        if model_of(store) not in (plan.old, self._new_model()):
            shutil.rmtree(self.work.folder)  # somebody else has changed the model
            return None
        if wish not in (None, plan.wish):
            raise InputError(
                f"{self.work.folder} holds a round that was broken off, begun {plan.begun} with "
                f"{plan.wish}: repeat its command to complete it, or remove the folder"
            )
        return plan

    def _new_model(self) -> str | None:
        """Return the new model, once it is scored."""
        return str(self.work.report()["new"]["model_id"]) if self.work.is_done() else None

    def copy_bundle(self, out: Path) -> None:
        """Copy the new bundle to a folder, which is new or empty."""
        with writing(out):
            shutil.copytree(self.work.bundle, out, dirs_exist_ok=True)

    def end(
        self,
        store: Store,
        settings: SearchSettings,
        switch: bool = True,
        progress: Progress = no_progress,
    ) -> dict[str, Any]:
        """Change the store to the new model if it is better, and file the report.

        Parameters
        ----------
        store : Store
            The store, open.
        settings : SearchSettings
            Where it is.
        switch : bool
            False files the report and changes nothing; a better bundle is kept beside the store.
        progress : callable
            Told how far the reindex is.

        Returns
        -------
        dict
            The report, with what was decided.
        """
        report = self.work.report()
        new, bundle = report["new"]["model_id"], self.work.bundle
        decision: Decision = "kept the old one"
        if report["better"] and switch:
            if model_of(store) != new:
                _end_former_change(store, new, progress)
                open_reindex(store, settings, bundle).run(progress)
            decision = "switched"
        elif report["better"]:
            keep_bundle(settings, bundle, new)
            decision = "better, not switched"
        report |= {
            "decision": decision,
            "bundle": str(kept_bundle(settings, new)) if report["better"] else None,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with writing(self.folder):
            filed = self.folder / REPORTS / f"{report['ended'].replace(':', '')}.json"
            filed.parent.mkdir(exist_ok=True)
            write_text(filed, json.dumps(report, indent=2))
            shutil.rmtree(self.work.folder)
        return {**report, "report": str(filed)}


def _end_former_change(store: Store, new: str, progress: Progress) -> None:
    """End the change of an earlier round, whose old model could be gone back to until now."""
    state = read_state(store)
    if state is not None and state.new != new:
        # Who answers elsewhere has to notice first; an embedded store has no elsewhere.
        drop_old(store, grace_s=0 if store.engine == "embedded" else GRACE_S, progress=progress)
