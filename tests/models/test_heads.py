import pytest
import torch

from unreel.models.heads import ProjectionHead


def test_a_head_without_hidden_layer_is_linear() -> None:
    head = ProjectionHead(512, 128)
    # 512 * 128 weights and 128 biases
    assert sum(p.numel() for p in head.parameters()) == 65_664
    x, y = torch.randn(2, 512), torch.randn(2, 512)
    zero = head(torch.zeros(2, 512))
    assert torch.allclose(head(x + y) - zero, head(x) + head(y) - 2 * zero, atol=1e-4)


def test_the_head_of_ccl_has_the_published_size() -> None:
    # 12,128,192 parameters of the network with head less 11,963,968 of the trunk
    assert sum(p.numel() for p in ProjectionHead(512, 128, hidden_dim=256).parameters()) == 164_224


def test_a_head_maps_the_last_axis_of_any_shape() -> None:
    head = ProjectionHead(6, 3, hidden_dim=4)
    frames = torch.randn(2, 5, 6)
    assert head(frames).shape == (2, 5, 3)
    assert torch.allclose(head(frames)[1, 4], head(frames[1, 4]), atol=1e-6)


@pytest.mark.parametrize(("embedding_dim", "hidden_dim"), [(0, 0), (-1, 8), (8, -1)])
def test_widths_that_cannot_be_are_refused(embedding_dim: int, hidden_dim: int) -> None:
    with pytest.raises(ValueError, match=rf"got {embedding_dim} and {hidden_dim}"):
        ProjectionHead(4, embedding_dim, hidden_dim=hidden_dim)
