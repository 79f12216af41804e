"""Where a network looks: Grad-CAM on its last feature map, over frames of a few videos.

Below every frame stands the same frame under a heat map: red is what speaks most for the feature itself or,
with a classifier, for a class. A network of single frames judges each frame alone, one of clips a clip from
the middle of the video.
"""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unreel.cli.evaluate_output import print_json, warn_of_rejected
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_table,
    print_warning,
)
from unreel.data.catalog import Catalog
from unreel.evaluate.grad_cam_choice import choose_videos
from unreel.evaluate.grad_cam_target import Target
from unreel.evaluate.grad_cam_videos import GradCamResult, look_at_videos
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.features.encoder import Encoder, choose_device
from unreel.report.figures import check_figure_path
from unreel.report.grad_cam import describe_target, name_strip, save_grad_cam, save_strips
from unreel.runs import write_json

_EXAMPLE = """unreel report gradcam --encoder runs/vclr/encoder --catalog catalog.parquet --out gradcam.png
  unreel report gradcam --encoder runs/vclr/encoder --catalog catalog.parquet --classifier
  svm.safetensors --videos archery/a.mp4 surfing/b.mp4 --separate strips"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to look at, through what, and where to draw it."""

    encoder: Path
    """Folder `encoder` of a run."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    split: str = "auto"
    """Split to choose videos from; `auto` takes test when the catalog has it and no video is named, else all
    videos; "" takes all."""
    videos: tuple[str, ...] = ()
    """Videos to look at, by id or by path as in the catalog."""
    num_videos: int = 4
    """Videos to look at where none is named, spread evenly over the catalog."""
    seed: int | None = None
    """Choose them at random instead."""
    num_frames: int = 6
    """Frames to show per video; of a clip, at most all."""
    classifier: Path | None = None
    """Linear classifier that `unreel evaluate svm --classifier` wrote: explain the score of a class instead
    of the direction of the feature itself."""
    target_class: str = ""
    """Class to explain; without it the one that the classifier finds in each video."""
    other_encoder: bool = False
    """Allow a classifier that was fitted to the features of another encoder."""
    out: Path | None = None
    """Figure of all videos to write, .png or .svg; an older one is replaced. gradcam.png where `--separate`
    is not given either."""
    separate: Path | None = None
    """Folder for one PNG file per video, named by the video's id."""
    data: Path | None = None
    """JSON file for the numbers behind the picture, with all settings."""
    json: bool = False
    """Print the numbers as JSON on the standard output."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    batch_size: int = 16
    """Frames or clips per pass of the network."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""


def main(argv: list[str]) -> None:
    """Draw the figure."""
    arguments = parse_arguments(
        Arguments, argv, command="report gradcam", description=__doc__ or "", example=_EXAMPLE
    )
    started = time.monotonic()
    is_figure_wanted = arguments.out is not None or arguments.separate is None
    out = arguments.out or Path("gradcam.png") if is_figure_wanted else None
    if out is not None:
        check_figure_path(out)
    classifier = None if arguments.classifier is None else LinearClassifier.load(arguments.classifier)
    target = Target(classifier, arguments.target_class)
    chosen, settings = _choose_videos(arguments)
    _check_outputs(arguments, out, chosen)
    encoder = Encoder.load(arguments.encoder).to(choose_device(arguments.device))
    target.check(encoder, is_other_encoder_allowed=arguments.other_encoder)
    with ProgressBar("Looking", unit="videos") as progress:
        result = look_at_videos(
            encoder,
            chosen,
            target,
            num_frames=arguments.num_frames,
            batch_size=arguments.batch_size,
            num_workers=arguments.num_workers,
            decode_time_limit_sec=arguments.decode_time_limit_sec,
            progress=progress,
        )
    settings = {
        "encoder": str(arguments.encoder),
        "encoder_hash": encoder.hash,
        **settings,
        **_describe_classifier(arguments, classifier),
    }
    values = {**result.to_json(), "settings": settings}
    _warn(result, arguments)
    if arguments.json:
        print_json(values)
    else:
        _report(result, arguments, out, settings, seconds=time.monotonic() - started)
    write_outputs(
        {
            "--data": (arguments.data, partial(write_json, value=values)),
            "--out": (out, partial(save_grad_cam, result)),
            "--separate": (arguments.separate, partial(save_strips, result)),
        }
    )


def _choose_videos(arguments: Arguments) -> tuple[Catalog, dict[str, Any]]:
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    split = arguments.split
    if split == "auto":
        split = "test" if "test" in catalog.split_names and not arguments.videos else ""
    chosen = choose_videos(
        catalog.select(split), names=arguments.videos, num_videos=arguments.num_videos, seed=arguments.seed
    )
    return chosen, {
        "catalog_hash": catalog.hash,
        "split": split,
        "videos": list(arguments.videos),
        "seed": arguments.seed,
    }


def _check_outputs(arguments: Arguments, out: Path | None, chosen: Catalog) -> None:
    folder = arguments.separate
    strips = {} if folder is None else {f"--separate ({id_})": folder / name_strip(id_) for id_ in chosen.ids}
    inputs = {"--encoder": arguments.encoder, "--catalog": arguments.catalog}
    check_outputs(
        {"--out": out, "--data": arguments.data, **strips}, {**inputs, "--classifier": arguments.classifier}
    )


def _describe_classifier(arguments: Arguments, classifier: LinearClassifier | None) -> dict[str, Any]:
    if classifier is None:
        return {"classifier": None}
    return {
        "classifier": str(arguments.classifier),
        "classifier_encoder_hash": classifier.encoder_hash,
        "pooling": classifier.pooling,
        "target_class": arguments.target_class,
    }


def _warn(result: GradCamResult, arguments: Arguments) -> None:
    warn_of_rejected(result.rejected)
    num_seen = len(result.videos) + len(result.rejected)
    if not arguments.videos and num_seen < arguments.num_videos:
        print_warning(f"there are only {num_seen} videos to choose from, not {arguments.num_videos}")
    for video in result.videos:
        if any(video.is_blank):
            print_warning(
                f"{video.path}: the map is zero in {sum(video.is_blank)} of {len(video.is_blank)} frames; "
                "nothing in them speaks for the score"
            )


def _report(
    result: GradCamResult,
    arguments: Arguments,
    out: Path | None,
    settings: Mapping[str, Any],
    *,
    seconds: float,
) -> None:
    print_table(
        "Videos",
        ["video", "label", "explained"],
        [[video.path, video.label or "-", describe_target(video)] for video in result.videos],
    )
    cells = " x ".join(map(str, result.videos[0].shares_FHW.shape[1:]))
    unit = "each frame alone" if result.clip_frames == 1 else f"a clip of {result.clip_frames} frames"
    strips: object = "not kept; --separate FOLDER keeps one picture per video"
    if arguments.separate is not None:
        strips = f"{len(result.videos)} PNG files in {arguments.separate}/"
    classifier = "none: the direction of the feature is explained"
    if arguments.classifier is not None:
        classifier = f"{arguments.classifier}, of features of pooling {settings['pooling']}"
    print_summary(
        f"Figure {out}" if out is not None else f"Strips in {arguments.separate}",
        {
            "encoder": f"{result.encoder} ({settings['encoder_hash']})",
            "classifier": classifier,
            "split": settings["split"] or "all videos",
            "videos": f"{len(result.videos)} shown, {len(result.rejected)} rejected",
            "network sees": f"{unit}; its last map has {cells} places",
            "strips": strips,
            "numbers": arguments.data or "not kept; --data FILE.json keeps them",
            "time": format_duration(seconds),
        },
        next_steps=[_name_next_step(arguments)],
    )


def _name_next_step(arguments: Arguments) -> str:
    words = ["--encoder", str(arguments.encoder), "--catalog", str(arguments.catalog)]
    if arguments.root is not None:
        words += ["--root", str(arguments.root)]
    if arguments.classifier is None:
        return f"{shlex.join(['unreel', 'extract', *words])}    # features, for a classifier to explain"
    words += ["--classifier", str(arguments.classifier)]
    if arguments.other_encoder:
        words.append("--other-encoder")
    return f"{shlex.join(['unreel', 'report', 'gradcam', *words])} --target-class CLASS    # another class"
