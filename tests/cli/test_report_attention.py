import dataclasses
import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_whole_clips import shorten
from tests.evaluate.tiny_cacl import build_config, tiny, write_run
from unreel.cli.main import run
from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.evaluate.attention import average_attention, read_random_clips
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.recipes import moco
from unreel.recipes.find import load_run_method
from unreel.train.recipe import Recipe

Capture = pytest.CaptureFixture[str]

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    method = build_config(transformer=FrameTransformerConfig(width=12, depth=2, num_heads=2, mlp_ratio=2))
    return write_run(tmp_path_factory.mktemp("runs") / "cacl", dataclasses.replace(tiny(), method=method))


def report(trained: Path, catalog: Path, out: Path, *words: str) -> int:
    needed = ["--run", str(trained), "--catalog", str(catalog), "--out", str(out)]
    return run(["report", "attention", *needed, "--num-workers", "0", "--device", "cpu", *words])


def test_picture_and_numbers_are_written_and_told(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, data = tmp_path / "a.png", tmp_path / "a.json"
    assert report(trained, corpus, out, "--data", str(data), "--num-clips", "3", "--batch-size", "2") == 0
    assert out.read_bytes().startswith(PNG)
    values = json.loads(data.read_text())
    assert (values["clips"], values["videos"], values["block"], len(values["tokens"])) == (3, 3, 0, 13)
    np.testing.assert_allclose(np.array(values["attention"]).sum(axis=1), np.ones(13), rtol=1e-6)
    settings = values["settings"]
    assert (settings["run"], settings["step"]) == (str(trained), 7)
    assert settings["recipe"] == "tests.evaluate.tiny_cacl:tiny"
    assert (settings["split"], settings["seed"]) == ("test", 0)
    assert settings["catalog_hash"] == Catalog.load(corpus).hash
    loaded = load_run_method(trained)
    assert {name: settings[name] for name in loaded.describe()} == loaded.describe()
    assert settings["method"] == config_to_dict(loaded.recipe.method)
    assert (settings["min_frames"], settings["too_short"]) == (11, 0)
    captured = capsys.readouterr()
    for words in (
        f"Figure {out}",
        "tiny, step 7",
        "block 0",
        "3 of 6 frames",
        "3 used, 0 rejected, 0",
        str(data),
    ):
        assert words in captured.out
    assert "Looking: 3/3 clips" in captured.err


def test_the_command_does_what_the_library_does(trained: Path, corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.json"
    words = ["--num-clips", "5", "--block", "1", "--split", "train", "--seed", "3", "--data", str(data)]
    assert report(trained, corpus, tmp_path / "a.png", *words) == 0
    loaded = load_run_method(trained)
    batches = read_random_clips(
        Catalog.load(corpus).select("train"),
        loaded.recipe.method.clips,
        loaded.recipe.data,
        num_clips=5,
        seed=3,
        batch_size=16,
        num_workers=0,
    )
    expected = average_attention(loaded.method, batches, block=1, num_clips=5).to_json()
    values = json.loads(data.read_text())
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_command_gives_the_same_picture_and_another_seed_another(
    trained: Path, corpus: Path, tmp_path: Path, suffix: str
) -> None:
    pictures = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        out = (tmp_path / name).with_suffix(suffix)
        assert report(trained, corpus, out, "--num-clips", "2", "--split", "", "--seed", seed) == 0
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_json_stands_alone_on_the_standard_output(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert report(trained, corpus, tmp_path / "a.png", "--json", "--num-clips", "2") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["figure"] == "attention"
    assert (tmp_path / "a.png").exists()


def test_videos_that_fail_and_clips_that_are_missing_are_announced(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").write_bytes(b"damaged")
    words = ["--root", str(tmp_path / "copy"), "--num-clips", "3"]
    assert report(trained, corpus, tmp_path / "a.png", *words) == 0
    captured = capsys.readouterr()
    assert "03.mp4" in captured.err
    assert "warning: only 2 of 3 clips could be read" in captured.err
    assert "2 of 6 frames" in captured.out
    assert report(trained, corpus, tmp_path / "a.png", *words, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["clips"] == 2
    assert "03.mp4" in captured.err
    assert "warning: only 2 of 3 clips could be read" in captured.err


def test_videos_that_are_shorter_than_a_clip_are_left_out_and_counted(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    whole = Catalog.load(corpus)
    shorten(whole, [10, 20, 20] * 4).save(tmp_path / "c.parquet")
    words = ["--root", str(corpus.parent), "--split", "", "--num-clips", "12", "--json"]
    assert report(trained, tmp_path / "c.parquet", tmp_path / "a.png", *words) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert (values["clips"], values["videos"]) == (12, 8)
    assert (values["settings"]["min_frames"], values["settings"]["too_short"]) == (11, 4)
    assert "fewer than 11 frames, and left out: 4 of the videos" in captured.err


def test_clips_that_share_videos_are_counted_as_such(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert report(trained, corpus, tmp_path / "a.png", "--num-clips", "7") == 0
    assert "3 used" in capsys.readouterr().out
    assert report(trained, corpus, tmp_path / "a.png", "--num-clips", "7", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["clips"], values["videos"]) == (7, 3)


def test_a_file_that_cannot_be_written_in_the_end_loses_neither_the_other_nor_the_numbers(
    trained: Path, corpus: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unreel.cli.report_attention.save_attention", fill_disk)
    data = tmp_path / "a.json"
    assert report(trained, corpus, tmp_path / "a.png", "--json", "--data", str(data)) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads(data.read_text())
    assert f"error: --out {tmp_path / 'a.png'} was not written (No space left" in captured.err


@pytest.mark.parametrize(
    ("recipe", "name", "message"),
    [
        (moco.small(), "moco.small", "the run is of MoCo"),
        (dataclasses.replace(tiny(), method=build_config(pairs=("gq_gk",))), "", "it has no transformer"),
        (dataclasses.replace(tiny(), method=build_config(pairs=("gq_tk",))), "", "never learned"),
    ],
)
def test_a_run_without_transformer_is_refused(
    corpus: Path, tmp_path: Path, capsys: Capture, recipe: Recipe, name: str, message: str
) -> None:
    write_run(tmp_path / "run", recipe, **({"name": name} if name else {}))
    assert report(tmp_path / "run", corpus, tmp_path / "a.png") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--run", "absent"], 1, "absent"),
        (["--split", "val"], 1, "no split 'val'"),
        (["--block", "2"], 2, "block must lie between 0 and 1, got 2"),
        (["--num-clips", "0"], 2, "num_clips must be at least 1, got 0"),
        (["--out", "folder.png"], 2, "--out folder.png is a folder"),
        (["--data", "folder.png"], 2, "--data folder.png is a folder"),
        (["--out", "/proc/a.png"], 2, "--out /proc/a.png cannot be written"),
        (["--out", "x.png", "--data", "./x.png"], 2, "--out and --data name the same file"),
        (["--out", "attention.pdf"], 2, "must end in .png or .svg, got 'attention.pdf'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    trained: Path,
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
    assert report(trained, corpus, tmp_path / "a.png", *words) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
