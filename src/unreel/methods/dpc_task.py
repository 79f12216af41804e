"""DPC's task, by itself or beside others: predict the maps of a video's later blocks from its first ones."""

from torch import Tensor, nn

from unreel.distributed import gather_rows, rank_index
from unreel.losses.dense_nce import DenseTerms, dense_nce
from unreel.models.backbone import Backbone
from unreel.models.conv_gru import FuturePredictor
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig

# B videos, N blocks, P of them predicted, L = H * W positions of a map, T its length in time, D features


class DensePrediction(nn.Module):
    """Predict the last blocks of every video and contrast them with what came, in all videos there are.

    The targets of all processes are shared, so that a batch means the same however it is spread.

    Args:
        num_features: D, of the backbone.
        num_predicted: blocks at the end that are predicted.
        dropout_prob: of the recurrent unit.

    Reference: DPC (Han et al., 2019), section 3.
    """

    def __init__(self, num_features: int, *, num_predicted: int, dropout_prob: float) -> None:
        super().__init__()
        self.num_predicted = num_predicted
        self.predictor = FuturePredictor(num_features, dropout_prob=dropout_prob)

    def forward(self, maps_BNDTHW: Tensor) -> DenseTerms:
        """Predict and contrast.

        Args:
            maps_BNDTHW: last map of the backbone for every block in order of time. It is averaged over its
                own time axis first; targets are these averages, before any ReLU.
        """
        blocks_BNDHW = maps_BNDTHW.float().mean(dim=3)
        num_seen = blocks_BNDHW.shape[1] - self.num_predicted
        predicted_BPDHW = self.predictor(blocks_BNDHW[:, :num_seen], self.num_predicted)
        targets_BPLD = _list_positions(blocks_BNDHW[:, num_seen:])
        return dense_nce(
            _list_positions(predicted_BPDHW),
            gather_rows(targets_BPLD),
            first_row=rank_index() * len(targets_BPLD),
        )


def describe_hits(terms: DenseTerms) -> dict[str, Tensor]:
    """Return in what predictions are right, by the names that metrics have."""
    return {
        "right_video": terms.right_video,
        "right_step": terms.right_step,
        "right_place": terms.right_place,
    }


def check_prediction(
    backbone: BackboneConfig, num_blocks: int, num_predicted: int, dropout_prob: float
) -> None:
    """Refuse what leaves nothing to see or to predict.

    Raises:
        ValueError: a number is out of range, or the network sees single frames.
    """
    if isinstance(backbone, ResNetConfig):
        raise ValueError(
            "method.backbone must see clips, got ResNetConfig: DPC predicts what moves, which is lost in the "
            "average over frames; take a 3D network such as r2d3d_18, r3d_18 or s3d"
        )
    if num_blocks < 2:
        raise ValueError(
            f"method.clips.num_blocks = {num_blocks} leaves nothing to predict; take at least 2, one to see "
            "and one to predict"
        )
    if not 1 <= num_predicted < num_blocks:
        raise ValueError(
            f"method.num_predicted must lie between 1 and {num_blocks - 1}, got {num_predicted}: of the "
            f"{num_blocks} blocks at least one is seen and one predicted"
        )
    if not 0.0 <= dropout_prob < 1.0:
        raise ValueError(f"method.dropout_prob must lie in [0, 1), got {dropout_prob}; DPC has 0.1")


def check_map(backbone: Backbone) -> None:
    """Refuse a network whose features are not the average of the map on which DPC works.

    Only the map would be trained, while features, such as those of the exported encoder and of VCLR's keys,
    would come from elsewhere.

    Raises:
        ValueError: the features are a class token.
    """
    if not backbone.average_is_of_map:
        raise ValueError(
            f"method.backbone ({type(backbone).__name__}) has a class token as features, while DPC trains "
            "the map of its last layer; give --method.backbone.pooling average"
        )


def _list_positions(maps_BPDHW: Tensor) -> Tensor:
    """Return the vectors at all positions, shape (B, P, H * W, D)."""
    return maps_BPDHW.flatten(3).transpose(2, 3).contiguous()
