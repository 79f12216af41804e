"""The two files of a classifier: all weights in safetensors, everything else in JSON."""

from dataclasses import dataclass, field

from unreel.augment.evaluation_views import EvaluationViews
from unreel.features.encoder_files import check_shifted_input
from unreel.features.input_spec import InputSpec
from unreel.features.weight_files import FileKind, WeightFiles
from unreel.models.c3d import C3DConfig
from unreel.models.zoo import BackboneConfig


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything about a classifier but its weights.

    Raises:
        ValueError: a class comes twice, or the network cannot be fed and tested so.
    """

    backbone: BackboneConfig = field(default_factory=C3DConfig)
    """The network in front of the linear layer."""
    input: InputSpec = field(default_factory=InputSpec)
    """What it was fed in training."""
    views: EvaluationViews = field(default_factory=EvaluationViews)
    """How a video is shown to it when it is tested."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of its scores."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise ValueError(f"classes must be different names, got {', '.join(twice[:3])} more than once")
        check_shifted_input(self.backbone, self.test_input)
        self.test_input.build_sampling(self.views.clips)

    @property
    def test_input(self) -> InputSpec:
        """What it must be fed when it is tested."""
        return self.input.with_views(self.views)


ClassifierFiles = WeightFiles[ClassifierConfig]
"""What the two files hold."""

CLASSIFIER_KIND = FileKind("classifier", "a", ClassifierConfig())
