"""Following rounds through all that is done, without building anything."""

from collections.abc import Mapping

from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from pkd_core.store.catalog import published_manifest
from pkd_core.store.stage_store import StageStatus, StageStore


class NotDoneError(Exception):
    """Some stage of a plan is not done: what comes after it is not known."""


def records_of(plan: Plan) -> dict[str, StageRecord]:
    """Return the records of those stages of a plan that are done, by key.

    Raises:
        StoreError: A manifest cannot be read.
    """
    store = StageStore(plan.workspace)
    return {
        one.stage.key: store.record(
            one.stage.address, published_manifest(plan.workspace / one.stage.address.folder)
        )
        for one in plan.stages
        if one.status is StageStatus.DONE
    }


def look_up(plan: Plan, _known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
    """Return the records of a plan whose stages are all done, in place of building it.

    Raises:
        NotDoneError: One is not.
        StoreError: A manifest cannot be read.
    """
    if plan.todo:
        raise NotDoneError
    return records_of(plan)
