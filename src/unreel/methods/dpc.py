"""Dense predictive coding: what a video looks like next, told from everything else it might look like."""

from dataclasses import dataclass, field

from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf
from unreel.data.batch import VideoBatch
from unreel.data.block_clips import BlockClips
from unreel.methods.dpc_task import DensePrediction, check_map, check_prediction, describe_hits
from unreel.methods.dpc_views import DPC_AUGMENTATION, augment_blocks
from unreel.methods.method import Method, MethodConfig, StepOutput
from unreel.models.backbone import Backbone
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.zoo import BackboneConfig, build_backbone

# B videos, N blocks, C channels, T frames, H W pixels


class DPC(Method):
    """The last blocks of a video are predicted, step by step and place by place, from the first ones.

    Any 3D network will do whose features are the average of its last map. How many places the map has follows
    from it and from the size of the pictures.

    Reference: DPC (Han et al., 2019); baseline of VCLR's Tables 9 and 10.
    """

    @dataclass(frozen=True)
    class Config(MethodConfig):
        """Settings of `DPC`; the defaults are those of its released code on UCF101."""

        clips: BlockClips = field(default_factory=BlockClips)
        """Blocks that follow each other."""
        augmentation: ClipAugmentation = DPC_AUGMENTATION
        """What happens to the blocks of a video, which are cropped and mirrored alike."""
        backbone: BackboneConfig = field(default_factory=R2D3DConfig)
        """The network that learns; it sees one block at a time."""
        num_predicted: int = 3
        """Blocks at the end that are predicted from those before."""
        dropout_prob: float = 0.1
        """Share of the recurrent state that is left out at every step."""
        color_draws: ColorsOf = "frame"
        """Whether colours change from frame to frame, as in the released code, or per video. The same tint
        all over a video tells it from others."""

        def __post_init__(self) -> None:
            """Refuse what cannot be trained.

            Raises:
                ValueError: a number is out of range, or the network sees single frames.
            """
            check_prediction(self.backbone, self.clips.num_blocks, self.num_predicted, self.dropout_prob)

        def build(self) -> "DPC":
            """Build the method with fresh weights from torch's global generator.

            Raises:
                ValueError: the features of the backbone are not the average of its map.
            """
            return DPC(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._backbone = build_backbone(config.backbone)
        check_map(self._backbone)
        self.dense = DensePrediction(
            self._backbone.num_features,
            num_predicted=config.num_predicted,
            dropout_prob=config.dropout_prob,
        )

    @property
    def backbone(self) -> Backbone:
        """The network that sees one block."""
        return self._backbone

    def make_views(self, batch: VideoBatch) -> Tensor:
        """Augment the blocks of each video as one clip: shape (B, N, C, T, H, W)."""
        return augment_blocks(
            self.config.augmentation,
            batch.frames_BNTHWC,
            batch.generator("blocks"),
            sizes_B2=batch.sizes_B2,
            color_draws=self.config.color_draws,
        )

    def forward(self, views: Tensor) -> StepOutput:
        """Run the network over all blocks at once, then predict."""
        maps_XDTHW = self._backbone.forward_map(views.flatten(0, 1))
        dense = self.dense(maps_XDTHW.reshape(*views.shape[:2], *maps_XDTHW.shape[1:]))
        terms = {"dense": dense.loss.detach(), "dense_accuracy": dense.accuracy}
        return StepOutput(dense.loss, terms | describe_hits(dense))

    def after_step(self, progress: float) -> None:
        """Nothing follows a step: there is no queue and no momentum encoder."""
