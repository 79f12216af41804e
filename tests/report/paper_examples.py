"""Results and runs as their files would be read, for the tests of what stands beside the papers."""

from pathlib import Path
from typing import Any

from unreel.report.evaluation_files import Evaluation, parse_evaluation
from unreel.report.run_record import RunRecord

C3D = {"architecture": "c3d", "width": 1.0}
FEATURES = {
    "encoder_hash": "0123456789abcdef",
    "encoder": "cacl/encoder",
    "pooling": "conv5_max",
    "dimension": 9216,
    "clips_per_video": 10,
    "catalog_hash": "fedcba9876543210",
}
RANKING = {"by": "label", "query_split": "test", "gallery_split": "train", "is_centered": False}
SPEC = {"sampling": "clip", "num_frames": 16, "frame_stride": 2, "crop_px": 112}


def make_retrieval(path: Path = Path("retrieval.json"), *, classes: int = 101, **changes: Any) -> Evaluation:
    """Return a retrieval: 43.9 % at k = 1 and 60.0 % at 5 for videos, 20 % at 1 for clips.

    Args:
        path: of its file.
        classes: of its queries.
        changes: parts of the file that are otherwise.
    """
    return parse(path, retrieval_values(classes=classes, **changes))


def retrieval_values(*, classes: int = 101, **changes: Any) -> dict[str, Any]:
    """Return what the file of that retrieval holds."""
    video = {
        "queries": 3783,
        "gallery": 9537,
        "recall": {"1": 0.439, "5": 0.6},
        "chance": {"1": 0.01, "5": 0.05},
        "queries_by_class": {f"class-{number}": 30 for number in range(classes)},
    }
    levels = {"video": video, "clip": {**video, "recall": {"1": 0.2}}}
    values = {"protocol": "retrieval", "settings": RANKING, "features": FEATURES, "levels": levels}
    return {**values, **changes}


def make_accuracy(protocol: str = "svm", *, classes: int = 400, **settings: Any) -> Evaluation:
    """Return a result of an SVM, a linear layer or a classifier: 62.5 % top 1, F-measure 50 %."""
    numbers = {"queries": 40, "classes": classes, "top1": 0.625, "macro_f_measure": 0.5, "chance": 0.25}
    if protocol == "recognition":
        model = {"name": "tuned/classifier", "hash": "c" * 16}
        return parse(
            Path("r.json"), {"protocol": protocol, **numbers, "model": model, "settings": dict(settings)}
        )
    levels = {"video": {**numbers, "gallery": 80}}
    values = {"protocol": protocol, "settings": {**RANKING, **settings}, "features": FEATURES}
    return parse(Path(f"{protocol}.json"), {**values, "levels": levels})


def make_similarity() -> Evaluation:
    """Return mean cosines of two of CACL's pairs."""
    settings = {"run": "runs/cacl", "weights_hash": "d" * 16, "step": 7, "catalog_hash": "e" * 16}
    pairs = {"gq_gk": {"mean": 0.9, "deviation": 0.1}, "gq_tk": {"mean": 0.25, "deviation": 0.1}}
    return parse(
        Path("similarity.json"),
        {"protocol": "similarity", "settings": settings, "pairs": pairs, "videos": 10},
    )


def parse(path: Path, values: dict[str, Any]) -> Evaluation:
    """Return the one result that a file holds."""
    (found,) = parse_evaluation(path, values)
    return found


def make_run(
    folder: Path = Path("runs/cacl"),
    *,
    method: str = "cacl",
    backbone: dict[str, Any] | None = None,
    encoder_hash: str = FEATURES["encoder_hash"],  # type: ignore[assignment]
    settings: dict[str, Any] | None = None,
    initial_weights: dict[str, Any] | None = None,
) -> RunRecord:
    """Return a run that has exported an encoder.

    Args:
        folder: of the run; nothing is read from it.
        method: that was trained.
        backbone: settings of the network, by default those of C3D.
        encoder_hash: of the encoder.
        settings: further ones of the method.
        initial_weights: what the provenance says of them.
    """
    part = {"catalog": "1" * 16, "videos": 9537, "initial_weights": initial_weights or {}}
    return RunRecord(
        folder=folder,
        recipe=f"{method}.ucf101",
        method=method,
        settings={"method": {"backbone": backbone or C3D, **(settings or {})}},
        provenance=(part,),
        metrics={},
        num_steps=None,
        rejections={},
        exported={"encoder": {"hash": encoder_hash, "input": SPEC}},
    )
