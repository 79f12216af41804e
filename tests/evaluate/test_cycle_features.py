import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.tiny import build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.cycle_features import CycleFeatures, embed_cycle
from unreel.features.encoder import Encoder
from unreel.features.reading import ReadConfig

READ = ReadConfig(clips_per_video=2, batch_size=8, num_workers=0)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_frame_encoder()


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def embed(
    encoder: Encoder, catalog: Catalog, query: str = "test", gallery: str = "train", **rest: float
) -> CycleFeatures:
    return embed_cycle(
        encoder,
        catalog,
        query_split=query,
        gallery_split=gallery,
        read=READ,
        max_rejected_fraction=rest.get("max_rejected_fraction", 0.05),
    )


def test_frames_and_clips_are_those_of_the_network(encoder: Encoder, catalog: Catalog) -> None:
    features = embed(encoder, catalog)
    assert features.query_frames_NRD.shape == (6, 4, encoder.num_features)
    assert features.query_clips_ND.shape == (6, encoder.num_features)
    video = catalog.select("test").video(1)
    plan = encoder.spec.build_sampling(2).sample(video.frames, np.random.default_rng()).frames_NT
    clips = torch.from_numpy(ClipDecoder(encoder.spec.frame_size).decode(video.path, video.index, plan))
    expected = encoder.embed_clips(clips, ["frame", "average"])
    np.testing.assert_allclose(features.query_frames_NRD[2:4], expected["frame"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(features.query_clips_ND[2:4], expected["average"][:, 0], rtol=1e-3, atol=1e-5)


def test_tables_hold_every_clip_and_its_middle_frame(encoder: Encoder, catalog: Catalog) -> None:
    features = embed(encoder, catalog)
    assert len(features.clips) == len(features.frames) == 24
    assert features.clips.video_ids.tolist() == features.frames.video_ids.tolist()
    is_query = features.frames.column("split") == "test"
    np.testing.assert_array_equal(features.frames.vectors[is_query], features.query_frames_NRD[:, 2])
    np.testing.assert_array_equal(features.clips.vectors[is_query], features.query_clips_ND)
    video = catalog.select("test").video(0)
    plan = encoder.spec.build_sampling(2).sample(video.frames, np.random.default_rng()).frames_NT
    assert features.frames.column("frame_index")[is_query][:2].tolist() == plan[:, 2].tolist()


def test_clips_that_show_the_same_frames_are_taken_once(catalog: Catalog) -> None:
    """The span covers the whole video, so both clips of a video are one."""
    encoder = build_frame_encoder()
    whole = type(encoder.config.input)(
        sampling="frame_per_part", num_frames=4, span_frames=0, decode_height=24, decode_width=32, crop_px=16
    )
    encoder = Encoder(encoder.backbone, type(encoder.config)(encoder.config.backbone, whole))
    features = embed(encoder, catalog)
    assert len(features.query_clips_ND) == 3
    assert len(features.clips) == 24


def test_all_videos_take_part_without_splits(encoder: Encoder, catalog: Catalog) -> None:
    features = embed(encoder, catalog, "", "")
    assert len(features.query_clips_ND) == 24
    features = embed(encoder, catalog, "test", "")
    assert (len(features.query_clips_ND), len(features.clips)) == (6, 24)


def test_videos_of_other_splits_are_not_even_read(encoder: Encoder, catalog: Catalog) -> None:
    features = embed(encoder, catalog, "test", "test")
    assert (len(features.query_clips_ND), len(features.clips)) == (6, 6)


def test_rejected_videos_are_named_or_stop_the_evaluation(
    encoder: Encoder, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").unlink()
    catalog = Catalog.load(tmp_path / "copy" / "catalog.parquet", root=tmp_path / "copy")
    features = embed(encoder, catalog, max_rejected_fraction=0.1)
    assert [Path(rejection.path).name for rejection in features.rejected] == ["03.mp4"]
    assert (len(features.query_clips_ND), len(features.clips)) == (4, 22)
    with pytest.raises(FeaturesError, match=r"1 of 12 videos cannot be used.*03.mp4"):
        embed(encoder, catalog)
    for name in ("07.mp4", "11.mp4"):
        (tmp_path / "copy" / name).unlink()
    with pytest.raises(FeaturesError, match="no video of the query split 'test' can be used"):
        embed(encoder, catalog, max_rejected_fraction=0.5)


@pytest.mark.parametrize("fraction", [-1.0, 2.0])
def test_a_limit_that_is_no_share_is_refused(encoder: Encoder, catalog: Catalog, fraction: float) -> None:
    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1"):
        embed(encoder, catalog, max_rejected_fraction=fraction)


def test_a_missing_split_is_refused(encoder: Encoder, catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="no split 'val'"):
        embed(encoder, catalog, "val", "train")


def test_a_network_without_frame_features_gives_one_position(catalog: Catalog) -> None:
    features = embed(build_encoder(), catalog)
    assert features.query_frames_NRD.shape[1] == 1
    np.testing.assert_allclose(features.query_frames_NRD[:, 0], features.query_clips_ND, rtol=1e-5, atol=1e-7)
