from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.evaluate.test_localization_result import propose_truth
from tests.features.localization_files import write_catalog
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.evaluate.soft_nms import ScoredSegments
from unreel.report.timeline import (
    Timeline,
    build_timelines,
    draw_timelines,
    find_lanes,
    save_timelines,
    timelines_to_json,
)

PATH = Path("p.json")


@pytest.fixture(scope="module")
def catalog(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return Catalog.load(write_catalog(corpus, tmp_path_factory.mktemp("catalog")))


def build(**changes: object) -> Timeline:
    values: dict[str, object] = {
        "path": "a.mp4",
        "seconds": 10.0,
        "truth_S2": np.array([[1.0, 3.0], [5.0, 9.0]]),
        "labels": ("jump", "run $x"),
        "proposals_K2": np.array([[1.0, 3.5], [0.0, 9.0]]),
        "scores_K": np.array([0.9, 0.1]),
        "iou_K": np.array([0.8, 4 / 9]),
    }
    return Timeline(**(values | changes))  # type: ignore[arg-type]


def test_a_video_is_shown_with_as_many_proposals_as_it_has_segments(catalog: Catalog) -> None:
    proposals = propose_truth(catalog)
    worse = np.vstack([proposals["01"].segments_K2, [[0.0, 8.0]]])
    proposals["01"] = ScoredSegments(worse, np.array([0.9, 0.8, 0.1]))
    timelines = build_timelines(PATH, proposals, catalog, num_videos=2)
    assert [timeline.path for timeline in timelines] == ["00.mp4", "01.mp4"]
    first, second = timelines
    assert len(first.scores_K) == 1
    assert (len(second.scores_K), second.labels, second.seconds) == (2, ("event", "event"), 8.0)
    assert second.iou_K == pytest.approx([1.0, 1.0])
    segments = [[s.start_sec, s.end_sec] for s in catalog.video(1).segments]
    assert second.truth_S2 == pytest.approx(np.array(segments))
    (more,) = build_timelines(PATH, proposals, catalog, videos=["01.mp4"], top=3)
    longest = max(end - start for start, end in segments)
    assert more.iou_K[2] == pytest.approx(longest / 8)
    (by_id,) = build_timelines(PATH, proposals, catalog, videos=[catalog.ids[5]])
    assert by_id.path == "05.mp4"


def test_videos_without_proposals_or_of_other_names_are_refused(catalog: Catalog, corpus: Path) -> None:
    proposals = propose_truth(catalog)
    del proposals["02"]
    with pytest.raises(CatalogError, match=r"p.json has no proposals for 02.mp4; take others"):
        build_timelines(PATH, proposals, catalog, videos=["02.mp4"])
    with pytest.raises(CatalogError, match=r"the catalog has no video 'x.mp4'"):
        build_timelines(PATH, proposals, catalog, videos=["x.mp4"])
    with pytest.raises(CatalogError, match="has no proposals for any video with segments"):
        build_timelines(PATH, proposals, Catalog.load(corpus))
    with pytest.raises(ValueError, match="num_videos must be at least 1 and top at least 0, got 0 and 0"):
        build_timelines(PATH, proposals, catalog, num_videos=0)


def test_segments_stand_above_proposals_and_colours_tell_what_was_found() -> None:
    figure = draw_timelines([build(), build(path="b.mp4")])
    assert len(figure.axes) == 2
    bars = [
        (round(bar.get_x(), 3), round(bar.get_width(), 3), bar.get_y() > 1, to_hex(bar.get_facecolor()))
        for bar in figure.axes[0].patches
    ]
    assert bars == [
        (1.0, 2.0, True, "#20639b"),
        (5.0, 4.0, True, "#20639b"),
        (1.0, 2.5, False, "#e07b39"),
        (0.0, 9.0, False, "#9aa5b1"),
    ]
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["jump", "run $x", "0.9", "0.1"]
    heights = [bar.get_y() + bar.get_height() / 2 for bar in figure.axes[0].patches]
    assert heights == pytest.approx([1.5, 1.5, 0.75, 0.25])
    assert figure.axes[0].get_xlim() == (0.0, 10.0)
    assert figure.axes[1].get_xlabel() == "seconds"


def test_stretches_that_overlap_have_lanes_of_their_own() -> None:
    segments = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0], [1.5, 3.5], [3.0, 5.0]])
    assert find_lanes(segments) == [0, 1, 0, 2, 1]
    assert find_lanes(np.empty((0, 2))) == []


def test_narrow_bars_have_no_word() -> None:
    narrow = build(proposals_K2=np.array([[1.0, 1.3], [4.0, 4.4]]))
    words = [text.get_text() for text in draw_timelines([narrow]).axes[0].texts]
    assert words == ["jump", "run $x", "0.1"]


def test_the_same_timelines_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png"):
        save_timelines([build()], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(ValueError, match=r"must end in .png or .svg"):
        save_timelines([build()], tmp_path / "a.pdf")


def test_odd_names_and_no_segments_can_be_drawn(tmp_path: Path) -> None:
    odd = build(
        path="x" * 200 + "\n語.mp4",
        truth_S2=np.empty((0, 2)),
        labels=(),
        iou_K=np.zeros(2),
    )
    save_timelines([odd], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_numbers_are_kept_as_json() -> None:
    (video,) = timelines_to_json([build()])["videos"]  # type: ignore[misc]
    assert video["segments"][0] == {"segment": [1.0, 3.0], "label": "jump"}
    assert video["proposals"][0] == {"segment": [1.0, 3.5], "score": 0.9, "tiou": 0.8}
    assert (video["path"], video["seconds"]) == ("a.mp4", 10.0)
