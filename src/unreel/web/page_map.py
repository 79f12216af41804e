"""What the page of the map shows without scripts: how it is made, its legend, and its points as a table."""

from collections.abc import Mapping
from typing import Any, Literal

from starlette.datastructures import QueryParams

from unreel.web.collection import list_filters
from unreel.web.context import WebContext
from unreel.web.page_state import list_pages, read_count

WAYS = (("pca", "PCA"), ("tsne", "t-SNE"))
NUM_COLOURS = 10
NUM_LABELS = 2 * NUM_COLOURS
"""Labels with a mark of their own; the second round of colours comes with other forms."""
FORMS = (
    "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "M-.9-.9H.9V.9H-.9Z",
    "M0-1.25 1.15.85H-1.15Z",
    "M0-1.3 1.3 0 0 1.3-1.3 0Z",
    "M-.4-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
)
"""Outlines of the marks around 0, as paths of SVG: circle, square, triangle, diamond, cross."""
_ROWS = 100


def show_map(context: WebContext, params: QueryParams) -> dict[str, Any]:
    """Return what the page of the map shows; asking begins to compute the map.

    Args:
        context: what is served.
        params: of the page's address: ``method``, and ``page`` of the table.

    Raises:
        Problem: the page makes no sense (422), too many maps are waiting (429), the index is gone (503).
    """
    method: Literal["pca", "tsne"] = "tsne" if params.get("method") == "tsne" else "pca"
    number = read_count(params, "page", 1, 10**6)
    found = context.maps.get(context.index().store, method)
    counts = {own.value: own.videos for own in list_filters(context).labels if own.value}
    waiting = {"ready": "", "computing": "Computing the map", "failed": f"There is no map: {found.reason}"}
    if not found.total:
        waiting = dict.fromkeys(waiting, "There is no video in this index yet.")
    is_part = 0 < found.shown < found.total
    shown = f"{found.shown:,} of {found.total:,}" if is_part else f"{found.total:,}"
    return {
        "page": "Map",
        "method": method,
        "methods": WAYS,
        "told": f"{shown} videos; those that resemble each other lie close together",
        "waiting": waiting[found.state],
        "legend": list_legend(counts),
        "rest": _tell_rest(len(counts)),
        "forms": FORMS,
        "points": found.points[(number - 1) * _ROWS : number * _ROWS],
        "pages": list_pages(number, len(found.points), f"/map?method={method}", size=_ROWS),
    }


def list_legend(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the most frequent labels, each with a colour and a form that no other label has both of.

    Args:
        counts: videos by label.
    """
    ranked = sorted(counts, key=lambda label: (-counts[label], label))[:NUM_LABELS]
    return [
        {
            "label": label,
            "videos": counts[label],
            "ink": rank % NUM_COLOURS,
            "form": FORMS[(rank + rank // NUM_COLOURS) % len(FORMS)],
        }
        for rank, label in enumerate(ranked)
    ]


def _tell_rest(num_labels: int) -> str:
    if num_labels > NUM_LABELS:
        return f"{num_labels - NUM_LABELS} more labels, and videos without one"
    return "videos without a label"
