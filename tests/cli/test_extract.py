import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from tests.features.ray_double import RayDouble
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder
from unreel.features.table import FeatureTable

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


def extract(files: FeatureFiles, out: Path, *words: str) -> int:
    needed = ["--encoder", str(files.encoder), "--catalog", str(files.catalog), "--out", str(out)]
    small = ["--clips-per-video", "2", "--num-workers", "0", "--device", "cpu"]
    return run(["extract", *needed, *small, *words])


def test_a_catalog_becomes_a_table_and_the_next_commands_are_named(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "f.parquet"
    assert extract(files, out) == 0
    captured = capsys.readouterr()
    assert "12 = 12 embedded + 0 rejected" in captured.out
    assert f"unreel evaluate retrieval --features {out}" in captured.out
    assert f"unreel search VIDEO --encoder {files.encoder} --features {out}" in captured.out
    assert "--baseline untrained --out untrained.parquet" in captured.out
    assert "12/12 videos" in captured.err
    assert len(FeatureTable.load(out)) == 24


def test_json_stands_alone_on_the_standard_output(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert extract(files, tmp_path / "f.parquet", "--json", "--split", "test") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["out"] == str(tmp_path / "f.parquet")
    assert (values["videos"], values["vectors"], values["rejected"]) == (3, 6, 0)


def test_the_untrained_baseline_is_the_same_network_with_other_weights(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "f.parquet"
    assert extract(files, out, "--baseline", "untrained", "--seed", "5") == 0
    trained = Encoder.load(files.encoder)
    info = FeatureTable.load(out).info
    assert info.encoder_hash == Encoder.untrained(trained.config, seed=5).hash != trained.hash
    assert "untrained, seed 5" in capsys.readouterr().out


def test_the_pixel_baseline_needs_no_weights(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "f.parquet"
    assert extract(files, out, "--baseline", "pixels") == 0
    assert FeatureTable.load(out).info.encoder == "pixels"
    # A search embeds its query with an encoder, so it is not offered here.
    assert "unreel search" not in capsys.readouterr().out


def test_frames_and_precision_are_passed_on(files: FeatureFiles, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    assert extract(files, out, "--pooling", "frame", "--precision", "bfloat16", "--split", "test") == 0
    table = FeatureTable.load(out)
    assert (table.info.pooling, table.info.precision, len(table)) == ("frame", "bfloat16", 24)


def next_steps(out: str) -> list[str]:
    return [line.strip() for line in out.partition("Next:\n")[2].splitlines()]


def test_the_command_that_makes_the_yardstick_repeats_all_settings(
    files: FeatureFiles, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--split", "test", "--pooling", "frame", "--root", str(corpus.parent), "--batch-size", "16"]
    assert extract(files, tmp_path / "f.parquet", *words, "--seed", "3", "--restart") == 0
    out = capsys.readouterr().out
    assert "  pooling   frame\n" in out
    assert next_steps(out)[-1] == (
        f"unreel extract --encoder {files.encoder} --catalog {files.catalog} --root {corpus.parent} --split "
        "test --clips-per-video 2 --pooling frame --device cpu --batch-size 16 --num-workers 0 --baseline "
        "untrained --out untrained.parquet    # to compare with"
    )


def test_a_folder_with_a_space_can_be_copied_into_a_shell(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert extract(files, tmp_path / "my features.parquet") == 0
    assert f"--features '{tmp_path}/my features.parquet'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "split", "offered"),
    [
        (True, "", ["evaluate retrieval", "evaluate svm", "search", "extract"]),
        (True, "test", ["evaluate retrieval", "search", "extract"]),
        (False, "", ["search", "extract"]),
    ],
    ids=["labels and both splits", "one split", "no labels"],
)
def test_what_asks_for_labels_or_splits_is_offered_where_there_are_some(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, labels: bool, split: str, offered: list[str]
) -> None:
    catalog = Catalog.load(files.catalog)
    if not labels:
        place = catalog.table.schema.get_field_index("label")
        field = catalog.table.schema.field("label")
        blank = pa.array([""] * len(catalog), type=field.type)
        catalog = Catalog(catalog.table.set_column(place, field, blank), catalog.root)
    catalog.save(tmp_path / "c.parquet")
    words = ["--catalog", str(tmp_path / "c.parquet"), "--root", str(catalog.root), "--split", split]
    assert extract(files, tmp_path / "f.parquet", *words) == 0
    steps = next_steps(capsys.readouterr().out)
    assert [
        step.removeprefix("unreel ").partition(" -")[0].removesuffix(" VIDEO") for step in steps
    ] == offered
    for step in steps:  # what is offered works
        if step.startswith("unreel evaluate"):
            assert run(step.partition(" --out")[0].split()[1:]) == 0


def test_the_rule_of_sampling_is_named_and_videos_too_short_for_it_are_counted(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    assert extract(files, tmp_path / "f.parquet") == 0
    out = capsys.readouterr().out
    assert "  sampling  2 per video, FramePerPart\n" in out
    assert "short" not in out
    # Ten clips of 16 frames out of 20 cannot all begin elsewhere.
    assert extract(files, tmp_path / "f.parquet", "--clips-per-video", "10") == 0
    assert "short     12 videos, too short to be shown without repeating" in capsys.readouterr().out


def test_rejected_videos_are_announced_and_too_many_fail_the_command(
    files: FeatureFiles, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    lonely = tmp_path / "moved"
    lonely.mkdir()
    for path in sorted(corpus.parent.glob("*.mp4"))[1:]:
        (lonely / path.name).symlink_to(path)
    out = tmp_path / "f.parquet"
    assert extract(files, out, "--root", str(lonely), "--max-rejected-fraction", "0.2") == 0
    captured = capsys.readouterr().out
    assert "12 = 11 embedded + 1 rejected" in captured
    assert "f.rejected.csv" in captured
    assert extract(files, out, "--root", str(lonely), "--restart") == 1
    assert "1 of 12 videos cannot be used" in capsys.readouterr().err


def test_a_resumed_extraction_says_so(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "f.parquet"
    with monkeypatch.context() as patch:
        patch.setattr("unreel.features.parts.PartFiles.merge", stop)
        assert extract(files, out) == 130
    assert extract(files, out) == 0
    assert "12 videos had been done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--catalog", "absent.parquet"], 1, "absent.parquet"),
        (["--split", "val"], 1, "no split 'val'"),
        (["--device", "gpu"], 2, "device 'gpu' cannot be used"),
        (["--clips-per-video", "0"], 2, "clips_per_video must be at least 1"),
        (["--pooling", "max"], 2, "max"),
        (["--pooling", "conv5_max"], 2, "is 1 x 1; use pooling average"),
        (["--unknown"], 2, "unknown"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert extract(files, tmp_path / "f.parquet", *words) == code
    captured = capsys.readouterr()
    assert message in captured.err + captured.out
    assert not (tmp_path / "f.parquet").exists()


def test_a_cluster_makes_the_same_table(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = RayDouble()
    for module in ("ray_extract", "ray_parts"):
        monkeypatch.setattr(f"unreel.features.{module}.import_ray", lambda: ray)
    words = ["--engine", "ray", "--ray-address", "auto", "--num-actors", "1"]
    assert extract(files, tmp_path / "there.parquet", *words) == 0
    assert "unreel extract" in capsys.readouterr().out
    assert extract(files, tmp_path / "here.parquet") == 0
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert (ray.joined[0]["address"], ray.options["num_cpus"]) == ("auto", 1)
    (yardstick,) = [step for step in next_steps(capsys.readouterr().out) if "--baseline" in step]
    assert "--engine" not in yardstick
    assert extract(files, tmp_path / "there.parquet", *words, "--cores-per-actor", "2") == 1
    assert "an actor needs 2 cores and 0 GPUs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ray-address", "head"], "ray_address must be HOST:PORT, or auto, got 'head'"),
        (["--num-actors", "-1"], "num_actors must be at least 0, got -1"),
        (["--gpus-per-actor", "-2"], "gpus_per_actor must be at least 0, or -1, got -2"),
        (["--device", "cuda:0"], "device must be one of auto, cpu, cuda on a cluster"),
    ],
)
def test_what_no_cluster_can_be_is_refused(
    files: FeatureFiles, tmp_path: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert extract(files, tmp_path / "f.parquet", "--engine", "ray", *words) == 2
    assert message in capsys.readouterr().err


def test_the_catalog_is_named_with_its_root(files: FeatureFiles, tmp_path: Path) -> None:
    extract(files, tmp_path / "f.parquet", "--split", "test")
    assert FeatureTable.load(tmp_path / "f.parquet").info.root == str(Catalog.load(files.catalog).root)


def test_help_has_an_example(capsys: Capture) -> None:
    assert run(["extract", "--help"]) == 0
    assert "unreel extract --encoder runs/ccl/encoder --catalog catalog.parquet" in capsys.readouterr().out
