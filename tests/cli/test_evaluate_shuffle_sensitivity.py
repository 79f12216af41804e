import json
import shutil
from pathlib import Path

import pytest

from tests.features.tiny import SPEC, build_encoder
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.shuffle_sensitivity import evaluate_shuffle_sensitivity
from unreel.evaluate.shuffle_sensitivity_features import ClipShuffleConfig
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ReadConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "encoder"
    build_encoder().save(folder)
    return folder


def evaluate(encoder: Path, catalog: Path, *words: str) -> int:
    needed = ["--encoder", str(encoder), "--catalog", str(catalog)]
    small = ["--clips-per-video", "2", "--num-workers", "0", "--device", "cpu"]
    return run(["evaluate", "shuffle-sensitivity", *needed, *small, *words])


def test_the_result_is_shown_and_kept(encoder: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(encoder, corpus, "--out", str(tmp_path / "s.json")) == 0
    captured = capsys.readouterr()
    values = json.loads((tmp_path / "s.json").read_text())
    assert "Test clips as they are and with frames shuffled" in captured.out
    for title, name in (("linear SVM", "svm"), ("recall@1", "retrieval")):
        row = next(line for line in captured.out.splitlines() if f" {title} " in line)
        cells = [cell.strip() for cell in row.split("│")[2:-1]]
        shares = ("normal", "mean_shuffled", "difference", "deviation", "chance")
        assert cells == [f"{100 * values[name][share]:.1f}" for share in shares]
    assert f"cosine to itself shuffled     {values['cosine']:.4f}" in captured.out
    assert f"distance, shuffled to others  {values['relative_distance']:.3f}" in captured.out
    assert "tested                        3 videos of test, 6 clips" in captured.out
    assert "3 of frames, seed 0" in captured.out
    assert f"Result {tmp_path / 's.json'}" in captured.out
    assert "12/12 videos" in captured.err
    assert "warning" not in captured.err


def test_every_flag_reaches_the_library(encoder: Path, corpus: Path, capsys: Capture) -> None:
    words = "--json --level groups --group-size 2 --num-shuffles 2 --seed 5 --by group --query-split train"
    more = "--gallery-split test --costs 0.5 --baseline pixels --batch-size 4"
    assert evaluate(encoder, corpus, *words.split(), *more.split()) == 0
    values = json.loads(capsys.readouterr().out)
    expected = evaluate_shuffle_sensitivity(
        PixelBaseline(SPEC),
        Catalog.load(corpus),
        shuffle=ClipShuffleConfig("groups", 2, 2, 5),
        read=ReadConfig(clips_per_video=2, batch_size=4, num_workers=0),
        svm=SVMConfig((0.5,)),
        config=RankingConfig("group", "train", "test"),
    ).to_json()
    for either in (values, expected):
        either.pop("seconds")
    assert values == json.loads(json.dumps(expected))


def test_an_untrained_network_can_be_measured_instead(encoder: Path, corpus: Path, capsys: Capture) -> None:
    hashes = []
    for words in ([], ["--baseline", "untrained", "--seed", "0"], ["--baseline", "untrained", "--seed", "1"]):
        assert evaluate(encoder, corpus, "--json", "--num-shuffles", "1", *words) == 0
        hashes.append(json.loads(capsys.readouterr().out)["features"]["encoder_hash"])
    # The encoder of these tests is itself fresh, of seed 0.
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_was_left_out_is_announced(encoder: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("00.mp4", "01.mp4"):
        shutil.copy(corpus.parent / name, copy / name)
    assert run(["scan", str(copy), "--out", str(tmp_path / "c.parquet"), "--num-workers", "1"]) == 0
    capsys.readouterr()
    assert evaluate(encoder, tmp_path / "c.parquet") == 0
    captured = capsys.readouterr()
    assert "linear SVM: left out, since no label is known of the videos" in captured.err
    assert "recall@1: left out, since no label" in captured.err
    assert "cosine to itself shuffled" in captured.out
    assert "chance %" not in captured.out
    (copy / "01.mp4").unlink()
    words = ["--root", str(copy), "--max-rejected-fraction", "0.5"]
    assert evaluate(encoder, tmp_path / "c.parquet", *words) == 0
    captured = capsys.readouterr()
    assert "01.mp4" in captured.err
    assert "rejected                      1 videos" in captured.out
    assert "one video only" in captured.out
    assert "not known" in captured.out


def test_short_videos_are_announced(corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    spec = InputSpec(num_frames=24, frame_stride=1, decode_height=24, decode_width=32, crop_px=16)
    small = build_encoder()
    Encoder(small.backbone, EncoderConfig(small.config.backbone, spec)).save(tmp_path / "encoder")
    assert evaluate(tmp_path / "encoder", corpus, "--level", "groups", "--num-shuffles", "1") == 0
    captured = capsys.readouterr()
    assert "6 of 6 test clips show a frame more than once" in captured.err
    assert "with groups of 2 frames shuffled" in captured.out


def test_solvers_that_were_stopped_are_announced(
    encoder: Path, corpus: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_step(costs: tuple[float, ...]) -> SVMConfig:
        return SVMConfig(costs, max_iterations=1)

    monkeypatch.setattr("unreel.cli.evaluate_shuffle_sensitivity.SVMConfig", one_step)
    assert evaluate(encoder, corpus, "--baseline", "pixels") == 0
    assert "the solvers of 3 classes were stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--encoder", "absent", "--out", "."], 2, "--out . is a folder"),
        (["--num-shuffles", "0"], 2, "num_shuffles must be at least 1"),
        (["--level", "groups", "--group-size", "3"], 2, "group_size must cut the 4 frames"),
        (["--query-split", "val"], 1, "no split 'val'"),
        (["--costs", "-1"], 2, "costs must be one or more numbers between"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    encoder: Path, corpus: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(encoder, corpus, *words) == code
    assert message in capsys.readouterr().err


def test_a_network_of_single_frames_has_nothing_to_shuffle(
    corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    spec = InputSpec(num_frames=1, decode_height=24, decode_width=32, crop_px=16)
    small = build_encoder()
    Encoder(small.backbone, EncoderConfig(small.config.backbone, spec)).save(tmp_path / "encoder")
    assert evaluate(tmp_path / "encoder", corpus) == 2
    assert "this network looks at single frames, which have no order" in capsys.readouterr().err
