import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.models.network_checks import build_on_meta, count_parameters
from unreel.models.memory_format import to_channels_last
from unreel.models.mvit import MViT, MViTConfig, plan_blocks
from unreel.models.mvit_blocks import HeadPooling, MultiscaleBlock
from unreel.models.torchvision_names import to_torchvision
from unreel.models.weight_matching import ShapeMismatch
from unreel.models.weights import load_backbone_weights
from unreel.models.zoo import BACKBONES

TINY = MViTConfig(width=0.125, depths=(1, 1, 1, 2), num_frames=8, size_px=32)

# Channels in and out, heads, stride of queries, of keys and values, of the published MViT-B.
BLOCKS = [
    (96, 192, 1, 1, 8),
    (192, 192, 2, 2, 4),
    (192, 384, 2, 1, 4),
    (384, 384, 4, 2, 2),
    *9 * [(384, 384, 4, 1, 2)],
    (384, 768, 4, 1, 2),
    (768, 768, 8, 2, 1),
    (768, 768, 8, 1, 1),
]
# Sides of the grids: of the tokens that come in, that go out, of keys and values. Time is 8 throughout.
SIDES = [(56, 56, 7), (56, 28, 14), (28, 28, 7), (28, 14, 14), *10 * [(14, 14, 7)], (14, 7, 14), (7, 7, 7)]


def build(**changes: Any) -> MViT:
    torch.manual_seed(0)
    return dataclasses.replace(TINY, **changes).build().eval()


def shuffle_groups(clips_BCTHW: Tensor, order: list[int]) -> Tensor:
    return torch.cat([clips_BCTHW[:, :, 2 * group : 2 * group + 2] for group in order], dim=2)


def count_multiplications(config: MViTConfig) -> float:
    backbone = build_on_meta(config)
    clips = torch.empty(1, 3, config.num_frames, config.size_px, config.size_px, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        backbone(clips)
    return counter.get_total_flops() / 2


def test_the_published_network_has_36610672_parameters_with_its_head_and_cubes_of_three_frames() -> None:
    head = nn.Linear(768, 400)
    assert count_parameters(build_on_meta(MViTConfig(temporal_kernel=3))) == 36_303_072
    assert 36_303_072 + count_parameters(head) == 36_610_672


def test_with_cubes_of_two_frames_there_is_one_plane_of_the_first_kernel_less() -> None:
    assert count_parameters(build_on_meta(MViTConfig())) == 36_303_072 - 96 * 3 * 7 * 7 == 36_288_960


def test_one_clip_costs_the_published_70_6_billion_multiplications() -> None:
    # torchvision gives 70.599 for mvit_v1_b, of which the head has 768 * 400.
    published = count_multiplications(MViTConfig(temporal_kernel=3)) + 768 * 400
    assert round(published / 1e9, 3) == 70.599
    # A third less in the first layer, of 8 * 56 * 56 cubes.
    saved = 8 * 56 * 56 * 96 * 3 * 7 * 7
    assert published - count_multiplications(MViTConfig()) == 768 * 400 + saved


def test_the_small_network_is_for_computers_without_gpu() -> None:
    small = BACKBONES["mvit_small"]
    assert isinstance(small, MViTConfig)
    assert count_parameters(build_on_meta(small)) == 1_246_272
    assert round(count_multiplications(small) / 1e9, 3) == 0.173
    assert build_on_meta(small).num_features == 192


def test_blocks_are_those_of_the_table() -> None:
    plans = plan_blocks(MViTConfig())
    rows = [
        (plan.in_channels, plan.out_channels, plan.num_heads, plan.query_stride, plan.key_stride)
        for plan in plans
    ]
    assert rows == BLOCKS
    assert {plan.in_channels // plan.num_heads for plan in plans} == {96}


@pytest.mark.parametrize("kernel", [2, 3])
def test_every_block_has_the_published_sizes(kernel: Any) -> None:
    backbone = build_on_meta(MViTConfig(temporal_kernel=kernel))
    tokens: list[tuple[int, ...]] = []
    grids: list[list[tuple[int, int, int]]] = []
    for block in backbone.blocks:
        assert isinstance(block, MultiscaleBlock)
        block.register_forward_hook(lambda _block, _inputs, output: tokens.append(tuple(output[0].shape)))
        block.register_forward_hook(
            lambda block, inputs, output: grids[-1].extend([inputs[1], output[1]]), prepend=True
        )
        block.register_forward_pre_hook(lambda _block, _inputs: grids.append([]))
        pools = [block.attention.pool_key, block.attention.pool_value]
        for pool in pools:
            assert isinstance(pool, HeadPooling)
            pool.register_forward_hook(lambda _pool, _inputs, output: grids[-1].append(output[1]))
    last_map = backbone.forward_map(torch.empty(2, 3, 16, 224, 224, device="meta"))
    assert last_map.shape == (2, 768, 8, 7, 7)
    for number, ((_, out_channels, *_), (side_in, side_out, side_keys)) in enumerate(
        zip(BLOCKS, SIDES, strict=True)
    ):
        assert tokens[number] == (2, 1 + 8 * side_out**2, out_channels), number
        sides = (side_keys, side_keys, side_in, side_out)
        assert grids[number] == [(8, side, side) for side in sides], number


def test_cubes_of_the_published_size_are_8_times_56_by_56() -> None:
    backbone = build_on_meta(MViTConfig())
    assert backbone.embed_cubes(torch.empty(2, 3, 16, 224, 224, device="meta")).shape == (2, 8, 3136, 96)
    assert backbone(torch.empty(2, 3, 16, 224, 224, device="meta")).shape == (2, 768)


@pytest.mark.parametrize("pooling", ["class_token", "average"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_features_are_those_of_the_tokens_to_the_bit(kernel: int, pooling: str) -> None:
    network = build(temporal_kernel=kernel, pooling=pooling)
    clips = torch.randn(2, 3, 8, 32, 32)
    cubes = network.embed_cubes(clips)
    assert cubes.shape == (2, 4, 64, 16)
    assert torch.equal(network.forward_tokens(cubes), network(clips))


def test_with_cubes_of_two_frames_groups_can_be_shuffled_after_the_embedding() -> None:
    clips, order = torch.randn(2, 3, 16, 32, 32), [3, 0, 7, 5, 1, 2, 6, 4]
    network = build(num_frames=16)
    shuffled, cubes = shuffle_groups(clips, order), network.embed_cubes(clips)
    assert torch.equal(network.embed_cubes(shuffled), cubes[:, order])
    features = network(shuffled)
    assert torch.equal(features, network.forward_tokens(cubes[:, order]))
    # The order counts, through the embeddings of time and the kernels of pooling.
    assert not torch.allclose(features, network(clips), rtol=1e-3, atol=1e-5)


def test_with_cubes_of_three_frames_they_cannot() -> None:
    clips, order = torch.randn(2, 3, 16, 32, 32), [3, 0, 7, 5, 1, 2, 6, 4]
    network = build(temporal_kernel=3, num_frames=16)
    difference = network.embed_cubes(shuffle_groups(clips, order)) - network.embed_cubes(clips)[:, order]
    assert difference.abs().max() > 0.1


@pytest.mark.parametrize(("kernel", "seen"), [(2, [1]), (3, [1, 2])])
def test_a_frame_is_seen_by_the_cubes_that_cover_it(kernel: int, seen: list[int]) -> None:
    network = build(temporal_kernel=kernel)
    clips = torch.randn(1, 3, 8, 32, 32)
    changed = clips.clone()
    changed[:, :, 3] += 1  # the last frame of cube 1, and the one before cube 2
    is_changed_T = (network.embed_cubes(clips) != network.embed_cubes(changed)).flatten(2).any(2)[0]
    assert is_changed_T.nonzero().flatten().tolist() == seen


def test_features_are_the_class_token_or_the_average_of_the_last_map() -> None:
    clips = torch.randn(2, 3, 8, 64, 64)
    of_class, of_average = build(), build(pooling="average")
    last_map = of_average.forward_map(clips)
    assert torch.equal(of_class.forward_map(clips), last_map)
    assert last_map.shape == (2, 128, 4, 2, 2)
    torch.testing.assert_close(of_average(clips), last_map.mean(dim=(2, 3, 4)))
    assert not torch.allclose(of_class(clips), of_average(clips), atol=1e-2)
    # Both are normalised: mean 0 and variance 1 over the channels, but for the bias.
    for vectors in (of_class(clips), last_map.movedim(1, -1)):
        assert vectors.mean(-1).sub(0.02).abs().max() < 1e-5
        assert vectors.var(-1, correction=0).sub(1).abs().max() < 1e-3


@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_frames_are_averages_of_the_map_and_the_video_is_what_forward_returns(pooling: str) -> None:
    network = build(pooling=pooling)
    clips = torch.randn(2, 3, 8, 64, 64)
    frames, video = network.forward_frames_and_video(clips)
    assert frames.shape == (2, 4, 128)
    torch.testing.assert_close(frames, network.forward_map(clips).mean(dim=(3, 4)).transpose(1, 2))
    assert torch.equal(video, network(clips))


@pytest.mark.parametrize(
    ("size", "map_size"),
    [((2, 16, 16), (1, 1, 1)), ((8, 32, 32), (4, 1, 1)), ((12, 48, 80), (6, 2, 3)), ((4, 5, 33), (2, 1, 2))],
)
def test_clips_of_any_size_are_taken(size: tuple[int, ...], map_size: tuple[int, ...]) -> None:
    network = build()
    clips = torch.randn(2, 3, *size)
    assert network.forward_map(clips).shape == (2, 128, *map_size)
    assert network(clips).isfinite().all()


def test_on_the_configured_size_no_embedding_is_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build()

    def refuse(*_arguments: object, **_settings: object) -> Tensor:
        raise AssertionError("interpolated")

    monkeypatch.setattr("torch.nn.functional.interpolate", refuse)
    network(torch.randn(1, 3, 8, 32, 32))
    for size in ((6, 32, 32), (8, 32, 36)):
        with pytest.raises(AssertionError, match="interpolated"):
            network(torch.randn(1, 3, *size))


def test_tokens_of_rectangular_clips_need_their_grid() -> None:
    network = build()
    clips = torch.randn(2, 3, 8, 32, 48)
    cubes = network.embed_cubes(clips)
    assert torch.equal(network.forward_tokens(cubes, grid=(8, 12)), network(clips))
    with pytest.raises(ValueError, match=r"96 tokens a frame, which are no grid of 9 x 9; name their rows"):
        network.forward_tokens(cubes)
    with pytest.raises(ValueError, match="no grid of 8 x 11"):
        network.forward_tokens(cubes, grid=(8, 11))


def test_an_odd_number_of_frames_is_refused_unless_cubes_overlap() -> None:
    clips = torch.randn(1, 3, 7, 32, 32)
    for run in (build(), build().embed_cubes, build().forward_map, build().forward_frames_and_video):
        with pytest.raises(ValueError, match=r"cubes of two, got clips of 7 frames; take an even number"):
            run(clips)
    assert build(temporal_kernel=3).forward_map(clips).shape[2] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temporal_kernel": 4}, "temporal_kernel must be 2 or 3, got 4"),
        ({"drop_path": 1.0}, r"drop_path must be at least 0 and below 1, got 1\.0"),
        ({"drop_path": -0.1}, r"drop_path must be at least 0 and below 1, got -0\.1"),
        ({"depths": (1, 2, 0, 2)}, r"depths must be at least 1 in every stage, got \(1, 2, 0, 2\)"),
        ({"depths": (1, 2, 3)}, r"depths must name four stages, got \(1, 2, 3\)"),
        ({"num_frames": 7}, "num_frames must be even and at least 2, got 7"),
        ({"num_frames": 0}, "num_frames must be even and at least 2, got 0"),
        ({"size_px": 0}, "size_px must be at least 1, got 0"),
        ({"width": -1.0}, r"width must be positive, got -1\.0"),
    ],
)
def test_a_setting_without_meaning_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes).build()


@pytest.mark.parametrize(("width", "head_size"), [(0.125, 16), (0.25, 24), (1 / 3, 32), (0.5, 48), (2, 192)])
def test_width_scales_the_heads_and_all_else_follows(width: float, head_size: int) -> None:
    plans = plan_blocks(dataclasses.replace(TINY, width=width))
    assert [plan.num_heads for plan in plans] == [1, 2, 4, 8, 8]
    assert [plan.in_channels for plan in plans] == [head_size * plan.num_heads for plan in plans]
    assert plans[-1].out_channels == 8 * head_size


def test_drops_become_likelier_from_block_to_block() -> None:
    probs = [plan.drop_prob for plan in plan_blocks(MViTConfig(drop_path=0.3))]
    assert probs == [pytest.approx(0.02 * block) for block in range(16)]
    network = build(drop_path=0.4)
    assert [block.drop_path.prob for block in network.blocks] == [
        pytest.approx(0.1 * block) for block in range(5)
    ]


def test_drops_are_drawn_in_training_alone_from_the_global_generator() -> None:
    network, clips = build(drop_path=0.8), torch.randn(4, 3, 8, 32, 32)
    assert torch.equal(network(clips), network(clips))
    assert torch.equal(network(clips), build()(clips))
    network.train()

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return network(clips)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(build().train()(clips), build()(clips))  # none by default


def test_weights_start_small_and_biases_above_zero() -> None:
    torch.manual_seed(0)
    network = MViTConfig(width=0.5, depths=(1, 1, 1, 1)).build()
    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv3d)):
            # Four deviations of the estimate.
            tolerance = 4 / math.sqrt(2 * module.weight.numel())
            assert math.isclose(module.weight.std().item(), 0.02, rel_tol=tolerance), name
        if isinstance(module, (nn.Linear, nn.LayerNorm)):
            assert module.bias.eq(0.02).all(), name
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-6
            assert module.weight.eq(1).all(), name


@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_gradient_of_the_features_reaches_every_parameter(pooling: str) -> None:
    network = build(pooling=pooling, drop_path=0.1).train()
    weights = torch.randn(4, 128)
    (network(torch.randn(4, 3, 8, 32, 32)) * weights).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_gradient_returns_through_the_tokens_to_the_cubes() -> None:
    network = build()
    cubes = network.embed_cubes(torch.randn(2, 3, 8, 32, 32)).detach().requires_grad_()
    (network.forward_tokens(cubes)[0] * torch.randn(128)).sum().backward()
    assert cubes.grad is not None
    assert cubes.grad[0].abs().amax(dim=(1, 2)).gt(0).all()
    assert not cubes.grad[1].any()


def test_autocast_gives_features_of_full_precision_type_near_those_of_full_precision() -> None:
    network, clips = build(), torch.randn(2, 3, 8, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        cubes = network.embed_cubes(clips)
        features = network.forward_tokens(cubes)
        frames, _ = network.forward_frames_and_video(clips)
    assert (cubes.dtype, features.dtype, frames.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert nn.functional.cosine_similarity(features, network(clips)).min() > 0.999


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_and_shuffles_cubes_to_the_bit() -> None:
    network, clips, order = build(), torch.randn(2, 3, 8, 32, 32), [2, 0, 3, 1]
    expected = network(clips)
    expected.square().mul(torch.arange(128)).sum().backward()
    on_gpu = to_channels_last(build().cuda())
    clips = clips.cuda().to(memory_format=torch.channels_last_3d)
    features = on_gpu(clips)
    features.square().mul(torch.arange(128, device="cuda")).sum().backward()
    torch.testing.assert_close(features.cpu(), expected, rtol=2e-2, atol=2e-3)
    for name, parameter in on_gpu.named_parameters():
        if name.endswith("pool_key.norm.bias"):
            continue  # it shifts the logits of all keys alike, which softmax takes away again
        gradient, wanted = parameter.grad, network.get_parameter(name).grad
        assert gradient is not None
        assert wanted is not None
        assert nn.functional.cosine_similarity(gradient.cpu().flatten(), wanted.flatten(), dim=0) > 0.99, name
    for is_half in (False, True):
        with torch.autocast("cuda", torch.bfloat16, enabled=is_half), torch.no_grad():
            cubes = on_gpu.embed_cubes(clips)
            assert torch.equal(on_gpu.embed_cubes(shuffle_groups(clips, order)), cubes[:, order])
            assert torch.equal(on_gpu(shuffle_groups(clips, order)), on_gpu.forward_tokens(cubes[:, order]))


def test_a_small_network_learns_in_which_direction_a_light_moves() -> None:
    torch.manual_seed(0)
    network = dataclasses.replace(TINY, num_frames=4, size_px=16).build().train()
    head = nn.Linear(network.num_features, 2)
    clips = torch.zeros(8, 3, 4, 16, 16)
    labels = torch.arange(8) % 2
    for clip, label in enumerate(labels):
        for time in range(4):
            column = 4 * (time if label else 3 - time)
            clips[clip, :, time, 2 * (clip // 2) : 2 * (clip // 2) + 8, column : column + 4] = 3.0
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=2e-3)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(head(network(clips)), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(math.log(2), abs=0.4)
    assert losses[-1] < 0.05


def save_in_torchvisions_names(network: MViT, path: Path) -> None:
    head = {"head.1.weight": torch.zeros(400, network.num_features), "head.1.bias": torch.zeros(400)}
    torch.save(to_torchvision(network) | head, path)


def test_a_file_in_torchvisions_names_fills_the_network(tmp_path: Path) -> None:
    source, target = build(temporal_kernel=3), dataclasses.replace(TINY, temporal_kernel=3).build().eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    assert not torch.equal(target(clips), source(clips))
    save_in_torchvisions_names(source, tmp_path / "mvit.pth")
    report = load_backbone_weights(target, tmp_path / "mvit.pth", min_share=1.0)
    assert (report.naming, report.prefix, report.share_loaded) == ("torchvision", "", 1.0)
    assert report.ignored_heads == ("head.1.weight", "head.1.bias")
    assert (report.missing, report.mismatched, report.unexpected) == ((), (), ())
    assert torch.equal(target(clips), source(clips))


def test_a_first_layer_for_other_cubes_is_reported_and_all_else_is_loaded(tmp_path: Path) -> None:
    save_in_torchvisions_names(build(temporal_kernel=3), tmp_path / "mvit.pth")
    target = TINY.build()
    stem = target.stem.weight.clone()
    report = load_backbone_weights(target, tmp_path / "mvit.pth")
    assert report.mismatched == (ShapeMismatch("stem.weight", (16, 3, 3, 7, 7), (16, 3, 2, 7, 7)),)
    assert "of another shape: stem.weight" in report.describe()
    assert torch.equal(target.stem.weight, stem)
    assert torch.equal(
        target.blocks[0].attention.qkv.weight, build(temporal_kernel=3).blocks[0].attention.qkv.weight
    )
    assert report.missing == ()


def test_embeddings_for_clips_of_another_size_are_reported(tmp_path: Path) -> None:
    save_in_torchvisions_names(build(num_frames=16, size_px=64), tmp_path / "mvit.pth")
    report = load_backbone_weights(TINY.build(), tmp_path / "mvit.pth")
    assert {item.name: item.file_shape for item in report.mismatched} == {
        "positions.spatial": (256, 16),
        "positions.temporal": (8, 16),
    }


def test_our_own_names_load_behind_a_prefix(tmp_path: Path) -> None:
    source, target = build(), TINY.build()
    torch.save(
        {f"module.backbone.{name}": value for name, value in source.state_dict().items()},
        tmp_path / "own.pth",
    )
    report = load_backbone_weights(target, tmp_path / "own.pth", min_share=1.0)
    assert (report.naming, report.prefix) == ("unreel", "module.backbone.")
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
