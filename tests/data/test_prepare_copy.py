"""One original to one copy: frame k shows frame k, at its time, and what goes wrong leaves no file."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.conftest import KindPath
from tests.data.numbered import describe_job, number_frames, read_numbers, write_numbers
from tests.data.videos import KINDS, rotate_mp4
from unreel.data import prepare_copy as module
from unreel.data.catalog_table import MEDIA_SCHEMA
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.packets import VideoFile
from unreel.data.prepare_config import PrepareConfig, plan_frames
from unreel.data.prepare_copy import clean_up, compare_copy, copy_file, to_frame
from unreel.data.probe import probe_video

H264, RAW = PrepareConfig(), PrepareConfig(format="raw")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 numbered frames of 64x48 in one group of pictures."""
    return write_numbers(tmp_path_factory.mktemp("original") / "a.mp4")


def copy(source: Path, target: Path, config: PrepareConfig = H264, **changes: Any) -> dict[str, Any]:
    return dict(copy_file({**describe_job(source, target, config), "verify": True, **changes}))


@pytest.mark.parametrize("config", [PrepareConfig(short_side=32), RAW], ids=["h264", "raw"])
def test_frame_k_of_the_copy_shows_frame_k_of_the_original(
    original: Path, tmp_path: Path, config: PrepareConfig
) -> None:
    target = tmp_path / f"deep/er/c{config.suffix}"
    result = copy(original, target, config)
    assert result["row"].keys() == set(MEDIA_SCHEMA.names)
    assert (result["bytes"], result["is_touched"]) == (target.stat().st_size, False)
    index = FrameIndex.from_row(result["row"])
    decoder = ClipDecoder()
    assert read_numbers(decoder.decode_all(target)) == list(range(40))
    plan_NT = np.array([[17, 3, 39], [0, 16, 31]])
    assert read_numbers(decoder.decode(target, index, plan_NT)[1]) == [0, 16, 31]
    assert read_numbers(decoder.decode(target, index, plan_NT)[0]) == [17, 3, 39]
    assert [child.name for child in target.parent.iterdir()] == [target.name]


def test_groups_are_short_and_closed(original: Path, tmp_path: Path) -> None:
    row = copy(original, tmp_path / "c.mp4", PrepareConfig(gop=8))["row"]
    keys = row["key_frames"]  # every one was tried by entering the file there
    assert keys[0] == 0
    assert np.diff([*keys, 40]).max() <= 8
    assert row["codec"] == "h264"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_original_is_copied_frame_by_frame(
    path_of: KindPath, kind: str, tmp_path: Path
) -> None:
    path = path_of(kind)
    for config in (PrepareConfig(short_side=32), PrepareConfig(format="raw", short_side=32)):
        target = tmp_path / f"c{config.suffix}"
        result = copy(path, target, config)
        assert "reason" not in result
        assert result["psnr"] >= config.least_psnr
        scanned, index = probe_video(path), FrameIndex.from_row(result["row"])
        shown = np.sort(scanned.index.pts)
        np.testing.assert_allclose(
            index.timestamps_sec(),
            (shown - shown[0]) * scanned.index.time_base[0] / scanned.index.time_base[1],
        )
        assert (result["row"]["seconds"], result["row"]["fps"]) == (scanned.seconds, scanned.fps)
        assert result["row"]["is_variable_frame_rate"] == scanned.is_variable_frame_rate
        assert result["row"]["rotation"] == 0
        size = FrameSize(result["row"]["height"], result["row"]["width"])
        whole_FHWC = ClipDecoder(size).decode_all(path)
        copied_FHWC = ClipDecoder().decode_all(target)
        assert copied_FHWC.shape == whole_FHWC.shape
        if config.format == "raw":
            np.testing.assert_array_equal(copied_FHWC, whole_FHWC)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_originals_become_upright_copies(original: Path, tmp_path: Path, degrees: int) -> None:
    turned = rotate_mp4(original, tmp_path / "turned.mp4", degrees)
    result = copy(turned, tmp_path / "c.mp4", PrepareConfig(short_side=24))
    sides = (result["row"]["height"], result["row"]["width"])
    assert sides == ((32, 24) if degrees % 180 else (24, 32))
    pictures_FHWC = ClipDecoder().decode_all(tmp_path / "c.mp4")
    assert read_numbers(np.rot90(pictures_FHWC, degrees // 90, (1, 2))) == list(range(40))


def test_another_rate_drops_and_repeats_frames_and_tells_the_true_times(
    original: Path, tmp_path: Path
) -> None:
    for fps in (10, 40):
        config = PrepareConfig(fps=fps)
        row = copy(original, tmp_path / "c.mp4", config)["row"]
        plan = plan_frames(probe_video(original).index, 1.6, config)
        assert read_numbers(ClipDecoder().decode_all(tmp_path / "c.mp4")) == plan.source_K.tolist()
        assert (row["frames"], row["is_variable_frame_rate"]) == (round(1.6 * fps), False)
        assert row["fps"] == pytest.approx(fps)
        assert row["seconds"] == pytest.approx(1.6)


def test_a_single_frame_keeps_its_length(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "one.mp4", 1, fps=10)
    row = copy(path, tmp_path / "c.mp4")["row"]
    assert (row["frames"], row["seconds"], row["fps"]) == (
        1,
        probe_video(path).seconds,
        probe_video(path).fps,
    )


def test_colours_of_another_matrix_are_kept(tmp_path: Path) -> None:
    """A file that says BT.709 and full range decodes to colours; so does its copy, which says nothing."""
    frames_FHWC = number_frames(range(8))
    path = write_numbers(tmp_path / "hd.mkv", 8, options={"x264-params": "colormatrix=bt709:fullrange=on"})
    copy(path, tmp_path / "c.mp4", PrepareConfig(crf=5))
    seen = ClipDecoder().decode_all(path).astype(int)
    kept = ClipDecoder().decode_all(tmp_path / "c.mp4").astype(int)
    assert np.abs(seen[:, 8::16, 8::16] - kept[:, 8::16, 8::16]).max() < 6
    assert frames_FHWC.shape == kept.shape


def test_the_same_original_gives_the_same_bytes(original: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        copy(original, tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_damage_of_the_original_is_told_on(original: Path, tmp_path: Path) -> None:
    row = copy(original, tmp_path / "c.mp4", note="header promises 50 frames, 40 decode")["row"]
    assert row["note"] == "original: header promises 50 frames, 40 decode"


def test_originals_that_changed_are_noticed(original: Path, tmp_path: Path) -> None:
    target = tmp_path / "c.mp4"
    assert "another size than scanned" in copy(original, target, bytes=3)["reason"]
    short = write_numbers(tmp_path / "short.mp4", 30)
    index = describe_job(original, target)["index"]
    assert "the file ends after 30 of 40 frames" in copy(short, target, index=index)["reason"]
    slow = write_numbers(tmp_path / "slow.mp4", fps=10)
    assert "other ticks of time than scanned" in copy(slow, target, index=index)["reason"]
    late = {**index, "first_pts": 512}
    assert (
        "another timestamp than scanned; the file has changed" in copy(original, target, index=late)["reason"]
    )
    assert "no such file" in copy(original, target, path=str(tmp_path / "none.mp4"))["reason"]
    assert [child.name for child in tmp_path.iterdir() if child.name[0] in ".c"] == []
    assert copy(original, target, mtime_ns=3)["is_touched"]


def test_a_copy_never_takes_the_place_of_its_original(original: Path, tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", 3)
    before = path.read_bytes()
    (tmp_path / "b.mp4").symlink_to(path)
    for target in (path, tmp_path / "b.mp4"):
        assert "is itself in the place of its copy" in copy(path, target)["reason"]
    assert path.read_bytes() == before


def test_a_copy_that_reads_back_wrong_is_not_kept(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = describe_job(original, tmp_path / "c.mp4", verify=True)
    add = module.CopyWriter.add

    def lose(self: module.CopyWriter, picture_HWC: Any, tick: int) -> None:
        if tick != 7 * 512:
            add(self, picture_HWC, tick)

    def delay(self: module.CopyWriter, picture_HWC: Any, tick: int) -> None:
        add(self, picture_HWC, tick + (tick == 39 * 512))

    def swap(self: module.CopyWriter, picture_HWC: Any, tick: int) -> None:
        add(self, 255 - picture_HWC if tick == 20 * 512 else picture_HWC, tick)

    for change, reason in (
        (lose, "its copy has 39 of 40 frames"),
        (delay, "frames of its copy are not shown when they should be"),
        (swap, "its copy differs: a picture has "),
    ):
        monkeypatch.setattr(module.CopyWriter, "add", change)
        result = copy_file(job)
        assert reason in result["reason"]
        assert list(tmp_path.iterdir()) == []
    assert result["reason"].endswith("and 25 are the least (frame 20)")


def test_a_copy_that_is_there_is_compared_and_removed_when_it_is_wrong(
    original: Path, tmp_path: Path
) -> None:
    good, wrong = tmp_path / "good.mp4", tmp_path / "wrong.mp4"
    made = copy(original, good)
    again = copy(original, good, is_made=True)
    assert (again["psnr"], again["mtime_ns"]) == (made["psnr"], made["mtime_ns"])
    assert "row" not in again
    other = write_numbers(tmp_path / "o.mp4", 40, height=60)
    copy(other, wrong, PrepareConfig(short_side=128))
    assert "differs: a picture has 0.0 dB" in copy(original, wrong, is_made=True)["reason"]
    assert not wrong.exists()
    good.write_bytes(b"no video at all")
    assert "not a media file" in copy(original, good, is_made=True)["reason"]
    assert not good.exists()


def test_a_copy_that_is_slow_to_read_stays(original: Path, tmp_path: Path) -> None:
    copy(original, tmp_path / "c.mp4")
    result = copy(original, tmp_path / "c.mp4", is_made=True, time_limit_sec=1e-6)
    assert "not read within 1e-06 s" in result["reason"]
    assert (tmp_path / "c.mp4").exists()


def test_when_the_original_is_gone_the_copy_stays(original: Path, tmp_path: Path) -> None:
    copy(original, tmp_path / "c.mp4")
    result = copy(original, tmp_path / "c.mp4", is_made=True, path=str(tmp_path / "gone.mp4"))
    assert "no such file" in result["reason"]
    assert (tmp_path / "c.mp4").exists()


@pytest.mark.parametrize(
    ("code", "key"), [(errno.ENOSPC, "stop"), (errno.EROFS, "stop"), (errno.EIO, "reason")]
)
def test_a_full_disk_stops_everything_and_other_faults_one_copy(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, key: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module.CopyWriter, "add", fail)
    result = copy_file(describe_job(original, tmp_path / "c.mp4"))
    assert list(result) == [key]
    assert f"cannot be written: {os.strerror(code).lower()}" in result[key]
    assert list(tmp_path.iterdir()) == []


def test_what_the_encoder_refuses_is_a_reason(tmp_path: Path) -> None:
    path = write_numbers(tmp_path / "a.mp4", 2)
    result = copy_file(describe_job(path, tmp_path / "c.mp4", PrepareConfig(short_side=2, width=20000)))
    assert "cannot be written" in result["reason"]


def test_copies_hold_no_sound_and_three_planes(original: Path, tmp_path: Path) -> None:
    copy(original, tmp_path / "c.mp4")
    with VideoFile(tmp_path / "c.mp4", module.Deadline(tmp_path, 0)) as video:
        assert next(video.read_frames()).format.name == "yuv420p"
        assert len(video._container.streams) == 1


def test_likeness_is_the_peak_signal_to_noise_ratio(tmp_path: Path) -> None:
    # An error of 5 levels everywhere: 20 log10(255 / 5) = 34.15 dB.
    one = np.full((4, 4), 100, np.uint8)
    assert module._measure_psnr(one, one + 5) == pytest.approx(34.1514, abs=1e-3)
    assert module._measure_psnr(one, one) == 100.0
    assert module._measure_psnr(one, one[:2]) == 0.0
    path = write_numbers(tmp_path / "a.mp4", 3)
    job = describe_job(path, tmp_path / "c.raw.mov", RAW)
    copy_file(job)
    assert compare_copy(tmp_path / "c.raw.mov", job, RAW) == 100.0


def test_pictures_are_arranged_as_the_encoder_wants_them() -> None:
    picture_HWC = number_frames([5])[0][:, ::-1]
    assert to_frame(picture_HWC, "rgb24").to_ndarray().tolist() == picture_HWC.tolist()
    assert to_frame(picture_HWC, "yuv420p").format.name == "yuv420p"


def test_only_what_is_half_written_is_cleaned_up(tmp_path: Path) -> None:
    keep = [tmp_path / "a" / "x.mp4", tmp_path / ".hidden.mp4", tmp_path / "b.tmp"]
    (tmp_path / "a").mkdir()
    for path in (*keep, tmp_path / "a" / ".x.mp4.abc.tmp"):
        path.write_bytes(b"")
    clean_up(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(keep)
