import pytest
import torch
from torch import nn

from unreel.models.classification_head import ClassificationHead


def test_scores_are_weighted_sums_of_the_mean_frame() -> None:
    head = ClassificationHead(3, 2).eval()
    head.linear.weight.data = torch.tensor([[1.0, 0, 2], [0, -1, 0]])
    head.linear.bias.data = torch.tensor([0.5, 0.0])
    # Frames (1, 2, 3) and (3, 4, 5) have the mean (2, 3, 4): 2 + 8 + 0.5 and -3.
    frames = torch.tensor([[[1.0, 2, 3], [3, 4, 5]]])
    assert head(frames).tolist() == [[10.5, -3.0]]
    assert head(frames.mean(dim=1)).tolist() == [[10.5, -3.0]]


def test_without_dropout_both_kinds_of_head_agree() -> None:
    torch.manual_seed(0)
    tsn = ClassificationHead(8, 5, dropout_prob=0.5).eval()
    tsm = ClassificationHead(8, 5, dropout_prob=0.5, is_dropout_per_frame=True).eval()
    tsm.load_state_dict(tsn.state_dict())
    frames = torch.randn(4, 6, 8)
    torch.testing.assert_close(tsn(frames), tsm(frames))
    assert tsn.state_dict().keys() == {"linear.weight", "linear.bias"}


def test_in_training_tsn_leaves_out_features_of_the_clip_and_tsm_of_each_frame() -> None:
    frames = torch.ones(1, 64, 50)
    for is_per_frame in (False, True):
        torch.manual_seed(0)
        head = ClassificationHead(50, 50, dropout_prob=0.5, is_dropout_per_frame=is_per_frame).train()
        head.linear.weight.data = torch.eye(50)
        head.linear.bias.data.zero_()
        # A feature is 0 or 1 / (1 - 0.5) = 2; over 64 frames of their own draws the mean is near 1.
        scores = head(frames)
        if is_per_frame:
            assert ((scores > 0.5) & (scores < 1.5)).all()
        else:
            assert set(scores.flatten().tolist()) == {0.0, 2.0}


def test_fresh_weights_have_the_deviation_that_was_asked_for() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(2048, 101, init_std=0.001)
    assert head.linear.weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert not head.linear.bias.any()
    torch.manual_seed(0)
    expected = nn.Linear(16, 4)
    torch.manual_seed(0)
    assert torch.equal(ClassificationHead(16, 4).linear.weight, expected.weight)


def test_scores_are_float32_whatever_autocast_says() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(64, 3).eval()
    features = torch.randn(2, 64)
    with torch.autocast("cpu", torch.bfloat16):
        scores = head(features)
        of_half = head(features.bfloat16())
    assert scores.dtype == of_half.dtype == torch.float32
    assert torch.equal(scores, head(features))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 0}, "num_features and num_classes must be at least 1, got 4 and 0"),
        ({"dropout_prob": 1.0}, r"dropout_prob must be in \[0, 1\), got 1.0"),
        ({"dropout_prob": -0.1}, "dropout_prob must be"),
        ({"init_std": -1.0}, "init_std must not be negative, got -1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassificationHead(**{"num_features": 4, "num_classes": 3, **changes})
