"""A network as a folder for the Hugging Face Hub, which unreel reads as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unreel import __version__
from unreel.config import config_to_dict
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.features.export_card import write_card
from unreel.features.export_folder import new_folder
from unreel.features.export_results import Measurement
from unreel.features.export_source import ExportSource
from unreel.features.input_spec import InputSpec
from unreel.runs import write_json, write_text

CARD_FILE, CONFIG_FILE, PREPROCESSOR_FILE = "README.md", "config.json", "preprocessor_config.json"


def export_huggingface(
    source: ExportSource,
    folder: Path,
    *,
    license_name: str = "",
    results: Sequence[Measurement] = (),
) -> None:
    """Write weights, their description and a model card, without anything that names a machine or a person.

    ``model.safetensors`` and ``encoder.json`` (``classifier.json``) are those of any encoder or classifier,
    with its hash: `Encoder.load` (`Classifier.load`) reads the folder. ``config.json`` and
    ``preprocessor_config.json`` say the same in the words of other programs, and nothing here reads them. The
    model is called as the folder is.

    Args:
        source: what is published.
        folder: new or empty.
        license_name: as the Hub calls it, such as ``apache-2.0``; "" states none.
        results: for the card.

    Raises:
        ValueError: ``folder`` is a file or not empty, or the licence is no name.
    """
    card = write_card(folder.absolute().name, source, license_name=license_name, results=results)
    with new_folder(folder) as inner:
        _with_public_provenance(source).save(inner)
        write_json(inner / CONFIG_FILE, describe_network(source))
        write_json(inner / PREPROCESSOR_FILE, describe_preprocessing(source.model.spec))
        write_text(inner / CARD_FILE, card)


def _with_public_provenance(source: ExportSource) -> Encoder | Classifier:
    model = source.model
    if not isinstance(model, Classifier):
        return Encoder(model.backbone, model.config, provenance=source.facts)
    counts = {"training_counts": model.training_counts} if model.training_counts else {}
    return Classifier(model.backbone, model.head, model.config, provenance={**source.facts, **counts})


def describe_network(source: ExportSource) -> dict[str, Any]:
    """Return ``config.json``: the network in plain values."""
    model = source.model
    classes = dict(enumerate(model.classes)) if isinstance(model, Classifier) else {}
    return {
        "model_type": f"unreel-{source.kind}",
        "library_name": "unreel",
        "library_version": __version__,
        "architectures": [type(model.backbone).__name__],
        "num_features": model.backbone.num_features,
        **({"id2label": classes} if classes else {}),
        "hash": model.hash,
        "torch_dtype": "float32",
        "backbone": config_to_dict(model.config.backbone),
    }


def describe_preprocessing(spec: InputSpec) -> dict[str, Any]:
    """Return ``preprocessor_config.json``: how a clip is prepared, in the words of image processors."""
    size: dict[str, int] | None = None
    if spec.decode_width:
        size = {"height": spec.decode_height, "width": spec.decode_width}
    elif spec.decode_height:
        size = {"shortest_edge": spec.decode_height}
    return {
        "num_frames": spec.num_frames,
        "frame_stride": spec.frame_stride,
        "sampling": spec.sampling,
        "span_frames": spec.span_frames,
        "short_video": spec.short_video,
        "do_resize": size is not None,
        "size": size,
        "do_center_crop": True,
        "crop_size": {"height": spec.crop_px, "width": spec.crop_px},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
