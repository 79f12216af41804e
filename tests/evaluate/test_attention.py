import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluate.tiny_cacl import NUM_FRAMES, build_cacl
from tests.methods.batches import make_batch
from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips, UniformClips
from unreel.data.loader import DataConfig
from unreel.errors import CatalogError, FeaturesError, TrainingError
from unreel.evaluate.attention import AttentionResult, average_attention, read_random_clips
from unreel.methods.cacl import CACL
from unreel.methods.moco import MoCo
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.models.resnet3d import R3DConfig

TRANSFORMER = FrameTransformerConfig(width=12, depth=2, num_heads=3, mlp_ratio=2)
CLIPS = RandomClips(count=1, num_frames=NUM_FRAMES, frame_stride=2)
DATA = DataConfig(height=18, width=24)


@pytest.fixture(scope="module")
def method() -> CACL:
    return build_cacl(transformer=TRANSFORMER)


def batches(*sizes: int) -> list[VideoBatch]:
    return [make_batch(size, frames=NUM_FRAMES, seed=seed) for seed, size in enumerate(sizes)]


def test_the_average_is_the_mean_over_clips_and_heads(method: CACL) -> None:
    given = batches(3, 2)
    result = average_attention(method, given, block=1)
    total = np.zeros((13, 13))
    for batch in given:
        attention = method.attention(method.make_views(batch), block=1).tolist()
        for heads in attention:
            for head in heads:
                total += np.array(head) / (5 * 3)
    assert result.attention_NN.dtype == np.float64
    np.testing.assert_allclose(result.attention_NN, total, rtol=1e-12)
    np.testing.assert_allclose(result.attention_NN.sum(axis=1), 1, rtol=1e-6)
    assert (result.num_clips, result.block, result.num_frames) == (5, 1, 6)
    assert result.num_videos == 3  # both batches begin with video 0


def test_blocks_differ_and_the_first_is_the_default(method: CACL) -> None:
    first, second = (average_attention(method, batches(2), block=block) for block in (0, 1))
    assert not np.allclose(first.attention_NN, second.attention_NN, rtol=1e-3)
    np.testing.assert_array_equal(average_attention(method, batches(2)).attention_NN, first.attention_NN)


def test_clips_beyond_the_number_do_not_count(method: CACL) -> None:
    whole, again = batches(3, 3)
    expected = average_attention(method, [whole, whole], num_clips=3)
    part = average_attention(method, [whole, again], num_clips=3)
    assert (part.num_clips, part.num_videos) == (3, 3)
    np.testing.assert_array_equal(part.attention_NN, expected.attention_NN)
    two = average_attention(method, [whole], num_clips=2).attention_NN
    heads_BNN = method.attention(method.make_views(whole), block=0).double().mean(dim=1).numpy()
    np.testing.assert_allclose(two, heads_BNN[:2].mean(axis=0), rtol=1e-12)


def test_no_batch_is_taken_that_is_not_needed(method: CACL) -> None:
    taken: list[int] = []

    def give() -> Iterator[VideoBatch]:
        for number in range(9):
            taken.append(number)
            yield make_batch(2, frames=NUM_FRAMES, seed=number)

    assert average_attention(method, give(), num_clips=3).num_clips == 3
    assert taken == [0, 1]


def test_what_was_rejected_and_how_far_the_work_is_are_told(method: CACL) -> None:
    lost = (Rejection("a.mp4", "damaged"), Rejection("b.mp4", "empty"))
    first, second, third = batches(2, 1, 3)
    states: list[tuple[int, int, str]] = []
    result = average_attention(
        method,
        [replace(first, rejections=lost[:1]), replace(second, rejections=lost), third],
        num_clips=4,
        progress=lambda *state: states.append(state),
    )
    assert result.rejected == lost
    assert states == [(2, 4, ""), (3, 4, ""), (4, 4, "")]


def test_looking_changes_nothing_in_the_method(method: CACL) -> None:
    before = copy.deepcopy(method.state_dict())
    average_attention(method, batches(3))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())
    assert not any(module.training for module in method.modules())


def test_the_result_is_plain_values_with_a_name_per_token() -> None:
    matrix = np.arange(25, dtype=np.float64).reshape(5, 5) / 7
    result = AttentionResult(
        matrix, num_clips=3, num_videos=2, block=1, rejected=(Rejection("a.mp4", "damaged"),)
    )
    values = json.loads(json.dumps(result.to_json()))
    assert values == {
        "figure": "attention",
        "block": 1,
        "clips": 3,
        "videos": 2,
        "rejected": [{"path": "a.mp4", "reason": "damaged"}],
        "tokens": ["class", "clip 0", "clip 1", "shuffled 0", "shuffled 1"],
        "attention": matrix.tolist(),
    }


@pytest.mark.parametrize("change", [{"pairs": ("gq_gk",)}, {"pairs": ()}, {"contrast_weight": 0.0}])
def test_a_cacl_without_transformer_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"it has no transformer .* such as --method\.pairs gq_gk gq_tq"):
        average_attention(build_cacl(**change), batches(2))


@pytest.mark.parametrize("pairs", [("gq_tk",), ("gq_gk", "gq_tk")])
def test_a_transformer_that_never_learned_is_refused(pairs: tuple[str, ...]) -> None:
    """With Tk alone, the key transformer follows an online one that no gradient reaches."""
    method = build_cacl(pairs=pairs)
    assert not any(parameter.requires_grad for parameter in method.transformer.parameters())
    with pytest.raises(
        ValueError, match=r"Tq is in none of them, .* random weights it began with; take a run with Tq"
    ):
        average_attention(method, batches(2))


def test_clips_of_the_last_batch_that_are_not_needed_add_no_video(method: CACL) -> None:
    first, second = batches(2, 3)
    second = replace(second, video_index_B=torch.tensor([1, 5, 6]))
    assert average_attention(method, [first, second], num_clips=3).num_videos == 2
    assert average_attention(method, [first, second], num_clips=4).num_videos == 3


def test_another_method_is_refused() -> None:
    config = MoCo.Config(backbone=R3DConfig(depth=10, width=0.125), queue_length=12)
    with pytest.raises(ValueError, match="the run is of MoCo"):
        average_attention(config.build().eval(), batches(2))


def test_a_block_that_is_not_there_is_refused(method: CACL) -> None:
    with pytest.raises(ValueError, match="block must lie between 0 and 1, got 2"):
        average_attention(method, batches(2), block=2)


def test_a_run_that_diverged_is_refused() -> None:
    broken = build_cacl()
    torch.nn.init.constant_(broken.transformer.class_token, float("nan"))
    with pytest.raises(TrainingError, match="NaN or infinity"):
        average_attention(broken, batches(2))


def test_nothing_to_average_is_refused(method: CACL) -> None:
    with pytest.raises(FeaturesError, match="no clip to measure"):
        average_attention(method, [])
    with pytest.raises(ValueError, match="num_clips must be at least 1, got 0"):
        average_attention(method, batches(2), num_clips=0)


@pytest.fixture
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def read(catalog: Catalog, num_clips: int, **settings: int) -> list[bytes]:
    """Return the pictures of one clip after the other; the clips are such that they tell the videos apart."""
    clips = UniformClips(count=1, num_frames=4)
    found = read_random_clips(catalog, clips, DATA, num_clips=num_clips, num_workers=0, **settings)
    return [clip.numpy().tobytes() for batch in found for clip in batch.frames_BNTHWC]


def test_clips_come_from_videos_in_a_random_order_that_the_seed_decides(catalog: Catalog) -> None:
    by_row = [read(catalog.take([row]), 1)[0] for row in range(12)]
    orders = [[by_row.index(clip) for clip in read(catalog, 12, seed=seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert sorted(order) == list(range(12)) != order


def test_the_batch_size_does_not_change_which_clips_come(catalog: Catalog) -> None:
    assert read(catalog, 12, batch_size=5) == read(catalog, 12, batch_size=1)


def test_every_video_comes_before_one_comes_again(catalog: Catalog) -> None:
    clips = read(catalog, 13)
    assert len(clips) == 24
    assert len(set(clips[:12])) == 12
    assert clips[:12] == clips[12:]


def test_random_clips_of_a_video_differ_from_round_to_round(catalog: Catalog) -> None:
    found = read_random_clips(
        catalog.take([0]), RandomClips(1, 4), DATA, num_clips=20, batch_size=1, num_workers=0
    )
    starts = {int(batch.frame_index_BNT[0, 0, 0]) for batch in found}
    # Of 14 starts, 20 draws take one only with a probability below 1e-21.
    assert len(starts) > 1


def test_the_next_video_stands_in_for_one_that_cannot_be_read(
    corpus: Path, method: CACL, tmp_path: Path
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    catalog = Catalog.load(tmp_path / "copy" / "catalog.parquet", root=tmp_path / "copy")
    (tmp_path / "copy" / "04.mp4").write_bytes(b"damaged")
    found = read_random_clips(catalog, CLIPS, DATA, num_clips=11, batch_size=4, num_workers=0)
    result = average_attention(method, found, num_clips=11)
    assert result.num_clips == 11
    assert [Path(item.path).name for item in result.rejected] == ["04.mp4"]
    short = read_random_clips(catalog, CLIPS, DATA, num_clips=12, batch_size=4, num_workers=0)
    assert average_attention(method, short, num_clips=12).num_clips == 11


def test_no_clips_and_no_videos_are_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="num_clips must be at least 1, got 0"):
        read(catalog, 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        read(catalog, 1, batch_size=0)
    with pytest.raises(CatalogError, match="holds no video"):
        read(catalog.take([]), 1)
