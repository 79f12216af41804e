import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from tests.features.tiny import build_frame_encoder
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.search.index_rows import RejectedVideo
from unreel.search.index_store import IndexStore

Capture = pytest.CaptureFixture[str]
FAST = ("--clips-per-video", "2", "--num-workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def whole(files: FeatureFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "v.index"
    words = ["--features", str(files.features), "--catalog", str(files.catalog), "--out", str(path)]
    assert run(["index", *words, "--encoder", str(files.encoder)]) == 0
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """An index of all twelve videos, to be changed."""
    return Path(shutil.copy(whole, tmp_path / "v.index"))


def embed(files: FeatureFiles, path: Path, *words: str) -> list[str]:
    inputs = ["--encoder", str(files.encoder), "--catalog", str(files.catalog)]
    return ["index", *inputs, "--out", str(path), *FAST, *words]


def read_json(capsys: Capture) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def squeeze(text: str) -> str:
    return " ".join(text.split())


def test_videos_are_embedded_once(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "v.index"
    assert run(embed(files, path)) == 0
    out = capsys.readouterr().out
    assert "12 = 0 kept + 12 added + 0 replaced + 0 rejected" in squeeze(out)
    assert "12 videos, 24 vectors" in out
    assert f"unreel search VIDEO --index {path}" in out
    assert f"unreel serve --index {path}" in out
    assert run(embed(files, path, "--json")) == 0
    values = read_json(capsys)
    assert (values["kept"], values["added"], values["num_clips"]) == (12, 0, 24)
    assert values["out"] == str(path)
    assert Path(IndexStore.open(path).info.encoder_folder).samefile(files.encoder)


def test_vectors_of_a_table_are_those_that_the_encoder_gives(
    files: FeatureFiles, path: Path, capsys: Capture
) -> None:
    """So an index that was begun with a table is kept up to date with the encoder."""
    capsys.readouterr()
    assert run(embed(files, path, "--json")) == 0
    assert read_json(capsys)["kept"] == 12


def test_a_split_is_a_part_and_pruning_leaves_it_alone(
    files: FeatureFiles, path: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(embed(files, tmp_path / "test.index", "--split", "test", "--json")) == 0
    assert read_json(capsys)["num_videos"] == 3
    assert run(embed(files, path, "--split", "test", "--prune")) == 0
    out = squeeze(capsys.readouterr().out)
    assert "3 = 3 kept + 0 added" in out
    assert "9 videos that are no longer wanted" in out
    words = ["--features", str(files.features), "--split", "test", "--out", str(tmp_path / "f.index")]
    assert run(["index", *words]) == 0
    assert "3 videos, 6 vectors" in capsys.readouterr().out


def test_other_labels_are_taken_over(files: FeatureFiles, path: Path, capsys: Capture) -> None:
    IndexStore.open(path).update_metadata([(Catalog.load(files.catalog).ids[0], "wrong", "", "")])
    assert run(embed(files, path)) == 0
    assert "1 videos have another label, split or group" in squeeze(capsys.readouterr().out)


def test_videos_are_dropped_by_id_and_by_path(files: FeatureFiles, path: Path, capsys: Capture) -> None:
    ids = Catalog.load(files.catalog).ids
    words = ["--remove", "00.mp4", ids[1], ids[0], "--out", str(path)]
    assert run(["index", *words]) == 0
    assert "2 videos" in capsys.readouterr().out
    assert run(["index", "--remove", "02.mp4", "--out", str(path), "--json"]) == 0
    assert read_json(capsys) == {"out": str(path), "removed": 1, "videos": 9}
    assert run(["index", "--remove", "03.mp4", "02.mp4", "--out", str(path)]) == 1
    assert "has no video '02.mp4'; give an id, or a path as in the catalog" in squeeze(
        capsys.readouterr().err
    )
    with IndexStore.open(path).read() as reader:
        assert reader.count_keys("video") == 9


def test_a_rejected_video_can_be_forgotten(path: Path, capsys: Capture) -> None:
    store = IndexStore.open(path)
    store.reject([RejectedVideo("f" * 16, "broken.mp4", "no frame decodes", 1, 2)])
    assert run(["index", "--status", "--out", str(path)]) == 0
    assert "no frame decodes" in capsys.readouterr().out
    assert run(["index", "--remove", "broken.mp4", "--out", str(path)]) == 0
    with store.read() as reader:
        assert reader.rejected() == {}


def test_the_status_says_what_is_in_an_index(files: FeatureFiles, path: Path, capsys: Capture) -> None:
    assert run(["index", "--status", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    info = IndexStore.open(path).info
    for text in (
        info.encoder_hash,
        "12, 0.0 hours",
        f"24 of {info.dimension} numbers",
        "2 per video",
        "average",
    ):
        assert text in squeeze(out)
    assert run(["index", "--status", "--out", str(path), "--json"]) == 0
    values = read_json(capsys)
    assert values["info"]["root"] == str(files.catalog.parent)
    assert (values["num_videos"], values["num_labels"], values["rejected"]) == (12, 3, [])
    assert values["num_bytes"] == path.stat().st_size


def test_why_videos_were_rejected_is_the_next_question(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    catalog = Catalog.load(files.catalog)
    (tmp_path / "videos").mkdir()
    shutil.copy(catalog.video(1).path, tmp_path / "videos")
    (tmp_path / "videos" / "00.mp4").write_text("no video")
    catalog.take([0, 1]).save(tmp_path / "catalog.parquet")
    words = ["--catalog", str(tmp_path / "catalog.parquet"), "--root", str(tmp_path / "videos")]
    path = tmp_path / "v.index"
    assert run(["index", "--encoder", str(files.encoder), *words, "--out", str(path), *FAST]) == 0
    out = squeeze(capsys.readouterr().out)
    assert "2 = 0 kept + 1 added + 0 replaced + 1 rejected" in out
    assert f"unreel index --status --out {path}" in out
    assert IndexStore.open(path).info.root == str(tmp_path / "videos")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "say what to index: --encoder with --catalog or --watch embeds videos"),
        (["--encoder", "ENCODER"], 2, "say what to index"),
        (["--catalog", "CATALOG"], 2, "say what to index"),
        (["--status", "--remove", "a"], 2, "--status and --remove are two jobs; give one at a time"),
        (["--status", "--features", "FEATURES"], 2, "--status and --features are two jobs"),
        (["--tune", "--qdrant", "folder"], 2, "--tune and --qdrant are two jobs; give one at a time"),
        (["--status", "--tune"], 2, "--status and --tune are two jobs"),
        (["--watch", "folder", "--encoder", "ENCODER", "--tune"], 2, "--watch and --tune are two jobs"),
        (["--tune", "--encoder", "ENCODER", "--catalog", "CATALOG"], 2, "--tune and --encoder are two jobs"),
        (["--tune", "--catalog", "CATALOG"], 2, "--tune takes the index as it is; leave out --catalog"),
        (["--status", "--root", "."], 2, "--status takes the index as it is; leave out --root"),
        (
            ["--qdrant", "folder", "--split", "test"],
            2,
            "--qdrant takes the index as it is; leave out --split",
        ),
        (["--remove", "a", "--prune"], 2, "--remove takes the index as it is; leave out --prune"),
        (["--features", "FEATURES", "--root", "."], 2, "--root goes with --catalog, or alone"),
        (["--root", "."], 1, "new.index does not exist"),
        (["--tune"], 1, "new.index does not exist"),
        (["--qdrant", "folder"], 1, "new.index does not exist"),
        (["--features", "absent.parquet"], 1, "absent.parquet cannot be read as a table of features"),
        (["--features", "CATALOG"], 1, "is a Parquet file but no table of features"),
        (["--features", "FEATURES", "--split", "dev"], 1, "no split 'dev'"),
        (["--features", "FEATURES", "--encoder", "OTHER"], 1, "give the encoder that made the vectors"),
        (["--features", "FEATURES", "--encoder", "absent"], 1, "absent holds no encoder"),
        (["--encoder", "absent", "--catalog", "CATALOG"], 1, "absent holds no encoder"),
        (["--encoder", "ENCODER", "--catalog", "absent"], 1, "absent"),
        (["--encoder", "ENCODER", "--catalog", "CATALOG", "--clips-per-video", "0"], 2, "at least 1, got 0"),
        (["--status"], 1, "new.index does not exist; give the file that `unreel index` wrote"),
        (["--remove", "a"], 1, "new.index does not exist"),
        (["--features", "FEATURES", "--out", "FEATURES"], 2, "--out names the same file as --features"),
        (["--features", "FEATURES", "--catalog", "CATALOG", "--out", "CATALOG"], 2, "same file as --catalog"),
        (["--features", "FEATURES", "--out", "."], 2, "--out . is a folder; name a file in it"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code_and_makes_no_index(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    build_frame_encoder(seed=9).save(tmp_path / "other")
    places = {
        "ENCODER": files.encoder,
        "CATALOG": files.catalog,
        "FEATURES": files.features,
        "OTHER": tmp_path / "other",
    }
    out = [] if "--out" in words else ["--out", str(tmp_path / "new.index")]
    assert run(["index", *(str(places.get(word, word)) for word in words), *out]) == code
    assert message in squeeze(capsys.readouterr().err)
    assert not (tmp_path / "new.index").exists()


def test_an_index_that_grows_large_is_tuned_and_the_summary_says_so(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--features", str(files.features), "--out", str(tmp_path / "v.index"), "--exact-below"]
    assert run(["index", *words, "24", "--json"]) == 0
    assert read_json(capsys)["tuned"] == []
    assert run(["index", *words, "12"]) == 0
    out = squeeze(capsys.readouterr().out)
    assert "search by clip" in out
    assert "exact, all 24 vectors" in out
    assert "search by video" not in out
    assert run(["index", *words, "11", "--json"]) == 0
    assert [found["unit"] for found in read_json(capsys)["tuned"]] == ["video"]


def test_an_index_of_another_kind_is_left_alone(files: FeatureFiles, path: Path, capsys: Capture) -> None:
    assert run(embed(files, path, "--clips-per-video", "3")) == 1
    assert "made with clips_per_video 2, this is 3" in squeeze(capsys.readouterr().err)
    foreign = path.with_name("notes.txt")
    foreign.write_text("my notes, which are longer than a header of a hundred bytes " * 3)
    assert run(["index", "--features", str(files.features), "--out", str(foreign)]) == 1
    assert "notes.txt is no index, or damaged" in squeeze(capsys.readouterr().err)
    assert foreign.read_text().startswith("my notes")


def test_help_has_examples(capsys: Capture) -> None:
    assert run(["index", "--help"]) == 0
    out = capsys.readouterr().out
    assert "unreel index --encoder runs/ccl/encoder --catalog catalog.parquet --out videos.index" in out
    assert "or not in its `--split`" in squeeze(out)
