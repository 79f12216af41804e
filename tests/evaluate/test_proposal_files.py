import json
from pathlib import Path

import numpy as np
import pytest

from unreel.data.catalog import Catalog
from unreel.errors import UnreelError
from unreel.evaluate.proposal_files import (
    VideoProposals,
    match_videos,
    name_videos,
    read_proposals,
    write_proposals,
)
from unreel.evaluate.soft_nms import ScoredSegments


def build(path: str, segments: list[list[float]], scores: list[float]) -> VideoProposals:
    found = ScoredSegments(np.array(segments, dtype=float).reshape(-1, 2), np.array(scores, dtype=float))
    return VideoProposals("0" * 16, path, 10.0, found)


def test_the_file_has_the_form_of_activitynet(tmp_path: Path) -> None:
    proposals = [build("a/v_x1.mp4", [[1.5, 4.0], [0.0, 9.0]], [0.75, 0.25]), build("a/v_y2.mkv", [], [])]
    write_proposals(tmp_path / "p.json", proposals, details="vectors of e")
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "version": "VERSION 1.3",
        "results": {
            "x1": [{"score": 0.75, "segment": [1.5, 4.0]}, {"score": 0.25, "segment": [0.0, 9.0]}],
            "y2": [],
        },
        "external_data": {"used": True, "details": "vectors of e"},
    }
    read = read_proposals(tmp_path / "p.json")
    assert read["x1"].segments_K2.tolist() == [[1.5, 4.0], [0.0, 9.0]]
    assert read["x1"].scores_K.tolist() == [0.75, 0.25]
    assert read["y2"].segments_K2.shape == (0, 2)


def test_proposals_of_other_programs_are_sorted(tmp_path: Path) -> None:
    listed = [
        {"segment": [0, n], "score": score, "label": "x"} for n, score in ((1, 0.1), (2, 0.9), (3, 0.9))
    ]
    (tmp_path / "p.json").write_text(json.dumps({"results": {"a": listed}}))
    read = read_proposals(tmp_path / "p.json")["a"]
    assert read.segments_K2[:, 1].tolist() == [2, 3, 1]
    assert (np.diff(read.scores_K) <= 0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", 'has no "results"'),
        ('{"results": []}', 'has no "results"'),
        ('{"results": {"a": 3}}', "proposal 0 of video 'a' is None; it must have a score and a segment"),
        ('{"results": {"a": [{"segment": [1, 2]}]}}', "must have a score and a segment of two numbers"),
        ('{"results": {"a": [{"segment": [1, 2, 3], "score": 1}]}}', "must have a score and a segment"),
        ('{"results": {"a": [{"segment": [1, "x"], "score": 1}]}}', "must have a score and a segment"),
        ('{"results": {"a": [{"segment": "12", "score": 1}]}}', "must have a score and a segment"),
        (
            '{"results": {"a": [{"segment": [2, 1], "score": 1}]}}',
            r"reaches from 2.0 to 1.0 s with score 1.0",
        ),
        ('{"results": {"a": [{"segment": [-1, 1], "score": 1}]}}', r"reaches from -1.0 to 1.0 s"),
        ('{"results": {"a": [{"segment": [0, 1], "score": NaN}]}}', "numbers must be finite"),
        ("[" * 100_000, "cannot be read as JSON: it is nested too deeply"),
        (
            '{"results": {"a": [{"segment": [0, 1], "score": 1' + "0" * 400 + "}]}}",
            r"proposal 0 of video 'a' is \{'score': 10+\.\.\.0+, 'segment': \[0, 1\]\}; it must have a score",
        ),
        (
            '{"results": {"a": [{"segment": [0, 1' + "0" * 400 + '], "score": 1}]}}',
            "must have a score and a seg",
        ),
        ('{"results": {"a": [{"segment": [0, 1' + "0" * 5000 + '], "score": 1}]}}', "cannot be read as JSON"),
    ],
)
def test_what_is_no_list_of_proposals_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UnreelError, match=message):
        read_proposals(tmp_path / "p.json")


def test_a_missing_file_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UnreelError, match=r"no such file; make one with `unreel localize propose`"):
        read_proposals(tmp_path / "p.json")


def test_videos_go_by_the_names_of_their_files_unless_two_are_the_same() -> None:
    assert name_videos(["a/v_1.mp4", "b/v_2.mkv"]) == ["1", "2"]
    assert name_videos(["a/v_1.mp4", "b/2.mkv"]) == ["v_1", "2"]
    assert name_videos(["a/1.mp4", "b/1.mp4"]) == ["a/1.mp4", "b/1.mp4"]
    assert name_videos([]) == []


def test_a_name_is_an_id_a_path_or_the_name_of_a_file(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    found, unknown = match_videos(Path("p"), [catalog.ids[0], "01.mp4", "02", "gone"], catalog)
    assert found == {0: catalog.ids[0], 1: "01.mp4", 2: "02"}
    assert unknown == ["gone"]
    with pytest.raises(UnreelError, match=r"p: '01' and '01.mp4' stand for one video"):
        match_videos(Path("p"), ["01", "01.mp4"], catalog)


def test_a_name_of_two_videos_is_refused(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    place = catalog.table.schema.get_field_index("path")
    import pyarrow as pa

    paths = ["a/x.mp4", "b/x.mp4", *catalog.table["path"].to_pylist()[2:]]
    double = Catalog(
        catalog.table.set_column(place, catalog.table.schema.field(place), pa.array(paths)), catalog.root
    )
    with pytest.raises(UnreelError, match=r"'x' stands for 2 videos .* name them by their paths"):
        match_videos(Path("p"), ["x"], double)
    assert match_videos(Path("p"), ["a/x.mp4"], double)[0] == {0: "a/x.mp4"}
