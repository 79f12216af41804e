from pathlib import Path

import numpy as np
import pytest

from tests.features.tiny import build_encoder
from tests.features.tiny_classifier import build_classifier
from unreel.augment.evaluation_views import EvaluationViews
from unreel.cli.main import run
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.input_spec import InputSpec
from unreel.features.localizer import Localizer, LocalizerConfig
from unreel.features.table import FeatureTable
from unreel.models.bmn import BMN, BMNConfig
from unreel.models.resnet2d import ResNetConfig


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "encoder"
    build_encoder().save(folder)
    return folder


def extract(corpus: Path, out: Path, *words: str) -> int:
    settings = ["--catalog", str(corpus), "--out", str(out), "--num-workers", "0", "--every-frames", "8"]
    return run(["localize", "features", *settings, *words])


def test_an_encoder_s_vectors_are_written_and_described(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid.parquet"
    assert extract(corpus, out, "--encoder", str(encoder)) == 0
    text = capsys.readouterr().out
    assert "12 = 12 embedded + 0 rejected" in text
    assert "a clip around every 8th frame, CenteredClips(every=8)" in text
    assert f"unreel localize train bmn.small --data.features {out} --data.catalog {corpus}" in text
    # Frames 4 and 12 of 20.
    table = FeatureTable.load(out)
    assert table.column("frame_index")[:2].tolist() == [4, 12]
    assert len(table) == 24


def test_baselines_and_splits_are_taken(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    hashes = set()
    for baseline in ("none", "untrained", "pixels"):
        out = tmp_path / f"{baseline}.parquet"
        words = ("--encoder", str(encoder), "--baseline", baseline, "--split", "test", "--seed", "3")
        assert extract(corpus, out, *words) == 0
        table = FeatureTable.load(out)
        assert len(table) == 6
        hashes.add(table.info.encoder_hash)
    assert len(hashes) == 3


def test_scores_of_a_fine_tuned_network_are_taken(corpus: Path, tmp_path: Path) -> None:
    spec = InputSpec(sampling="segments", num_frames=2, decode_height=24, decode_width=32, crop_px=16)
    views = EvaluationViews(clips=1)
    config = ClassifierConfig(ResNetConfig(depth=18, width=0.125), spec, views, ("a", "b"))
    Classifier.untrained(config).save(tmp_path / "ft" / "classifier")
    assert extract(corpus, tmp_path / "g.parquet", "--model", str(tmp_path / "ft")) == 0
    assert FeatureTable.load(tmp_path / "g.parquet").vectors.shape == (24, 2)


def test_the_center_alone_is_scored_and_predict_takes_the_same(corpus: Path, tmp_path: Path) -> None:
    """A test by ten crops leaves the vectors as they are, and a localiser knows them again."""
    for crops in ("center", "ten"):
        build_classifier(crops=crops).save(tmp_path / crops / "classifier")
        words = ("--model", str(tmp_path / crops), "--split", "test")
        assert extract(corpus, tmp_path / f"{crops}.parquet", *words) == 0
    center, ten = (FeatureTable.load(tmp_path / f"{crops}.parquet") for crops in ("center", "ten"))
    assert ten.info.encoder_hash == center.info.encoder_hash == build_classifier().hash
    assert np.array_equal(ten.vectors, center.vectors)
    network = BMNConfig(
        3, num_positions=6, hidden_1d=4, hidden_2d=4, hidden_3d=4, num_groups=1, num_samples=4
    )
    config = LocalizerConfig(network, ten.info.encoder_hash, "ten/classifier", every_frames=8)
    Localizer(BMN(network).eval(), config).save(tmp_path / "bmn" / "localizer")
    words = ["--model", str(tmp_path / "bmn"), "--encoder", str(tmp_path / "ten"), "--num-workers", "0"]
    assert run(["predict", str(corpus.parent / "03.mp4"), *words, "--out", str(tmp_path / "s.csv")]) == 0
    assert (tmp_path / "s.csv").read_text().count("\n") >= 2


def test_videos_that_fail_are_listed_and_short_ones_counted(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for video in corpus.parent.glob("*.mp4"):
        (tmp_path / video.name).write_bytes(b"" if video.name == "03.mp4" else video.read_bytes())
    out = tmp_path / "grid.parquet"
    words = ["--encoder", str(encoder), "--root", str(tmp_path), "--every-frames", "64"]
    assert extract(corpus, out, *words, "--max-rejected-fraction", "0.1") == 0
    text = capsys.readouterr().out
    assert "12 = 11 embedded + 1 rejected" in text
    assert f"listed in {tmp_path / 'grid.rejected.csv'}" in text
    assert "12 videos, of one position alone" in text
    assert extract(corpus, out, *words) == 1
    assert "1 of 12 videos cannot be used, more than max_rejected_fraction = 0.05" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one network: --encoder RUN/encoder, or --model RUN"),
        (["--encoder", "a", "--model", "b"], "name one network"),
        (["--model", "b", "--baseline", "pixels"], "--baseline pixels is for an encoder"),
        (["--encoder", "a", "--every-frames", "0"], "every_frames must be at least 1, got 0"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    corpus: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract(corpus, tmp_path / "g.parquet", *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_catalog_is_never_replaced(
    corpus: Path, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract(corpus, corpus, "--encoder", str(encoder)) == 2
    assert "--out names the same file as --catalog" in capsys.readouterr().err
