"""Where a tested network comes from: the run that trained it, as far as its folder says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.errors import UnreelError
from unreel.legible import make_legible
from unreel.progress import ignore_warning
from unreel.report.evaluation_files import Evaluation
from unreel.report.paper_protocols import FRESH_WEIGHTS
from unreel.report.result_values import as_mapping
from unreel.report.run_files import read_export
from unreel.report.run_record import RunRecord
from unreel.runs import read_json

_NETWORKS = {
    "c3d": "C3D",
    "mvit": "MViT-B",
    "r2d3d": "R3D-18 (2D3D)",
    "r2plus1d": "R(2+1)D",
    "r3d": "R3D",
    "r3d_50": "R3D-50",
    "r3d_plus1": "R3D-18+1",
    "s3d": "S3D",
}
_USUAL = {"depth": 18, "width": 1.0, "depths": [1, 2, 11, 2], "temporal_kernel": 2, "temporal_shift": False}
"""Settings of a network that its name does not tell when they are so."""


@dataclass(frozen=True)
class Origin:
    """Where the tested network comes from, as far as anything says so; "" is not known.

    Attributes:
        run: name of the run.
        method: that trained it without labels, in small letters, or `FRESH_WEIGHTS`.
        backbone: as the papers call it, with what is not usual about it.
        pretrain: videos that it was trained on without labels.
        frames: that the network sees of a clip.
        size: of its pictures, in pixels.
        is_frozen: whether a classifier learned on top of a network that stayed as it was.
        is_shifted: whether its frames exchange channels (TSM).
    """

    run: str = ""
    method: str = ""
    backbone: str = ""
    pretrain: str = ""
    frames: str = ""
    size: str = ""
    is_frozen: bool = False
    is_shifted: bool = False


def find_origin(evaluation: Evaluation, runs: Sequence[RunRecord]) -> Origin:
    """Return where a tested network comes from.

    Args:
        evaluation: the result.
        runs: that it may be a result of.
    """
    run = next((own for own in runs if own.owns(evaluation) or evaluation in own.evaluations), None)
    if run is None:
        return Origin()
    method_settings = as_mapping(run.settings.get("method"))
    backbone = as_mapping(method_settings.get("backbone"))
    method, catalog = run.method, _find_catalog(run)
    if method == "moco" and method_settings.get("instance") != "video":
        method = "frame-moco"
    if method == "supervised":
        method, catalog = _find_beginning(run)
    frames, size = describe_input(next((own.get("input") for own in run.exported.values()), None))
    return Origin(
        run=run.name,
        method=method,
        backbone=name_backbone(backbone),
        pretrain=make_legible(catalog),
        frames=frames,
        size=size,
        is_frozen=method_settings.get("is_frozen") is True,
        is_shifted=backbone.get("temporal_shift") is True,
    )


def _find_catalog(run: RunRecord) -> str:
    for part in run.provenance:
        if part.get("catalog"):
            return f"catalog {part['catalog']}, {part.get('videos', '?')} videos"
    return ""


def _find_beginning(run: RunRecord) -> tuple[str, str]:
    """Return method and catalog of the encoder that a network was fine-tuned from, as far as it is there."""
    if not run.provenance:
        return "", ""
    weights = as_mapping(run.provenance[0].get("initial_weights"))
    files = [str(as_mapping(own).get("file") or "") for own in weights.values()]
    if not any(files):
        return FRESH_WEIGHTS, "none"
    origin = as_mapping(read_export(Path(files[0]).parent, ignore_warning).get("provenance"))
    method, catalog = origin.get("method"), origin.get("catalog")
    return str(method or "").lower(), f"catalog {catalog}" if catalog else ""


def describe_input(values: object) -> tuple[str, str]:
    """Return frames of a clip and size of a picture as an input specification has them, or ""."""
    spec = as_mapping(values)
    crop = spec.get("crop_px")
    return str(spec.get("num_frames") or ""), f"{crop} x {crop}" if crop else ""


def name_backbone(settings: Mapping[str, Any]) -> str:
    """Return what the papers call a network, and in which settings it is another; "" where none is known."""
    architecture = settings.get("architecture")
    if architecture == "resnet":
        name = f"R2D-{settings.get('depth')}"
    else:
        name = _NETWORKS.get(str(architecture), make_legible(str(architecture)) if architecture else "")
    odd = [
        f"{setting} {settings[setting]}"
        for setting, usual in _USUAL.items()
        if setting in settings and settings[setting] != usual
        if not (setting == "depth" and architecture == "resnet")
    ]
    return ", ".join([name, *odd])


def count_classes(evaluation: Evaluation) -> int | None:
    """Return the number of classes of a result; None where its file does not say."""
    for name in ("video.classes", "clip.classes", "classes"):
        if name in evaluation.numbers:
            return int(evaluation.numbers[name])
    if isinstance(evaluation.settings.get("classes"), int):
        return int(evaluation.settings["classes"])
    try:
        return _count_queries_by_class(read_json(evaluation.path))
    except (OSError, ValueError, UnreelError):
        return None


def _count_queries_by_class(value: object, depth: int = 3) -> int | None:
    """Return how many classes the queries of a result have, wherever in it they are counted."""
    own = as_mapping(as_mapping(value).get("queries_by_class"))
    if own or not depth:
        return len(own) or None
    inner = (_count_queries_by_class(group, depth - 1) for group in as_mapping(value).values())
    return next((count for count in inner if count), None)
