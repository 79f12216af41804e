"""Names and shapes are written out from torchvision's documentation of its networks."""

import pytest
import torch

from tests.models.network_checks import build_on_meta
from unreel.models.backbone import Backbone
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1, R3DPlus1Config
from unreel.models.resnet2d import ResNet2D, ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.models.torchvision_names import from_torchvision, map_to_torchvision, to_torchvision
from unreel.models.zoo import BackboneConfig

Shapes = list[tuple[str, tuple[int, ...]]]

STAGES = [(1, 64, 64), (2, 64, 128), (3, 128, 256), (4, 256, 512)]


def norm(name: str, channels: int) -> Shapes:
    words = ("weight", "bias", "running_mean", "running_var")
    return [*((f"{name}.{word}", (channels,)) for word in words), (f"{name}.num_batches_tracked", ())]


def conv(name: str, *shape: int) -> Shapes:
    return [(f"{name}.weight", shape)]


def resnet18() -> Shapes:
    shapes = conv("conv1", 64, 3, 7, 7) + norm("bn1", 64)
    for stage, before, after in STAGES:
        for block in range(2):
            name, channels = f"layer{stage}.{block}", before if block == 0 else after
            shapes += conv(f"{name}.conv1", after, channels, 3, 3) + norm(f"{name}.bn1", after)
            shapes += conv(f"{name}.conv2", after, after, 3, 3) + norm(f"{name}.bn2", after)
            if channels != after:
                shapes += conv(f"{name}.downsample.0", after, channels, 1, 1)
                shapes += norm(f"{name}.downsample.1", after)
    return shapes


def resnet50() -> Shapes:
    shapes = conv("conv1", 64, 3, 7, 7) + norm("bn1", 64)
    before = 64
    for stage, num_blocks, mid in ((1, 3, 64), (2, 4, 128), (3, 6, 256), (4, 3, 512)):
        for block in range(num_blocks):
            name = f"layer{stage}.{block}"
            shapes += conv(f"{name}.conv1", mid, before, 1, 1) + norm(f"{name}.bn1", mid)
            shapes += conv(f"{name}.conv2", mid, mid, 3, 3) + norm(f"{name}.bn2", mid)
            shapes += conv(f"{name}.conv3", 4 * mid, mid, 1, 1) + norm(f"{name}.bn3", 4 * mid)
            if block == 0:
                shapes += conv(f"{name}.downsample.0", 4 * mid, before, 1, 1)
                shapes += norm(f"{name}.downsample.1", 4 * mid)
            before = 4 * mid
    return shapes


def r3d_18() -> Shapes:
    shapes = conv("stem.0", 64, 3, 3, 7, 7) + norm("stem.1", 64)
    for stage, before, after in STAGES:
        for block in range(2):
            name, channels = f"layer{stage}.{block}", before if block == 0 else after
            shapes += conv(f"{name}.conv1.0", after, channels, 3, 3, 3) + norm(f"{name}.conv1.1", after)
            shapes += conv(f"{name}.conv2.0", after, after, 3, 3, 3) + norm(f"{name}.conv2.1", after)
            if channels != after:
                shapes += conv(f"{name}.downsample.0", after, channels, 1, 1, 1)
                shapes += norm(f"{name}.downsample.1", after)
    return shapes


def factorized(name: str, before: int, mid: int, after: int) -> Shapes:
    return [
        *conv(f"{name}.0", mid, before, 1, 3, 3),
        *norm(f"{name}.1", mid),
        *conv(f"{name}.3", after, mid, 3, 1, 1),
    ]


def r2plus1d_18() -> Shapes:
    shapes = conv("stem.0", 45, 3, 1, 7, 7) + norm("stem.1", 45)
    shapes += conv("stem.3", 64, 45, 3, 1, 1) + norm("stem.4", 64)
    # Channels between the two halves of a convolution, for the first and the second block of a stage.
    mids = {1: (144, 144), 2: (230, 288), 3: (460, 576), 4: (921, 1152)}
    for stage, before, after in STAGES:
        for block in range(2):
            name, channels, mid = f"layer{stage}.{block}", before if block == 0 else after, mids[stage][block]
            shapes += factorized(f"{name}.conv1.0", channels, mid, after) + norm(f"{name}.conv1.1", after)
            shapes += factorized(f"{name}.conv2.0", after, mid, after) + norm(f"{name}.conv2.1", after)
            if channels != after:
                shapes += conv(f"{name}.downsample.0", after, channels, 1, 1, 1)
                shapes += norm(f"{name}.downsample.1", after)
    return shapes


def normalized(name: str, after: int, before: int, *kernel: int) -> Shapes:
    return conv(f"{name}.0", after, before, *kernel) + norm(f"{name}.1", after)


def separable(name: str, after: int, before: int, size: int) -> Shapes:
    return [
        *normalized(f"{name}.0", after, before, 1, size, size),
        *normalized(f"{name}.1", after, after, size, 1, 1),
    ]


# Place in torchvision's row of layers, channels that come in, and those of the convolutions of the block.
INCEPTION_BLOCKS = (
    (5, 192, (64, 96, 128, 16, 32, 32)),
    (6, 256, (128, 128, 192, 32, 96, 64)),
    (8, 480, (192, 96, 208, 16, 48, 64)),
    (9, 512, (160, 112, 224, 24, 64, 64)),
    (10, 512, (128, 128, 256, 24, 64, 64)),
    (11, 512, (112, 144, 288, 32, 64, 64)),
    (12, 528, (256, 160, 320, 32, 128, 128)),
    (14, 832, (256, 160, 320, 32, 128, 128)),
    (15, 832, (384, 192, 384, 48, 128, 128)),
)


def s3d() -> Shapes:
    shapes = separable("features.0", 64, 3, 7)
    shapes += normalized("features.2", 64, 64, 1, 1, 1)
    shapes += separable("features.3", 192, 64, 3)
    for place, before, (out0, mid1, out1, mid2, out2, out3) in INCEPTION_BLOCKS:
        name = f"features.{place}"
        shapes += normalized(f"{name}.branch0", out0, before, 1, 1, 1)
        shapes += normalized(f"{name}.branch1.0", mid1, before, 1, 1, 1)
        shapes += separable(f"{name}.branch1.1", out1, mid1, 3)
        shapes += normalized(f"{name}.branch2.0", mid2, before, 1, 1, 1)
        shapes += separable(f"{name}.branch2.1", out2, mid2, 3)
        shapes += normalized(f"{name}.branch3.1", out3, before, 1, 1, 1)
    return shapes


def layer(name: str, *shape: int) -> Shapes:
    return [(f"{name}.weight", shape), (f"{name}.bias", shape[:1])]


def mvit_v1_b() -> Shapes:
    shapes = layer("conv_proj", 96, 3, 3, 7, 7)
    places = {"class_token": (96,), "spatial_pos": (3136, 96), "temporal_pos": (8, 96), "class_pos": (96,)}
    shapes += [(f"pos_encoding.{name}", shape) for name, shape in places.items()]
    # Channels that come in and go out, and whether queries are pooled.
    blocks = [(96, 192, False), (192, 192, True), (192, 384, False), (384, 384, True)]
    blocks += 9 * [(384, 384, False)] + [(384, 768, False), (768, 768, True), (768, 768, False)]
    for number, (before, after, is_pooled) in enumerate(blocks):
        name = f"blocks.{number}"
        shapes += layer(f"{name}.norm1", before) + layer(f"{name}.norm2", before)
        shapes += layer(f"{name}.attn.qkv", 3 * before, before)
        shapes += layer(f"{name}.attn.project.0", before, before)
        for letter in "qkv" if is_pooled else "kv":
            shapes += conv(f"{name}.attn.pool_{letter}.pool", 96, 1, 3, 3, 3)
            shapes += layer(f"{name}.attn.pool_{letter}.norm_act.0", 96)
        shapes += layer(f"{name}.mlp.0", 4 * before, before) + layer(f"{name}.mlp.3", after, 4 * before)
        if before != after:
            shapes += layer(f"{name}.project", after, before)
    return shapes + layer("norm", 768)


NETWORKS: dict[str, tuple[BackboneConfig, Shapes, int, int]] = {
    # configuration, names and shapes, number of entries, numbers in all of them (weights and statistics)
    "resnet18": (ResNetConfig(depth=18), resnet18(), 120, 11_186_132),
    "resnet50": (ResNetConfig(depth=50), resnet50(), 318, 23_561_205),
    "r3d_18": (R3DConfig(depth=18), r3d_18(), 120, 33_175_892),
    "r2plus1d_18": (R2Plus1DConfig(depth=18, factorization="torchvision"), r2plus1d_18(), 222, 31_325_512),
    "s3d": (S3DConfig(), s3d(), 462, 7_931_341),
    # 36 610 672 with its 400-way head, and no statistics.
    "mvit_v1_b": (MViTConfig(temporal_kernel=3), mvit_v1_b(), 311, 36_610_672 - (768 * 400 + 400)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_names_order_and_shapes_are_torchvisions(name: str) -> None:
    config, expected, num_entries, num_values = NETWORKS[name]
    state = to_torchvision(build_on_meta(config))
    assert [(key, tuple(value.shape)) for key, value in state.items()] == expected
    assert len(state) == num_entries
    assert sum(value.numel() for value in state.values()) == num_values


def test_the_numbers_of_values_are_weights_plus_statistics() -> None:
    # Each normalisation adds a mean and a variance per channel and one counter to the parameters.
    # ResNet-18 and R3D-18: 20 normalisations of 64 * 5 + 128 * 5 + 256 * 5 + 512 * 5 = 4800 channels.
    assert NETWORKS["resnet18"][3] == 11_176_512 + 2 * 4_800 + 20
    assert NETWORKS["r3d_18"][3] == 33_166_272 + 2 * 4_800 + 20
    # ResNet-50: stem 64; per stage n blocks of (1 + 1 + 4) * mid and a shortcut of 4 * mid channels.
    channels = 64 + sum((6 * blocks + 4) * mid for blocks, mid in ((3, 64), (4, 128), (6, 256), (3, 512)))
    assert 23_508_032 + 2 * channels + 53 == NETWORKS["resnet50"][3]
    # R(2+1)D-18: those of R3D-18, 45 in the stem, and twice the mid channels of each of the eight blocks.
    channels = 4_800 + 45 + 2 * (144 + 144 + 230 + 288 + 460 + 576 + 921 + 1152)
    assert 31_300_125 + 2 * channels + 37 == NETWORKS["r2plus1d_18"][3]
    # S3D: three of 64 and two of 192 before the blocks; a block has six, of its separable ones both halves.
    widths = [(*block, block[2], block[4]) for _, _, block in INCEPTION_BLOCKS]
    channels = 3 * 64 + 2 * 192 + sum(map(sum, widths))
    assert 7_910_048 + 2 * channels + (5 + 9 * 8) == NETWORKS["s3d"][3]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("resnet18", "layer1.0.conv1.weight"),
        ("resnet50", "layer4.2.bn3.running_var"),
        ("resnet50", "layer1.0.downsample.0.weight"),
        ("r3d_18", "stem.0.weight"),
        ("r3d_18", "layer1.0.conv1.0.weight"),
        ("r2plus1d_18", "layer1.0.conv1.0.0.weight"),
        ("r2plus1d_18", "layer2.0.conv2.0.3.weight"),
        ("r2plus1d_18", "stem.4.num_batches_tracked"),
        ("s3d", "features.0.0.0.weight"),
        ("s3d", "features.15.branch1.1.1.1.running_mean"),
        ("mvit_v1_b", "pos_encoding.class_token"),
        ("mvit_v1_b", "blocks.14.attn.pool_q.norm_act.0.bias"),
        ("mvit_v1_b", "blocks.13.project.weight"),
    ],
)
def test_well_known_names_are_among_them(name: str, key: str) -> None:
    assert key in to_torchvision(build_on_meta(NETWORKS[name][0]))


def randomized(backbone: Backbone) -> Backbone:
    with torch.no_grad():
        for value in backbone.state_dict().values():
            value.copy_(torch.rand(value.shape) * 10)
    return backbone


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(depth=18, width=0.125),
        ResNetConfig(depth=50, width=0.125),
        R3DConfig(depth=34, width=0.125),
        R2Plus1DConfig(factorization="torchvision", width=0.125),
        S3DConfig(width=0.125),
        MViTConfig(temporal_kernel=3, width=0.125),
        MViTConfig(pooling="average", width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=32),
    ],
    ids=str,
)
def test_there_and_back_is_the_same_network(config: BackboneConfig) -> None:
    source, target = randomized(config.build()), config.build()
    target.load_state_dict(from_torchvision(target, to_torchvision(source)), strict=True)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    clips = torch.randn(1, 3, 8, 32, 32)
    assert torch.equal(source.eval()(clips), target.eval()(clips))


def test_no_two_weights_get_the_same_name() -> None:
    for config, *_ in NETWORKS.values():
        names = map_to_torchvision(build_on_meta(config))
        assert len(set(names.values())) == len(names)


def test_what_has_no_counterpart_keeps_its_name() -> None:
    backbone = ResNet2D(depth=18, width=0.125)
    state = {"fc.weight": torch.zeros(1), "layer1.0.bn1.bias": torch.ones(8)}
    assert list(from_torchvision(backbone, state)) == ["fc.weight", "res2.0.norm1.bias"]


def test_only_the_first_layer_of_an_mvit_with_cubes_of_two_frames_differs_from_torchvisions() -> None:
    state = to_torchvision(build_on_meta(MViTConfig()))
    differing = [item for item in mvit_v1_b() if state[item[0]].shape != item[1]]
    assert differing == [("conv_proj.weight", (96, 3, 3, 7, 7))]
    assert state["conv_proj.weight"].shape == (96, 3, 2, 7, 7)
    assert len(state) == 311


def test_a_2d_resnet_18_fills_r3d_plus1_up_to_res5() -> None:
    source = randomized(ResNet2D(depth=18, width=0.125))
    target = R3DPlus1(width=0.125)
    result = target.load_state_dict(from_torchvision(target, to_torchvision(source)), strict=False)
    assert result.unexpected_keys == []
    assert {key.split(".")[0] for key in result.missing_keys} == {"conv6"}
    for name, value in source.state_dict().items():
        assert torch.equal(target.frames.state_dict()[name], value)
    assert list(map_to_torchvision(build_on_meta(R3DPlus1Config())).values()) == [
        key for key, _ in resnet18()
    ]


def test_conv6_cannot_be_given_to_torchvision_but_the_frames_can() -> None:
    network = R3DPlus1(width=0.125)
    with pytest.raises(
        ValueError, match=r"R3DPlus1's conv6.conv.weight \(6 of 126 entries\); convert its `frames`"
    ):
        to_torchvision(network)
    assert len(to_torchvision(network.frames)) == 120


@pytest.mark.parametrize(
    "config",
    [
        C3DConfig(width=0.125),
        R2Plus1DConfig(width=0.125),
        R3D50Config(width=0.125),
        R2D3DConfig(width=0.125),
    ],
    ids=str,
)
def test_a_network_torchvision_does_not_have_is_refused(config: BackboneConfig) -> None:
    backbone = config.build()
    assert map_to_torchvision(backbone) == {}
    with pytest.raises(ValueError, match="torchvision has no counterpart"):
        to_torchvision(backbone)
    with pytest.raises(ValueError, match="torchvision has no counterpart of this"):
        from_torchvision(backbone, {})
