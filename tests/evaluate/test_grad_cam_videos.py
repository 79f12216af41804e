import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.features.tiny import PARTS_SPEC, SPEC
from unreel.augment.views import center_crop
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.grad_cam import locate, score_own_direction, stretch_time
from unreel.evaluate.grad_cam_target import Target
from unreel.evaluate.grad_cam_videos import GradCamResult, VideoMaps, look_at_videos
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.models.backbone import Backbone
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig

FRAME_SPEC = InputSpec(
    num_frames=1,
    frame_stride=1,
    decode_height=48,
    decode_width=0,
    crop_px=48,
    mean=(0.4, 0.4, 0.4),
    std=(0.2, 0.2, 0.2),
)
CLIP_SPEC = replace(SPEC, num_frames=6, crop_px=24)


def build_frame_network() -> Encoder:
    return Encoder.untrained(EncoderConfig(ResNetConfig(depth=18, width=0.0625), FRAME_SPEC))


def build_clip_network() -> Encoder:
    return Encoder.untrained(EncoderConfig(R3DConfig(depth=10, width=0.0625), CLIP_SPEC))


def build_parts_network() -> Encoder:
    return Encoder.untrained(EncoderConfig(R3DPlus1Config(width=0.0625), replace(PARTS_SPEC, crop_px=24)))


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def look(encoder: Encoder, catalog: Catalog, **settings: object) -> GradCamResult:
    return look_at_videos(encoder, catalog, num_workers=0, **settings)  # type: ignore[arg-type]


def decode(catalog: Catalog, row: int, spec: InputSpec, frames: list[int]) -> torch.Tensor:
    video = catalog.video(row)
    clip = ClipDecoder(spec.frame_size).decode(video.path, video.index, np.array([frames]))
    return torch.from_numpy(clip)


def same(one: VideoMaps, other: VideoMaps) -> bool:
    return one.to_json() == other.to_json() and np.array_equal(one.pictures_FHWC, other.pictures_FHWC)


def test_a_network_of_single_frames_judges_each_frame_alone(catalog: Catalog) -> None:
    encoder = build_frame_network()
    result = look(encoder, catalog.take([5]), num_frames=4)
    (video,) = result.videos
    # 20 frames: linspace(0, 19, 4), to the nearest frame.
    frames = [0, 6, 13, 19]
    assert video.frames_F.tolist() == frames
    assert video.seconds_F.tolist() == pytest.approx([frame / 25 for frame in frames])
    clip_1THWC = decode(catalog, 5, FRAME_SPEC, frames)
    lengths = []
    for place in range(4):
        picture = clip_1THWC[:, place : place + 1]
        with torch.no_grad():
            clips_BCTHW = center_crop(picture, 48, mean=FRAME_SPEC.mean, std=FRAME_SPEC.std)
            map_BDTHW = encoder.backbone.forward_map(clips_BCTHW)
        shares_BTHW, score_B = locate(map_BDTHW, score_own_direction)
        lengths.append(score_B.item())
        np.testing.assert_allclose(video.shares_FHW[place], shares_BTHW[0, 0], rtol=1e-4, atol=1e-5)
        assert video.shares_FHW[place].max() == 1
        # 48 x 64 pixels: the middle 48 columns, bit by bit.
        np.testing.assert_array_equal(video.pictures_FHWC[place], picture[0, 0, :, 8:56].numpy())
    assert video.score == pytest.approx(sum(lengths) / 4, rel=1e-5)
    assert video.shares_FHW.shape == (4, 2, 2)
    assert (video.shares_FHW.dtype, video.pictures_FHWC.dtype) == (np.float32, np.uint8)
    assert (result.clip_frames, result.encoder, result.rejected) == (1, "untrained, seed 0", ())


def test_the_length_is_that_of_the_features_which_extraction_gives(catalog: Catalog) -> None:
    for encoder, frames in ((build_frame_network(), [[0], [19]]), (build_parts_network(), None)):
        (video,) = look(encoder, catalog.take([0]), num_frames=2).videos
        clips = frames or [[4, 8, 12, 16]]
        decoded = torch.cat([decode(catalog, 0, encoder.spec, clip) for clip in clips])
        vectors = encoder.embed_clips(decoded)["average"]
        assert video.score == pytest.approx(np.linalg.norm(vectors, axis=-1).mean(), rel=1e-5)


def test_a_network_of_clips_judges_the_clip_in_the_middle_as_a_whole(catalog: Catalog) -> None:
    encoder = build_clip_network()
    (video,) = look(encoder, catalog.take([3]), num_frames=6).videos
    # 6 frames with stride 2 span 12 of 20: the middle of the starts 0 to 8 is 4.
    frames = [4, 6, 8, 10, 12, 14]
    assert video.frames_F.tolist() == frames
    with torch.no_grad():
        map_BDTHW = encoder.backbone.forward_map(center_crop(decode(catalog, 3, CLIP_SPEC, frames), 24))
    assert map_BDTHW.shape[2:] == (1, 2, 2)
    expected = stretch_time(locate(map_BDTHW, score_own_direction)[0], 6)[0]
    np.testing.assert_allclose(video.shares_FHW, expected, rtol=1e-4, atol=1e-5)
    assert video.shares_FHW.max() == 1


def test_of_a_clip_some_frames_are_shown_with_their_own_part_of_the_map(catalog: Catalog) -> None:
    encoder = build_parts_network()
    (whole,) = look(encoder, catalog.take([3]), num_frames=4).videos
    (part,) = look(encoder, catalog.take([3]), num_frames=3).videos
    (one,) = look(encoder, catalog.take([3]), num_frames=1).videos
    assert whole.frames_F.tolist() == [4, 8, 12, 16]
    # One largest for the whole clip, not for each frame.
    assert sorted(whole.shares_FHW.max(axis=(1, 2)) == 1) == [False, False, False, True]
    for shown, places in ((part, [0, 1, 3]), (one, [0])):
        assert shown.frames_F.tolist() == whole.frames_F[places].tolist()
        np.testing.assert_array_equal(shown.shares_FHW, whole.shares_FHW[places])
        np.testing.assert_array_equal(shown.pictures_FHWC, whole.pictures_FHWC[places])
        assert shown.score == whole.score


def test_what_a_short_video_would_show_twice_is_shown_once(catalog: Catalog) -> None:
    (video,) = look(build_frame_network(), catalog.take([0]), num_frames=32).videos
    assert video.frames_F.tolist() == list(range(20))
    assert len(video.pictures_FHWC) == len(video.shares_FHW) == len(video.seconds_F) == 20
    long = replace(CLIP_SPEC, num_frames=24, frame_stride=1)
    encoder = Encoder.untrained(EncoderConfig(R3DConfig(depth=10, width=0.0625), long))
    (video,) = look(encoder, catalog.take([0]), num_frames=32).videos
    assert video.frames_F.tolist() == list(range(20))


class Eye(Backbone):
    """Sees the mean color of squares of 6 x 6 pixels and of two frames."""

    num_features = 3

    def forward_map(self, clips_BCTHW: torch.Tensor) -> torch.Tensor:
        """Return it."""
        return F.avg_pool3d(clips_BCTHW, (2, 6, 6))


def test_the_map_lies_where_the_picture_is(catalog: Catalog) -> None:
    """In a network whose places are known, bright squares of the picture are the strong places of the map."""
    spec = replace(CLIP_SPEC, decode_height=24, decode_width=32)
    encoder = Encoder(Eye().eval(), EncoderConfig(R3DConfig(), spec))
    (video,) = look(encoder, catalog.take([1]), num_frames=6).videos
    # 6 frames in pairs, 24 rows and columns in sixes, colors.
    blocks = video.pictures_FHWC.reshape(3, 2, 4, 6, 4, 6, 3).mean(axis=(1, 3, 5)) / 255
    feature = blocks.mean(axis=(0, 1, 2))
    expected_THW = (blocks @ feature) / (blocks @ feature).max()
    # Middles of the pairs are at 0.5, 2.5 and 4.5: frame 1 lies a quarter of the way, and so on.
    first, second, third = expected_THW
    mixes = [(1, 0, 0), (0.75, 0.25, 0), (0.25, 0.75, 0), (0, 0.75, 0.25), (0, 0.25, 0.75), (0, 0, 1)]
    for shares_HW, (a, b, c) in zip(video.shares_FHW, mixes, strict=True):
        np.testing.assert_allclose(shares_HW, a * first + b * second + c * third, rtol=1e-4)
    assert expected_THW.max() > 1.5 * expected_THW.min()


def test_neither_the_batch_size_nor_the_neighbours_change_what_is_seen(catalog: Catalog) -> None:
    encoder = build_frame_network()
    whole = look(encoder, catalog.take([1, 4, 6]), num_frames=5)
    assert [video.path for video in whole.videos] == ["01.mp4", "04.mp4", "06.mp4"]
    assert [video.video_id for video in whole.videos] == [catalog.ids[row] for row in (1, 4, 6)]
    assert [video.label for video in whole.videos] == ["speed1", "speed1", "speed0"]
    assert same(look(encoder, catalog.take([4]), num_frames=5).videos[0], whole.videos[1])
    split = look(encoder, catalog.take([4]), num_frames=5, batch_size=2).videos[0]
    np.testing.assert_allclose(split.shares_FHW, whole.videos[1].shares_FHW, rtol=1e-4, atol=1e-5)
    in_workers = look_at_videos(encoder, catalog.take([4]), num_frames=5, num_workers=1).videos[0]
    assert same(in_workers, whole.videos[1])


def test_looking_changes_nothing_in_the_encoder(catalog: Catalog) -> None:
    encoder = build_frame_network()
    before = copy.deepcopy(encoder.backbone.state_dict())
    look(encoder, catalog.take([0]))
    assert all(torch.equal(value, before[name]) for name, value in encoder.backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.backbone.parameters())
    assert not encoder.backbone.training


def build_classifier(encoder: Encoder, weights_CD: np.ndarray) -> LinearClassifier:
    return LinearClassifier(("run", "walk"), weights_CD, None, encoder.hash, "average")


def test_one_class_is_explained_in_all_frames_of_a_video(catalog: Catalog) -> None:
    encoder = build_frame_network()
    rng = np.random.default_rng(0)
    classifier = build_classifier(encoder, rng.standard_normal((2, encoder.num_features)).astype(np.float32))
    (found,) = look(encoder, catalog.take([2]), target=Target(classifier)).videos
    named = {
        name: look(encoder, catalog.take([2]), target=Target(classifier, name)).videos[0]
        for name in classifier.classes
    }
    best = max(named.values(), key=lambda video: video.score)
    assert found.target == best.target
    assert same(found, best)
    assert [video.target for video in named.values()] == ["run", "walk"]
    assert not np.allclose(named["run"].shares_FHW, named["walk"].shares_FHW)
    decoded = decode(catalog, 2, FRAME_SPEC, found.frames_F.tolist())[0][:, None]
    scores_XC = classifier.scores(encoder.embed_clips(decoded)["average"][:, 0])
    expected = dict(zip(classifier.classes, scores_XC.mean(axis=0).tolist(), strict=True))
    assert {name: video.score for name, video in named.items()} == pytest.approx(expected, abs=1e-4)


def test_frames_in_which_nothing_speaks_for_the_class_are_told(catalog: Catalog) -> None:
    encoder = build_frame_network()
    weights_CD = np.ones((2, encoder.num_features), dtype=np.float32)
    weights_CD[1] = -1
    target = Target(build_classifier(encoder, weights_CD), "walk")
    (video,) = look(encoder, catalog.take([2]), target=target, num_frames=3).videos
    # The last map is behind a ReLU, so that negative weights find nothing.
    assert video.is_blank == [True] * 3
    assert not video.shares_FHW.any()
    target = Target(build_classifier(encoder, weights_CD))
    (video,) = look(encoder, catalog.take([2]), target=target, num_frames=3).videos
    assert (video.target, video.is_blank) == ("run", [False] * 3)


def test_videos_that_cannot_be_read_are_listed(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    catalog = Catalog.load(tmp_path / "copy" / "catalog.parquet", root=tmp_path / "copy")
    for name in ("01.mp4", "02.mp4"):
        (tmp_path / "copy" / name).write_bytes(b"damaged")
    states: list[tuple[int, int, str]] = []
    result = look(
        build_frame_network(),
        catalog.take([0, 1, 2, 3]),
        num_frames=2,
        progress=lambda *state: states.append(state),
    )
    assert [video.path for video in result.videos] == ["00.mp4", "03.mp4"]
    assert [Path(item.path).name for item in result.rejected] == ["01.mp4", "02.mp4"]
    assert states[-1] == (4, 4, "2 rejected")
    with pytest.raises(CatalogError, match="none of the 2 videos can be read"):
        look(build_frame_network(), catalog.take([1, 2]))


def test_a_network_that_gives_no_numbers_is_refused(catalog: Catalog) -> None:
    encoder = build_frame_network()
    with torch.no_grad():
        next(encoder.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(
        FeaturesError, match=r"none of 2 videos can be looked at; the first: .* NaN or infini"
    ):
        look(encoder, catalog.take([0, 1]))


def test_a_video_on_which_the_network_gives_no_numbers_is_listed(catalog: Catalog) -> None:
    encoder = build_frame_network()
    forward, calls = encoder.backbone.forward_map, []

    def fail_once(clips_BCTHW: torch.Tensor) -> torch.Tensor:
        calls.append(len(clips_BCTHW))
        return forward(clips_BCTHW) / (0.0 if len(calls) == 2 else 1.0)

    encoder.backbone.forward_map = fail_once  # type: ignore[method-assign]
    result = look(encoder, catalog.take([0, 1, 2]), num_frames=5)
    assert calls == [5, 5, 5]  # forwards once, and no network is run for a gradient
    assert [video.path for video in result.videos] == ["00.mp4", "02.mp4"]
    (rejection,) = result.rejected
    assert Path(rejection.path).name == "01.mp4"
    assert "NaN or infinity" in rejection.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_frames": 0}, "num_frames must lie between 1 and 32, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(catalog: Catalog, change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        look(build_frame_network(), catalog.take([0]), **change)


def test_a_network_in_training_mode_and_an_empty_catalog_are_refused(catalog: Catalog) -> None:
    encoder = build_frame_network()
    with pytest.raises(CatalogError, match="holds no video"):
        look(encoder, catalog.take([]))
    encoder.backbone.train()
    with pytest.raises(ValueError, match="the backbone is in training mode"):
        look(encoder, catalog.take([0]))


def test_the_result_is_plain_values() -> None:
    video = VideoMaps(
        video_id="ab",
        path="a.mp4",
        label="run",
        target="walk",
        score=1.5,
        frames_F=np.array([3, 5]),
        seconds_F=np.array([0.3, 0.5]),
        pictures_FHWC=np.zeros((2, 4, 4, 3), dtype=np.uint8),
        shares_FHW=np.array([[[0.5, 1.0]], [[0.0, 0.0]]], dtype=np.float32),
    )
    result = GradCamResult((video,), "ccl/encoder", 4, (Rejection("b.mp4", "damaged"),))
    assert json.loads(json.dumps(result.to_json())) == {
        "figure": "gradcam",
        "encoder": "ccl/encoder",
        "clip_frames": 4,
        "videos": [
            {
                "id": "ab",
                "path": "a.mp4",
                "label": "run",
                "target": "walk",
                "score": 1.5,
                "frames": [3, 5],
                "seconds": [0.3, 0.5],
                "blank": [False, True],
                "maps": [[[0.5, 1.0]], [[0.0, 0.0]]],
            }
        ],
        "rejected": [{"path": "b.mp4", "reason": "damaged"}],
    }


@pytest.mark.gpu
def test_a_gpu_sees_what_a_processor_sees(catalog: Catalog) -> None:
    for build in (build_frame_network, build_parts_network):
        (expected,) = look(build(), catalog.take([0])).videos
        (found,) = look(build().to("cuda"), catalog.take([0])).videos
        np.testing.assert_allclose(found.shares_FHW, expected.shares_FHW, atol=0.02)
        np.testing.assert_array_equal(found.pictures_FHWC, expected.pictures_FHWC)
