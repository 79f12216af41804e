"""All backbones by name.

A new backbone is one file with a network and its configuration, one member of `BackboneConfig` and one line
of `BACKBONES`.
"""

import difflib

from unreel.models.backbone import Backbone
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.s3d import S3DConfig

BackboneConfig = (
    C3DConfig
    | R3DConfig
    | R2Plus1DConfig
    | R3DPlus1Config
    | ResNetConfig
    | S3DConfig
    | R3D50Config
    | R2D3DConfig
    | MViTConfig
)
"""Settings of any backbone; JSON and the command line tell them apart by ``architecture``."""

BACKBONES: dict[str, BackboneConfig] = {
    "c3d": C3DConfig(),
    "r3d_10": R3DConfig(depth=10),
    "r3d_18": R3DConfig(depth=18),
    "r3d_34": R3DConfig(depth=34),
    "r3d_18_torchvision": R3DConfig(depth=18, init="kaiming"),
    "r2plus1d_10": R2Plus1DConfig(depth=10),
    "r2plus1d_18": R2Plus1DConfig(depth=18),
    "r2plus1d_34": R2Plus1DConfig(depth=34),
    "r2plus1d_18_torchvision": R2Plus1DConfig(depth=18, factorization="torchvision", init="kaiming"),
    "r3d_plus1_18": R3DPlus1Config(),
    "resnet_18": ResNetConfig(depth=18),
    "resnet_50": ResNetConfig(depth=50),
    "tsm_resnet_50": ResNetConfig(depth=50, temporal_shift=True),
    "s3d": S3DConfig(),
    "s3d_torchvision": S3DConfig(variant="torchvision"),
    "r3d_50": R3D50Config(),
    "r2d3d_18": R2D3DConfig(),
    "mvit_b": MViTConfig(),
    "mvit_b_k3": MViTConfig(temporal_kernel=3),
    "mvit_b_average": MViTConfig(pooling="average"),
    "mvit_small": MViTConfig(width=0.25, depths=(1, 1, 2, 2), size_px=64),
}
"""Published networks at full width, by short name; and `mvit_small`, a quarter of MViT-B's channels in six
blocks, for crops of 64 pixels and computers without GPU (1.2 million parameters)."""


def find_backbone(name: str) -> BackboneConfig:
    """Return the configuration with a short name.

    Raises:
        ValueError: there is no such name; the message has close ones and all of them.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    close = difflib.get_close_matches(name.lower(), BACKBONES, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"no backbone is called {name!r}; {hint}Known: {', '.join(BACKBONES)}")


def build_backbone(config: BackboneConfig) -> Backbone:
    """Build a backbone with fresh weights from torch's global generator.

    Raises:
        ValueError: a setting has no meaning, such as a width of 0.
    """
    return config.build()
