import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from tests.features.tiny import build_frame_encoder
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.features.table import FeatureTable
from unreel.search.codes import Codes
from unreel.search.hits import Hit
from unreel.search.index_features import index_features
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import FLAT, TunedIndex, save_tuned
from unreel.search.vector_cache import VectorCache

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


def search(files: FeatureFiles, query: Path, *words: str) -> int:
    needed = ["--encoder", str(files.encoder), "--features", str(files.features), "--device", "cpu"]
    return run(["search", str(query), *needed, *words])


def test_the_nearest_videos_are_shown_best_first(files: FeatureFiles, capsys: Capture) -> None:
    assert search(files, files.video, "--top-k", "3") == 0
    out = capsys.readouterr().out
    assert "12 videos, 24 vectors" in out
    lines = [line for line in out.splitlines() if ".mp4" in line and "│" in line]
    assert len(lines) == 3
    assert "00.mp4" in lines[0]
    assert "1.0000" in lines[0]


def test_json_has_ids_paths_scores_and_times(files: FeatureFiles, capsys: Capture) -> None:
    assert search(files, files.video, "--top-k", "2", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["query"] == str(files.video)
    assert (Path(values["root"]) / values["hits"][0]["path"]).samefile(files.video)
    assert values["hits"][0].keys() == {field.name for field in dataclasses.fields(Hit)}
    assert values["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert len(values["hits"]) == 2


def test_another_encoder_is_refused(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    build_frame_encoder(seed=9).save(tmp_path / "encoder")
    assert search(files, files.video, "--encoder", str(tmp_path / "encoder")) == 1
    assert "give the encoder that made the table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--features", "absent.parquet"], 1, "absent.parquet"),
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--top-k", "0"], 2, "top_k must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    files: FeatureFiles, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert search(files, files.video, *words) == code
    assert message in capsys.readouterr().err


def test_a_query_that_is_no_video_is_refused_by_name(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "query.mp4").write_text("text")
    assert search(files, tmp_path / "query.mp4") == 1
    assert "query.mp4" in capsys.readouterr().err


def test_a_missing_query_is_wrong_usage(capsys: Capture) -> None:
    assert run(["search"]) == 2
    capsys.readouterr()


def test_help_has_an_example(capsys: Capture) -> None:
    assert run(["search", "--help"]) == 0
    out = capsys.readouterr().out
    assert "unreel search match.mp4@62.5-66 --index videos.index --unit clip" in out
    assert "unreel search query.mp4 --encoder runs/ccl/encoder --features features.parquet" in out


def test_how_far_to_trust_it_is_asked_where_there_are_labels(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert search(files, files.video) == 0
    assert f"unreel evaluate retrieval --features {files.features}" in capsys.readouterr().out
    table = FeatureTable.load(files.features)
    columns = {name: table.column(name) for name in table.column_names()}
    columns["label"] = [""] * len(table)
    FeatureTable.from_columns(table.info, table.vectors, **columns).save(tmp_path / "f.parquet")
    assert search(files, files.video, "--features", str(tmp_path / "f.parquet")) == 0
    out = capsys.readouterr().out
    assert "unreel evaluate" not in out
    assert f"unreel index --features {tmp_path / 'f.parquet'} --out videos.index" in out


# In an index


@pytest.fixture(scope="module")
def index(files: FeatureFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "v.index"
    index_features(
        path,
        FeatureTable.load(files.features),
        catalog=Catalog.load(files.catalog),
        encoder_folder=str(files.encoder),
    )
    return path


def search_json(capsys: Capture, index: Path, query: str, *words: str) -> dict[str, Any]:
    assert run(["search", query, "--index", str(index), "--device", "cpu", "--json", *words]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def test_a_file_is_searched_by_the_encoder_that_the_index_knows(
    files: FeatureFiles, index: Path, capsys: Capture
) -> None:
    assert run(["search", str(files.video), "--index", str(index), "--top-k", "3", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if ".mp4" in line and "│" in line]
    assert len(lines) >= 3
    assert "00.mp4" in lines[0]
    assert "1.0000" in lines[0]
    assert "12 videos, 24 vectors, exact" in out
    assert f"unreel serve --index {index}" in out
    assert "Videos most like" in out


def test_an_index_answers_as_its_table_does(files: FeatureFiles, index: Path, capsys: Capture) -> None:
    assert search(files, files.video, "--top-k", "12", "--json") == 0
    of_table = json.loads(capsys.readouterr().out)
    of_index = search_json(capsys, index, str(files.video), "--top-k", "12")
    for mine, other in zip(of_index["hits"], of_table["hits"], strict=True):
        assert mine["score"] == pytest.approx(other["score"], abs=1e-6)
        assert (mine["video_id"], mine["start_sec"]) == (other["video_id"], other["start_sec"])
    assert of_index["encoder_hash"] == of_table["encoder_hash"]
    assert of_index["root"] == of_table["root"]


def test_a_video_of_the_index_is_a_query_by_path_and_by_id(index: Path, capsys: Capture) -> None:
    by_path = search_json(capsys, index, "03.mp4", "--top-k", "99")
    assert len(by_path["hits"]) == 11
    with IndexStore.open(index).read() as reader:
        video_id = reader.find_path("03.mp4")
    assert video_id is not None
    assert search_json(capsys, index, video_id, "--top-k", "99")["hits"] == by_path["hits"]
    assert run(["search", "03.mp4@0.1-0.5", "--index", str(index)]) == 0
    assert f"(video {video_id} of the index), from 0.1 s to 0.5 s" in " ".join(
        capsys.readouterr().out.split()
    )


def test_moments_are_found_by_unit_clip(files: FeatureFiles, index: Path, capsys: Capture) -> None:
    hits = search_json(capsys, index, f"{files.video}@0-0.2", "--unit", "clip", "--top-k", "24")["hits"]
    assert len(hits) == 24
    assert len({hit["video_id"] for hit in hits}) == 12
    assert run(["search", "03.mp4", "--index", str(index), "--unit", "clip"]) == 0
    assert "Moments most like 03.mp4" in capsys.readouterr().out


# The client leaves the file open by which it found that the folder is in use.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("unit", ["video", "clip"])
def test_a_mirror_answers_as_the_index_does(index: Path, tmp_path: Path, capsys: Capture, unit: str) -> None:
    words = ["--unit", unit, "--top-k", "5", "--split", "train"]
    expected = search_json(capsys, index, "00.mp4", *words)["hits"]
    mirrored = [*words, "--qdrant", str(tmp_path / "mirror")]
    for _ in range(2):  # the folder is let go of, and used again
        hits = search_json(capsys, index, "00.mp4", *mirrored)["hits"]
        assert [hit.pop("score") for hit in hits] == pytest.approx(
            [hit["score"] for hit in expected], abs=1e-5
        )
        assert hits == [{name: hit[name] for name in hit if name != "score"} for hit in expected]
    assert run(["search", "00.mp4", "--index", str(index), *mirrored]) == 0
    assert f"Qdrant ({tmp_path / 'mirror'}, collection unreel_" in " ".join(capsys.readouterr().out.split())


def test_a_tuned_index_is_searched_so(index: Path, tmp_path: Path, capsys: Capture) -> None:
    tuned = Path(shutil.copy(index, tmp_path / "v.index"))
    expected = search_json(capsys, tuned, "00.mp4", "--unit", "clip", "--top-k", "5")["hits"]
    store = IndexStore.open(tuned)
    cache = VectorCache.load(store, "clip")
    assert cache is not None
    codes = Codes.train(cache.vectors, cache.scales)
    codes.add(cache.keys, cache.vectors, cache.scales)
    save_tuned(store, TunedIndex(unit="clip", kind=FLAT, num_candidates=24), cache.stamp, codes)
    assert search_json(capsys, tuned, "00.mp4", "--unit", "clip", "--top-k", "5")["hits"] == expected
    assert run(["search", "00.mp4", "--index", str(tuned), "--unit", "clip"]) == 0
    assert "12 videos, 24 vectors, approximate (RaBitQ)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["--split", "test"], {"03.mp4", "07.mp4", "11.mp4"}),
        (["--label", "speed0", "speed1", "--split", "test"], {"03.mp4", "07.mp4"}),
        (["--group", "5"], {"05.mp4"}),
        (["--path-prefix", "1"], {"10.mp4", "11.mp4"}),
        (["--min-sec", "99"], set()),
        (["--max-sec", "0.5"], set()),
        (["--label", ""], set()),
    ],
)
def test_filters_say_what_may_be_found(
    index: Path, capsys: Capture, words: list[str], paths: set[str]
) -> None:
    hits = search_json(capsys, index, "00.mp4", "--top-k", "99", *words)["hits"]
    assert {hit["path"] for hit in hits} == paths


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["00.mp4"], 2, "say what to search: --index, or --features and --encoder"),
        (["00.mp4", "--index", "absent.index"], 1, "the index absent.index does not exist; give the file"),
        (["00.mp4", "--index", "INDEX", "--features", "FEATURES"], 2, "say what to search"),
        (
            ["00.mp4", "--features", "FEATURES", "--encoder", "ENCODER", "--qdrant", "folder"],
            2,
            "--qdrant holds a mirror of an index; give --index",
        ),
        (
            ["00.mp4", "--index", "INDEX", "--qdrant", "http://127.0.0.1:9"],
            1,
            "9 cannot be reached or refuses",
        ),
        (["00.mp4", "--index", "INDEX", "--qdrant", "desk:6333"], 2, "qdrant must be an address that begins"),
        (["00.mp4", "--features", "FEATURES"], 2, "--features needs --encoder"),
        (["VIDEO", "--features", "FEATURES", "--encoder", "ENCODER", "--unit", "clip"], 2, "need an index"),
        (["VIDEO", "--features", "FEATURES", "--encoder", "ENCODER", "--label", "x"], 2, "need an index"),
        (["absent.mp4", "--index", "INDEX"], 1, "there is no file 'absent.mp4', and"),
        (["00.mp4@3-1", "--index", "INDEX"], 2, "end after its start, got 3-1"),
        (["00.mp4", "--index", "INDEX", "--top-k", "0"], 2, "top_k must be at least 1, got 0"),
        (["00.mp4", "--index", "INDEX", "--min-sec", "3", "--max-sec", "2"], 2, "max_sec not below it"),
        (["00.mp4", "--index", "FEATURES"], 1, "features.parquet is no index, or damaged"),
        (["VIDEO", "--index", "INDEX", "--encoder", "absent"], 1, "absent holds no encoder"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_right_code(
    files: FeatureFiles, index: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    places = {"INDEX": index, "FEATURES": files.features, "ENCODER": files.encoder, "VIDEO": files.video}
    assert run(["search", *(str(places.get(word, word)) for word in words)]) == code
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_encoder_that_is_gone_or_another_is_named(
    files: FeatureFiles, index: Path, tmp_path: Path, capsys: Capture
) -> None:
    moved = Path(shutil.copy(index, tmp_path / "v.index"))
    store = IndexStore.open(moved)
    store.set_encoder_folder(str(tmp_path / "gone"))
    assert run(["search", str(files.video), "--index", str(moved)]) == 1
    assert (
        f"the encoder of the index was in {tmp_path / 'gone'} and is not there now; give --encoder"
        in " ".join(capsys.readouterr().err.split())
    )
    assert search_json(capsys, moved, "00.mp4")["hits"]
    assert search_json(capsys, moved, str(files.video), "--encoder", str(files.encoder))["hits"]
    store.set_encoder_folder("")
    assert run(["search", str(files.video), "--index", str(moved)]) == 1
    assert "does not know where its encoder" in capsys.readouterr().err
    build_frame_encoder(seed=9).save(tmp_path / "other")
    words = ["--index", str(moved), "--encoder", str(tmp_path / "other"), "--device", "cpu"]
    assert run(["search", str(files.video), *words]) == 1
    assert "give the encoder that made the vectors" in capsys.readouterr().err
