from dataclasses import replace

import pytest
import torch

from tests.data.test_grid_batch import build_batch
from tests.models.test_bmn import TINY
from unreel.data.grid_batch import GridBatch
from unreel.losses.boundary_matching import boundary_matching_loss
from unreel.methods.bmn import Localization

CONFIG = Localization.Config(network=replace(TINY, num_features=4, num_groups=2))


@pytest.fixture(scope="module")
def localizer() -> Localization:
    torch.manual_seed(0)
    return CONFIG.build()


@pytest.fixture(scope="module")
def batch() -> GridBatch:
    return build_batch([1, 2, 3], size=6, num_features=4)


def test_the_loss_is_that_of_scores_and_truth(localizer: Localization, batch: GridBatch) -> None:
    output = localizer(localizer.make_views(batch))
    scores = localizer.network(batch.features_BDT)
    expected = boundary_matching_loss(
        start_BT=scores.start_BT,
        end_BT=scores.end_BT,
        regression_BLT=scores.regression_BLT,
        classification_BLT=scores.classification_BLT,
        true_start_BT=batch.start_BT,
        true_end_BT=batch.end_BT,
        iou_BLT=batch.iou_BLT,
        draws_BLT=batch.draw_stretches("stretches"),
    )
    assert output.loss.item() == expected.loss.item()
    assert output.terms["boundary"] == expected.boundary
    terms = output.terms
    total = terms["boundary"] + 10 * terms["regression"] + terms["classification"]
    assert output.loss.item() == pytest.approx(total.item(), rel=1e-6)
    assert not any(term.requires_grad for term in terms.values())


def test_views_are_a_function_of_the_batch(localizer: Localization, batch: GridBatch) -> None:
    torch.manual_seed(1)
    first = localizer.make_views(batch)
    torch.manual_seed(2)
    second = localizer.make_views(batch)
    assert torch.equal(first.draws_BLT, second.draws_BLT)
    assert torch.equal(first.features_BDT, batch.features_BDT)


def test_weights_of_the_loss_are_settings(batch: GridBatch) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, regression_weight=0.0, classification_weight=0.0)
    localizer = config.build()
    output = localizer(localizer.make_views(batch))
    assert output.loss.item() == pytest.approx(output.terms["boundary"].item())
    with pytest.raises(ValueError, match=r"method.regression_weight must not be negative, got -1"):
        replace(CONFIG, regression_weight=-1.0)


def test_a_tiny_network_learns_where_something_happens() -> None:
    """The vector is 1 within the segment and 0 outside; after a while the boundaries stand out."""
    from unreel.data.boundary_labels import label_boundaries

    torch.manual_seed(0)
    network = replace(CONFIG.network, hidden_1d=16, hidden_2d=8, hidden_3d=16)
    localizer = replace(CONFIG, network=network).build()
    segments = torch.tensor([[[0.0, 0.5]], [[0.5, 1.0]], [[1 / 3, 2 / 3]]], dtype=torch.float64).numpy()
    labels = [label_boundaries(segment, 6) for segment in segments]
    positions = torch.arange(6) / 6
    inside = torch.stack([(positions >= s - 1e-6) & (positions < e - 1e-6) for s, e in segments[:, 0]])
    batch = replace(
        build_batch([1, 2, 3], size=6, num_features=4),
        features_BDT=inside.float()[:, None].repeat(1, 4, 1),
        start_BT=torch.stack([torch.from_numpy(label.start_T) for label in labels]),
        end_BT=torch.stack([torch.from_numpy(label.end_T) for label in labels]),
        iou_BLT=torch.stack([torch.from_numpy(label.iou_LT) for label in labels]),
    )
    optimizer = torch.optim.Adam(localizer.parameters(), lr=0.01)
    losses = []
    for _ in range(100):
        output = localizer(localizer.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        localizer.after_step(1.0)
        losses.append(output.loss.item())
    assert losses[-1] < 0.3 * losses[0]
    scores = localizer.network(batch.features_BDT)
    is_inside = torch.arange(6)[:, None] + torch.arange(6) < 6
    covering = scores.classification_BLT * scores.regression_BLT * is_inside
    # Three positions long, from 0 and from 3; two positions long, from 2.
    assert [int(row.argmax()) for row in covering.flatten(1)] == [2 * 6, 2 * 6 + 3, 1 * 6 + 2]
