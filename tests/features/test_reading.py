import multiprocessing
import shutil
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.features.tiny import SPEC, build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.data.clips import UniformClips
from unreel.data.decode import ClipDecoder
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.features.reading import EmbeddedVideo, ReadConfig, embed_videos

READ = ReadConfig(clips_per_video=2, batch_size=8, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


class Recorder:
    """Stands in for an encoder and keeps what it was given."""

    name, hash, spec, num_features, precision = "recorder", "r", SPEC, 1, "float32"
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.passes: list[list[Tensor]] = []

    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> Mapping[Pooling, NDArray[np.float32]]:
        parts = list(frames_BTHWC)
        self.passes.append(parts)
        means = torch.cat([part.float().mean(dim=(1, 2, 3, 4)) for part in parts])
        return dict.fromkeys(poolings, means[:, None, None].numpy())


def vectors(videos: Sequence[EmbeddedVideo]) -> NDArray[np.float32]:
    return np.stack([video.features["average"] for video in videos])


def break_video(corpus: Path, folder: Path, name: str) -> Catalog:
    """Return a catalog of a copy of the corpus in which one file has been damaged since the scan."""
    shutil.copytree(corpus.parent, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:200])
    return Catalog.load(folder / "catalog.parquet", root=folder)


def test_every_video_comes_back_once_in_order_with_its_clips(catalog: Catalog) -> None:
    recorder = Recorder()
    videos = list(embed_videos(recorder, catalog, range(12), ["average"], READ))
    assert [video.row for video in videos] == list(range(12))
    decoder = ClipDecoder(SPEC.frame_size)
    for video in videos:
        truth = catalog.video(video.row)
        plan = UniformClips(2, 4, 2).sample(truth.frames, np.random.default_rng()).frames_NT
        np.testing.assert_array_equal(video.frames_NT, plan)
        clips = decoder.decode(truth.path, truth.index, plan)
        expected = clips.mean(axis=(1, 2, 3, 4))
        np.testing.assert_allclose(video.features["average"][:, 0, 0], expected, rtol=1e-5)


def test_every_pass_has_the_same_shape_the_last_one_too(catalog: Catalog) -> None:
    recorder = Recorder()
    list(embed_videos(recorder, catalog, range(10), ["average"], READ))
    # 8 clips are 4 videos: passes of 4, 4 and 2 videos and 2 black ones.
    assert [len(parts) for parts in recorder.passes] == [4, 4, 4]
    assert all(part.shape[:2] == (2, 4) for parts in recorder.passes for part in parts)
    assert all(int(part.max()) == 0 for part in recorder.passes[-1][2:])


def test_vectors_do_not_depend_on_the_number_of_workers(catalog: Catalog, encoder: Encoder) -> None:
    alone = vectors(list(embed_videos(encoder, catalog, range(12), ["average"], READ)))
    workers = ReadConfig(clips_per_video=2, batch_size=8, num_workers=2)
    together = vectors(list(embed_videos(encoder, catalog, range(12), ["average"], workers)))
    np.testing.assert_array_equal(alone, together)


def test_workers_may_start_in_any_way_the_system_has(
    catalog: Catalog, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are not forked, reader and decoder travel to them."""
    alone = vectors(list(embed_videos(encoder, catalog, range(4), ["average"], READ)))
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", get_context("spawn"))
    workers = ReadConfig(clips_per_video=2, batch_size=8, num_workers=1)
    np.testing.assert_array_equal(
        alone, vectors(list(embed_videos(encoder, catalog, range(4), ["average"], workers)))
    )


def test_whole_passes_give_the_same_bits_wherever_one_starts(catalog: Catalog, encoder: Encoder) -> None:
    everything = vectors(list(embed_videos(encoder, catalog, range(12), ["average"], READ)))
    later = vectors(list(embed_videos(encoder, catalog, range(8, 12), ["average"], READ)))
    np.testing.assert_array_equal(everything[8:], later)


def test_a_video_that_fails_is_named_and_its_neighbours_do_not_notice(
    corpus: Path, tmp_path: Path, catalog: Catalog, encoder: Encoder
) -> None:
    broken = break_video(corpus, tmp_path / "copy", "01.mp4")
    sound = list(embed_videos(encoder, catalog, range(4), ["average"], READ))
    videos = list(embed_videos(encoder, broken, range(4), ["average"], READ))
    assert [video.rejection is None for video in videos] == [True, False, True, True]
    rejection = videos[1].rejection
    assert rejection is not None
    assert rejection.path.endswith("copy/01.mp4")
    assert rejection.reason
    assert videos[1].features == {}
    for row in (0, 2, 3):
        np.testing.assert_array_equal(videos[row].features["average"], sound[row].features["average"])


def test_a_file_that_is_gone_is_named(corpus: Path, tmp_path: Path, encoder: Encoder) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "02.mp4").unlink()
    moved = Catalog.load(tmp_path / "copy" / "catalog.parquet", root=tmp_path / "copy")
    videos = list(embed_videos(encoder, moved, range(4), ["average"], READ))
    assert [video.row for video in videos if video.rejection is not None] == [2]


def test_features_that_are_no_numbers_reject_the_video(catalog: Catalog) -> None:
    encoder = build_encoder()
    with torch.no_grad():
        next(encoder.backbone.parameters()).fill_(float("nan"))
    video = next(embed_videos(encoder, catalog, [0], ["average"], READ))
    assert video.rejection is not None
    assert "NaN or infinity" in video.rejection.reason


def test_frames_and_clips_come_together(catalog: Catalog) -> None:
    video = next(embed_videos(build_frame_encoder(), catalog, [0], ["frame", "average"], READ))
    assert video.features["frame"].shape[:2] == (2, 4)
    assert video.features["average"].shape[:2] == (2, 1)


def test_a_batch_holds_whole_videos_and_at_least_one() -> None:
    assert ReadConfig(clips_per_video=10, batch_size=32).videos_per_batch == 3
    assert ReadConfig(clips_per_video=10, batch_size=4).videos_per_batch == 1


@pytest.mark.parametrize(("name", "lowest"), [("clips_per_video", 1), ("batch_size", 1), ("num_workers", -1)])
def test_numbers_out_of_range_are_refused(name: str, lowest: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least {lowest}, got {lowest - 1}"):
        ReadConfig(**{name: lowest - 1})


def orders_of_some(row: int) -> NDArray[np.int64]:
    """Two further orders of the clips of odd videos, none of the others."""
    both = np.array([[[3, 2, 1, 0], [1, 0, 3, 2]], [[0, 1, 2, 3], [2, 0, 1, 3]]])
    return both if row % 2 else both[:0]


def test_clips_come_in_further_orders_of_their_frames_too(catalog: Catalog, encoder: Encoder) -> None:
    videos = list(embed_videos(encoder, catalog, range(12), ["average"], READ, orders=orders_of_some))
    assert [len(video.reordered) for video in videos] == [0, 2] * 6
    decoder = ClipDecoder(SPEC.frame_size)
    for video in videos[1::2]:
        truth = catalog.video(video.row)
        clips = decoder.decode(truth.path, truth.index, video.frames_NT)
        for features, order_NT in zip(video.reordered, orders_of_some(video.row), strict=True):
            moved = np.stack([clip[order] for clip, order in zip(clips, order_NT, strict=True)])
            expected = encoder.embed_clips(torch.from_numpy(moved))["average"]
            np.testing.assert_allclose(features["average"], expected, rtol=1e-3, atol=1e-5)
        # The first clip of the second order is the clip as it is.
        np.testing.assert_allclose(
            video.reordered[1]["average"][0], video.features["average"][0], rtol=1e-3, atol=1e-5
        )


def test_further_orders_change_no_bit_of_the_clips_as_they_are(catalog: Catalog, encoder: Encoder) -> None:
    plain = list(embed_videos(encoder, catalog, range(12), ["average"], READ))
    both = list(embed_videos(encoder, catalog, range(12), ["average"], READ, orders=orders_of_some))
    np.testing.assert_array_equal(vectors(plain), vectors(both))
    assert all(video.reordered == () for video in plain)


def test_passes_of_further_orders_have_the_same_shape_and_black_places(catalog: Catalog) -> None:
    recorder = Recorder()
    list(embed_videos(recorder, catalog, range(10), ["average"], READ, orders=orders_of_some))
    assert [len(parts) for parts in recorder.passes] == [4] * 9
    _, first, second = recorder.passes[:3]
    for parts in (first, second):
        assert [int(part.max()) > 0 for part in parts] == [False, True, False, True]
    # The frames are those of the first pass, and in another order.
    plain = recorder.passes[0][1]
    assert torch.equal(first[1][0], plain[0, [3, 2, 1, 0]])
    assert torch.equal(second[1][1], plain[1, [2, 0, 1, 3]])


def test_a_further_order_that_gives_no_numbers_rejects_the_video(catalog: Catalog) -> None:
    class Failing(Recorder):
        def embed_clips(
            self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
        ) -> Mapping[Pooling, NDArray[np.float32]]:
            found = super().embed_clips(frames_BTHWC, poolings)
            return found if len(self.passes) < 3 else {name: rows * np.nan for name, rows in found.items()}

    videos = list(embed_videos(Failing(), catalog, [0, 1], ["average"], READ, orders=orders_of_some))
    assert [video.rejection is None for video in videos] == [True, False]


@pytest.mark.parametrize("seconds", [float("nan"), -1.0, float("inf")])
def test_a_time_limit_that_would_be_none_by_accident_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"decode_time_limit_sec must be a number of seconds, or 0 for no"):
        ReadConfig(decode_time_limit_sec=seconds)
