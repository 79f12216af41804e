"""The API: training runs."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query

from unreel.report.run_record import RunRecord
from unreel.web.answers import CompareAnswer, RunAnswer, RunsAnswer, RunSummary, SettingDifference
from unreel.web.api_search import describe_problems
from unreel.web.context import WebContext
from unreel.web.run_service import find_differences

_NAME = Path(max_length=500, description="As in the list of runs.")


def build_run_router(context: WebContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api", tags=["runs"])

    @router.get("/runs")
    def get_runs() -> RunsAnswer:
        """List the training runs; none where none are shown."""
        runs = [summarize_run(name, record) for name, record in context.runs.read_all().items()]
        return RunsAnswer(runs=runs)

    @router.get("/runs/{name:path}", responses=describe_problems(404))
    def get_run(name: Annotated[str, _NAME]) -> RunAnswer:
        """Show a training run."""
        return show_run(name, context.runs.read(name))

    @router.get("/compare", responses=describe_problems(404, 422))
    def get_compare(
        run: Annotated[
            list[Annotated[str, Query(max_length=500)]],
            Query(min_length=2, max_length=8, description="Names of runs, two at least."),
        ],
    ) -> CompareAnswer:
        """Show runs side by side, and the settings in which they differ."""
        runs = [show_run(name, context.runs.read(name)) for name in run]
        differences = find_differences([answer.record["settings"] for answer in runs])
        return CompareAnswer(runs=runs, settings=[SettingDifference(**row) for row in differences])

    return router


def summarize_run(name: str, record: RunRecord) -> RunSummary:
    """Return a run as the list shows it."""
    return RunSummary(
        name=name,
        recipe=record.recipe,
        method=record.method,
        status=record.status,
        is_finished=record.is_finished,
        step=record.step,
        num_steps=record.num_steps,
        encoder_hash=record.encoder_hash,
        num_evaluations=len(record.evaluations),
    )


def show_run(name: str, record: RunRecord) -> RunAnswer:
    """Return a run with all that is known of it."""
    return RunAnswer(name=name, url=f"/runs/{quote(name)}", record=record.to_dict())
