"""Flags that change how videos are shown to a classifier; what is not given stays as it was trained to be."""

import dataclasses
from dataclasses import dataclass

from unreel.augment.evaluation_views import Average, EvaluationViews, Starts
from unreel.augment.views import CropLayout
from unreel.features.classifier import Classifier


@dataclass(frozen=True)
class ViewArguments:
    """The views of a video; None keeps the classifier's own."""

    clips: int | None = None
    """Clips per video; by default as the classifier's recipe says, like all flags of views."""
    num_frames: int | None = None
    """Frames per clip; 0 as in training."""
    crops: CropLayout | None = None
    """`center`, `three` along the long side, or `ten`: corners and center, each mirrored too."""
    crop_px: int | None = None
    """Side of the crops in pixels; 0 as in training."""
    height: int | None = None
    """Height to which frames are scaled; with width 0, the length of the short side; 0 as in training."""
    width: int | None = None
    """Width to which frames are scaled; 0 keeps the aspect where there is a height."""
    average: Average | None = None
    """What is averaged over clips and crops: `logits`, or `probabilities` after softmax."""
    starts: Starts | None = None
    """Where clips start: `even`, or `offset`, at multiples of one number of frames."""

    def apply(self, classifier: Classifier) -> Classifier:
        """Return the classifier with the views that were asked for.

        Raises:
            ValueError: the network cannot be tested so.
        """
        names = [field.name for field in dataclasses.fields(EvaluationViews)]
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return (
            classifier.with_views(dataclasses.replace(classifier.views, **changes)) if changes else classifier
        )
