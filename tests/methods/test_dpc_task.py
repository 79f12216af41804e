import math

import pytest
import torch
import torch.nn.functional as F

from tests.models.test_conv_gru import scalar_prediction
from unreel.losses.dense_nce import DenseTerms
from unreel.methods.dpc_task import DensePrediction, check_prediction, describe_hits
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.resnet2d import ResNetConfig


def build(num_features: int = 4, num_predicted: int = 2) -> DensePrediction:
    torch.manual_seed(0)
    return DensePrediction(num_features, num_predicted=num_predicted, dropout_prob=0.0)


def test_the_task_worked_out_place_by_place() -> None:
    """Two videos, four blocks, the last two predicted; maps of 2 x 1 x 2 positions."""
    task = build()
    maps = torch.randn(2, 4, 4, 2, 1, 2)
    places = [(row, left) for row in range(2) for left in range(2)]
    blocks = {where: maps[where[0], :, :, :, 0, where[1]].mean(dim=2).tolist() for where in places}
    predicted = {where: scalar_prediction(task.predictor, blocks[where][:2], 2) for where in places}
    targets = [blocks[where][step] for step in (2, 3) for where in places]
    losses = []
    for where in places:
        for step in range(2):
            scores = [
                sum(a * b for a, b in zip(predicted[where][step], target, strict=True)) for target in targets
            ]
            own = sum(a * b for a, b in zip(predicted[where][step], blocks[where][2 + step], strict=True))
            losses.append(math.log(sum(math.exp(score) for score in scores)) - own)
    assert len(losses) == len(targets) == 8
    assert task(maps).loss.item() == pytest.approx(sum(losses) / 8, rel=1e-4)


def test_targets_are_of_either_sign_and_receive_gradient_as_what_is_seen_does() -> None:
    task = build()
    maps = torch.randn(3, 4, 4, 1, 2, 2, requires_grad=True)
    task(maps).loss.backward()
    assert maps.grad is not None
    per_block = maps.grad.abs().sum(dim=(0, 2, 3, 4, 5))
    assert (per_block > 0).all()
    # What is seen passes a ReLU, so what is negative there is not moved; targets are moved everywhere.
    is_negative = maps.detach() < 0
    assert not maps.grad[:, :2][is_negative[:, :2]].any()
    assert maps.grad[:, 2:][is_negative[:, 2:]].any()


def test_negative_features_are_not_seen_but_are_predicted() -> None:
    task = build()
    maps = torch.randn(3, 4, 4, 1, 2, 2)
    rectified = torch.cat([F.relu(maps[:, :2]), maps[:, 2:]], dim=1)
    assert task(rectified).loss.item() == pytest.approx(task(maps).loss.item(), rel=1e-6)
    assert task(F.relu(maps)).loss.item() != pytest.approx(task(maps).loss.item(), rel=1e-3)


def test_only_the_blocks_before_are_seen() -> None:
    task = build().eval()
    maps = torch.randn(2, 5, 4, 1, 1, 1)
    seen: list[torch.Tensor] = []
    task.predictor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    task(maps)
    torch.testing.assert_close(seen[0], maps[:, :3].mean(dim=3))


def test_hits_go_by_the_names_of_the_metrics() -> None:
    terms = DenseTerms(*(torch.tensor(value) for value in (1.0, 0.1, 0.2, 0.3, 0.4)))
    found = {name: value.item() for name, value in describe_hits(terms).items()}
    expected = {"right_video": 0.2, "right_step": 0.3, "right_place": 0.4}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("num_predicted", [0, 8, 9])
def test_something_must_be_seen_and_something_predicted(num_predicted: int) -> None:
    with pytest.raises(ValueError, match=f"num_predicted must lie between 1 and 7, got {num_predicted}"):
        check_prediction(R2D3DConfig(), 8, num_predicted, 0.1)


def test_blocks_that_cannot_be_divided_are_refused_in_words_of_their_number() -> None:
    with pytest.raises(ValueError, match="num_blocks = 1 leaves nothing"):
        check_prediction(R2D3DConfig(), 1, 1, 0.1)


def test_a_network_of_single_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backbone must see clips, got ResNetConfig: .*take a 3D network"):
        check_prediction(ResNetConfig(), 8, 3, 0.1)


@pytest.mark.parametrize("dropout_prob", [-0.1, 1.0])
def test_dropout_is_a_share(dropout_prob: float) -> None:
    with pytest.raises(ValueError, match=r"dropout_prob must lie in \[0, 1\)"):
        check_prediction(R2D3DConfig(), 8, 3, dropout_prob)


def test_the_published_numbers_are_accepted() -> None:
    check_prediction(R2D3DConfig(), 8, 3, 0.1)
    check_prediction(R2D3DConfig(), 2, 1, 0.0)


def test_maps_of_half_precision_are_averaged_in_full() -> None:
    """256 and 258 average to 257, which bfloat16 does not have."""
    task = build(1, 1)
    seen: list[torch.Tensor] = []
    task.predictor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    maps = torch.tensor([256.0, 258.0] * 4).view(2, 2, 1, 2, 1, 1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        task(maps)
    assert seen[0].dtype == torch.float32
    assert seen[0].flatten().tolist() == [257.0, 257.0]
