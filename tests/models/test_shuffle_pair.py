import pytest
import torch

from unreel.models.c3d import C3D
from unreel.models.resnet3d import R3DConfig
from unreel.models.shuffle_pair import DegreeHead, PairEncoder, pair_clips, pair_frames

ORDER = torch.tensor([[2, 0, 1], [0, 2, 1]])


def test_the_copy_shows_the_frame_that_the_order_names() -> None:
    """Frame t of row b is the number 10 b + t, so the copies of the two rows read 2 0 1 and 10 12 11."""
    frames = torch.tensor([[0, 1, 2], [10, 11, 12]])[..., None]
    assert pair_frames(frames, ORDER).squeeze(-1).tolist() == [
        [[0, 1, 2], [2, 0, 1]],
        [[10, 11, 12], [10, 12, 11]],
    ]


def test_the_copy_may_come_first() -> None:
    frames = torch.randn(2, 3, 5)
    assert torch.equal(pair_frames(frames, ORDER, is_swapped=True), pair_frames(frames, ORDER).flip(1))


def test_clips_are_paired_frame_by_frame_and_lie_channels_last() -> None:
    clips = torch.randn(2, 3, 3, 4, 5)
    pairs = pair_clips(clips, ORDER)
    assert pairs.shape == (2, 2, 3, 3, 4, 5)
    for row in range(2):
        assert torch.equal(pairs[row, 0], clips[row])
        for time in range(3):
            assert torch.equal(pairs[row, 1][:, time], clips[row][:, ORDER[row, time]])
    assert pairs.flatten(0, 1).is_contiguous(memory_format=torch.channels_last_3d)
    assert pairs.flatten(0, 1).data_ptr() == pairs.data_ptr()


def test_a_pair_is_described_by_the_features_of_clip_and_copy_side_by_side() -> None:
    torch.manual_seed(0)
    encoder = PairEncoder(R3DConfig(depth=10, width=0.125).build(), 8).eval()
    pairs = torch.randn(2, 2, 3, 4, 16, 16)
    features = encoder.extract_features(pairs)
    size = encoder.backbone.num_features
    assert features.shape == (2, 2 * size)
    torch.testing.assert_close(features[:, :size], encoder.backbone(pairs[:, 0]))
    torch.testing.assert_close(features[:, size:], encoder.backbone(pairs[:, 1]))
    torch.testing.assert_close(encoder(pairs), encoder.head(features))


def test_the_heads_have_the_published_sizes() -> None:
    """1024 x 128 + 128, and 1024 x 512 + 512 + 512 x 16 + 16."""
    encoder = PairEncoder(C3D(), 128)
    assert encoder.num_features == 1024
    assert sum(p.numel() for p in encoder.head.parameters()) == 131_200
    degree = DegreeHead(encoder.num_features, 16)
    assert sum(p.numel() for p in degree.parameters()) == 533_008
    assert degree(torch.zeros(3, 1024)).shape == (3, 16)


@pytest.mark.parametrize(("is_training", "is_random"), [(True, True), (False, False)])
def test_the_degree_head_drops_units_in_training_only(is_training: bool, is_random: bool) -> None:
    torch.manual_seed(0)
    head = DegreeHead(8, 4, hidden_dim=64, dropout_prob=0.5).train(is_training)
    features = torch.randn(1, 8)
    assert torch.equal(head(features), head(features)) is not is_random
