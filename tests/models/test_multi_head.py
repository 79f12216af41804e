import torch

from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder, extract_each, project_keys
from unreel.models.resnet2d import ResNet2D


def build() -> MultiHeadEncoder:
    torch.manual_seed(0)
    return MultiHeadEncoder(ResNet2D(depth=18, width=0.125), ("one", "two"), 8, hidden_dim=16)


def test_frames_are_seen_one_by_one() -> None:
    encoder = build().eval()
    frames = torch.randn(3, 3, 32, 32)
    features = encoder(frames.unsqueeze(2))
    assert features.shape == (3, encoder.backbone.num_features)
    clip = frames.permute(1, 0, 2, 3)[None]
    expected, _ = encoder.backbone.forward_frames_and_video(clip)
    torch.testing.assert_close(features, expected[0])


def test_each_head_has_weights_of_its_own() -> None:
    encoder = build().eval()
    features = encoder(torch.randn(2, 3, 1, 32, 32))
    one, two = encoder.project("one", features), encoder.project("two", features)
    assert one.shape == two.shape == (2, 8)
    assert not torch.allclose(one, two)
    torch.testing.assert_close(one, encoder.heads["one"](features))
    assert encoder.project("two", features[:, None].expand(-1, 3, -1)).shape == (2, 3, 8)


def test_a_head_of_the_paper_has_the_published_size() -> None:
    """2048 * 2048 + 2048 and 2048 * 128 + 128 weights: 4,458,624."""
    head = ProjectionHead(2048, 128, hidden_dim=2048)
    assert sum(weight.numel() for weight in head.parameters()) == 4_458_624


def test_heads_compute_float32_even_under_autocast() -> None:
    encoder = build().eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.project("one", encoder(torch.randn(2, 3, 1, 32, 32))).dtype == torch.float32


def test_clips_of_a_video_are_run_in_one_pass_and_come_back_in_their_rows() -> None:
    encoder, passes = build().eval(), []
    encoder.backbone.register_forward_hook(lambda _, inputs, __: passes.append(tuple(inputs[0].shape)))
    clips = torch.randn(2, 3, 3, 1, 32, 32)
    features = extract_each(encoder, clips)
    assert passes == [(6, 3, 1, 32, 32)]
    assert features.shape == (2, 3, encoder.backbone.num_features)
    torch.testing.assert_close(features[1, 2], encoder(clips[1, 2:])[0])


def test_keys_are_projected_by_the_slow_heads_and_give_no_gradient() -> None:
    encoder = build()
    slow = MomentumEncoder(encoder)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(1.0)
    features = torch.randn(2, encoder.backbone.num_features, requires_grad=True)
    keys = project_keys(slow, "two", features)
    assert not keys.requires_grad
    torch.testing.assert_close(keys, slow.network.heads["two"](features).detach())
    assert not torch.allclose(keys, encoder.project("two", features))
