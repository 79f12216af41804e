import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_grad_cam_videos import build_clip_network, build_frame_network
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.evaluate.grad_cam_choice import choose_videos
from unreel.evaluate.grad_cam_target import Target
from unreel.evaluate.grad_cam_videos import look_at_videos
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder

Capture = pytest.CaptureFixture[str]

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold encoders and classifiers; nobody writes into it."""
    folder = tmp_path_factory.mktemp("encoders")
    frames, clips = build_frame_network(), build_clip_network()
    frames.save(folder / "frames" / "encoder")
    clips.save(folder / "clips" / "encoder")
    rng = np.random.default_rng(0)
    weights_CD = rng.standard_normal((3, frames.num_features)).astype(np.float32)
    # Nothing speaks for the last class: behind a ReLU, negative weights find nothing.
    weights_CD[2] = -1
    names = ("jump", "run", "nothing")
    LinearClassifier(names, weights_CD, None, frames.hash, "average").save(folder / "svm.safetensors")
    LinearClassifier(names, weights_CD, None, "f" * 16, "average").save(folder / "other.safetensors")
    return folder


def report(folder: Path, catalog: Path, *words: str, encoder: str = "frames") -> int:
    needed = ["--encoder", str(folder / encoder / "encoder"), "--catalog", str(catalog)]
    return run(["report", "gradcam", *needed, "--num-workers", "0", "--device", "cpu", *words])


def read(path: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads(path.read_text())
    return values


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_picture_and_numbers_are_written_and_told(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.json"
    words = ["--out", str(out), "--data", str(data), "--num-videos", "2", "--num-frames", "4"]
    assert report(folder, corpus, *words) == 0
    assert out.read_bytes().startswith(PNG)
    assert files_in(tmp_path) == ["a.json", "a.png"]
    values = json.loads(data.read_text())
    # The test split holds videos 03, 07 and 11; rows (2 i + 1) * 3 / 4 of it are 0 and 2.
    assert [video["path"] for video in values["videos"]] == ["03.mp4", "11.mp4"]
    assert [video["frames"] for video in values["videos"]] == [[0, 6, 13, 19]] * 2
    assert np.array(values["videos"][0]["maps"]).shape == (4, 2, 2)
    encoder = Encoder.load(folder / "frames" / "encoder")
    assert values["settings"] == {
        "encoder": str(folder / "frames" / "encoder"),
        "encoder_hash": encoder.hash,
        "catalog_hash": Catalog.load(corpus).hash,
        "split": "test",
        "videos": [],
        "seed": None,
        "classifier": None,
    }
    captured = capsys.readouterr()
    for text in (
        f"Figure {out}",
        "frames/encoder",
        encoder.hash,
        "2 shown, 0 rejected",
        "each frame alone; its last map has 2 x 2 places",
        "direction of the feature, of length",
        "classifier    none: the direction of the feature is explained",
        "strips        not kept; --separate FOLDER",
        f"unreel extract --encoder {folder / 'frames' / 'encoder'} --catalog {corpus}    # features, for",
        "03.mp4",
        str(data),
    ):
        assert text in captured.out
    assert "Looking: 2/2 videos" in captured.err


def test_the_command_does_what_the_library_does(folder: Path, corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.json"
    words = ["--num-videos", "3", "--split", "train", "--seed", "4", "--num-frames", "3", "--data", str(data)]
    words += ["--classifier", str(folder / "svm.safetensors"), "--out", str(tmp_path / "a.png")]
    assert report(folder, corpus, *words) == 0
    encoder = Encoder.load(folder / "frames" / "encoder")
    classifier = LinearClassifier.load(folder / "svm.safetensors")
    chosen = choose_videos(Catalog.load(corpus).select("train"), num_videos=3, seed=4)
    result = look_at_videos(encoder, chosen, Target(classifier), num_frames=3, num_workers=0)
    expected = json.loads(json.dumps(result.to_json()))
    values = read(data)
    assert {name: values[name] for name in expected} == expected


def test_a_network_of_clips_is_looked_through_too(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--out", str(tmp_path / "a.svg"), "--json", "--num-videos", "1", "--num-frames", "3"]
    assert report(folder, corpus, *words, encoder="clips") == 0
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    values = json.loads(capsys.readouterr().out)
    assert (values["figure"], values["clip_frames"]) == ("gradcam", 6)
    assert [video["frames"] for video in values["videos"]] == [[4, 8, 14]]
    assert report(folder, corpus, *words[:2], encoder="clips") == 0
    assert "a clip of 6 frames; its last map has 2 x 2 places" in capsys.readouterr().out


def test_named_videos_come_from_all_splits_and_in_their_order(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    names = ["07.mp4", Catalog.load(corpus).ids[0]]
    assert report(folder, corpus, "--out", str(tmp_path / "a.png"), "--json", "--videos", *names) == 0
    values = json.loads(capsys.readouterr().out)
    assert [video["path"] for video in values["videos"]] == ["07.mp4", "00.mp4"]
    assert (values["settings"]["split"], values["settings"]["videos"]) == ("", names)


def test_strips_are_written_into_the_named_folder_and_nothing_elsewhere(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(folder, corpus, "--separate", "strips", "--num-videos", "2") == 0
    ids = Catalog.load(corpus).ids
    expected = sorted(f"strips/{ids[row]}.png" for row in (3, 11))
    assert files_in(tmp_path) == expected
    assert (tmp_path / expected[0]).read_bytes().startswith(PNG)
    out = capsys.readouterr().out
    assert "Strips in strips\n" in out
    assert "Figure" not in out
    assert "2 PNG files in strips/" in out
    assert report(folder, corpus, "--separate", "strips", "--out", "all.png", "--num-videos", "2") == 0
    assert files_in(tmp_path) == ["all.png", *expected]


def test_without_a_name_the_figure_is_called_gradcam(
    folder: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(folder, corpus, "--num-videos", "1", "--num-frames", "1") == 0
    assert files_in(tmp_path) == ["gradcam.png"]


def test_the_same_command_gives_the_same_picture(folder: Path, corpus: Path, tmp_path: Path) -> None:
    pictures = []
    for name, seed in (("a.png", "0"), ("b.png", "0"), ("c.png", "5")):
        words = ["--split", "", "--seed", seed, "--num-videos", "2", "--num-frames", "2"]
        assert report(folder, corpus, "--out", str(tmp_path / name), *words) == 0
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_a_class_is_explained_and_named(folder: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "a.json"
    words = ["--classifier", str(folder / "svm.safetensors"), "--out", str(tmp_path / "a.png")]
    assert (
        report(folder, corpus, *words, "--num-videos", "1", "--target-class", "run", "--data", str(data)) == 0
    )
    captured = capsys.readouterr()
    assert "class run, score" in captured.out
    assert f"classifier    {folder / 'svm.safetensors'}, of features of pooling average" in captured.out
    assert f"--classifier {folder / 'svm.safetensors'} --target-class CLASS" in captured.out
    assert re.search(r"\n  time          [\d.]+ s\n", captured.out)
    assert "map is zero" not in captured.err
    values = json.loads(data.read_text())
    assert [video["target"] for video in values["videos"]] == ["run"]
    encoder = Encoder.load(folder / "frames" / "encoder")
    settings = {name: values["settings"][name] for name in ("classifier", "pooling", "target_class")}
    assert settings == {
        "classifier": str(folder / "svm.safetensors"),
        "pooling": "average",
        "target_class": "run",
    }
    assert values["settings"]["classifier_encoder_hash"] == encoder.hash


def test_frames_in_which_nothing_is_found_are_announced(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--classifier", str(folder / "svm.safetensors"), "--target-class", "nothing"]
    words += ["--num-videos", "1", "--num-frames", "3", "--out", str(tmp_path / "a.png"), "--json"]
    assert report(folder, corpus, *words) == 0
    captured = capsys.readouterr()
    assert "warning: 07.mp4: the map is zero in 3 of 3 frames; nothing in them speaks" in captured.err
    assert json.loads(captured.out)["videos"][0]["blank"] == [True] * 3


def test_a_classifier_of_another_encoder_needs_a_word(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--classifier", str(folder / "other.safetensors"), "--out", str(tmp_path / "a.png")]
    assert report(folder, corpus, *words) == 1
    assert f"fitted to features of encoder {'f' * 16}" in capsys.readouterr().err
    assert files_in(tmp_path) == []
    assert report(folder, corpus, *words, "--other-encoder", "--num-videos", "1") == 0


def test_videos_that_fail_and_videos_that_are_missing_are_announced(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").write_bytes(b"damaged")
    words = ["--root", str(tmp_path / "copy"), "--num-videos", "5", "--out", str(tmp_path / "a.png")]
    assert report(folder, corpus, *words) == 0
    captured = capsys.readouterr()
    assert "warning: rejected" in captured.err
    assert "03.mp4" in captured.err
    assert "warning: there are only 3 videos to choose from, not 5" in captured.err
    assert "2 shown, 1 rejected" in captured.out
    assert report(folder, corpus, *words, "--videos", "03.mp4") == 1
    captured = capsys.readouterr()
    assert "none of the 1 videos can be read" in captured.err


def test_a_file_that_cannot_be_written_in_the_end_loses_neither_the_others_nor_the_numbers(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unreel.cli.report_gradcam.save_grad_cam", fill_disk)
    data, strips = tmp_path / "a.json", tmp_path / "strips"
    words = ["--out", str(tmp_path / "a.png"), "--separate", str(strips), "--data", str(data), "--json"]
    assert report(folder, corpus, *words, "--num-videos", "1") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads(data.read_text())
    assert f"error: --out {tmp_path / 'a.png'} was not written (No space left" in captured.err
    assert len(files_in(strips)) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--split", "val"], 1, "no split 'val'"),
        (["--videos", "zz.mp4"], 1, "no video 'zz.mp4' among the 12"),
        (["--split", "train", "--videos", "03.mp4"], 1, "no video '03.mp4' among the 9"),
        (["--classifier", "."], 1, "is a folder; give the file that `unreel evaluate svm"),
        (["--classifier", "absent.safetensors"], 1, "absent.safetensors cannot be read"),
        (["--num-videos", "0"], 2, "num_videos must lie between 1 and 32, got 0"),
        (["--num-frames", "33"], 2, "num_frames must lie between 1 and 32, got 33"),
        (["--frames", "3"], 2, "--frames"),
        (["--target-class", "run"], 2, "target class 'run' needs a classifier"),
        (["--out", "folder.png"], 2, "--out folder.png is a folder"),
        (["--data", "folder.png"], 2, "--data folder.png is a folder"),
        (["--out", "x.png", "--data", "./x.png"], 2, "--out and --data name the same file"),
        (["--separate", "file"], 2, "no file can be made in"),
        (["--out", "gradcam.pdf"], 2, "must end in .png or .svg, got 'gradcam.pdf'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    folder: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("a file")
    assert report(folder, corpus, "--out", "a.png", *words) == code
    assert message in capsys.readouterr().err
    assert files_in(tmp_path) == ["file"]


@pytest.mark.parametrize("flag", ["--catalog", "--classifier"])
def test_numbers_do_not_replace_what_the_command_reads(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture, flag: str
) -> None:
    kept = {"--catalog": corpus, "--classifier": folder / "svm.safetensors"}[flag]
    before = kept.read_bytes()
    words = ["--classifier", str(folder / "svm.safetensors"), "--out", str(tmp_path / "a.png")]
    assert report(folder, corpus, *words, "--data", str(kept)) == 2
    assert f"--data names the same file as {flag}" in capsys.readouterr().err
    assert kept.read_bytes() == before


def test_a_figure_that_would_lie_in_the_place_of_a_strip_is_refused(
    folder: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    strip = tmp_path / f"{Catalog.load(corpus).ids[7]}.png"
    words = ["--separate", str(tmp_path), "--out", str(strip), "--num-videos", "1"]
    assert report(folder, corpus, *words) == 2
    assert "name the same file" in capsys.readouterr().err
    assert files_in(tmp_path) == []
