"""The page that explains a published network: a model card."""

import html
import json
import math
import re
from collections.abc import Sequence

from unreel.config import config_to_dict
from unreel.features.classifier import Classifier
from unreel.features.export_results import Measurement
from unreel.features.export_source import ExportSource
from unreel.features.input_spec import InputSpec
from unreel.legible import make_legible

_FRAMES = {
    "clip": "{num_frames} frames, {frame_stride} apart in the video",
    "frame_per_part": "one frame from each of {num_frames} equal parts of {span_frames} frames of the video",
    "segments": "one frame from each of {num_frames} equal parts of the video",
    "offset_clip": "{num_frames} frames, {frame_stride} apart in the video",
}


def write_card(
    name: str,
    source: ExportSource,
    *,
    license_name: str = "",
    results: Sequence[Measurement] = (),
) -> str:
    """Return a model card: front matter in YAML, then a page in Markdown.

    Args:
        name: of the model.
        source: what is published.
        license_name: as the Hugging Face Hub calls it, such as ``apache-2.0``; "" states none.
        results: measured.

    Raises:
        ValueError: ``license_name`` is no such name.
    """
    if license_name and not re.fullmatch(r"[a-z0-9][a-z0-9.\-]*", license_name):
        raise ValueError(
            f"license must be a name that the Hugging Face Hub knows, such as apache-2.0 or cc-by-4.0, got "
            f"{license_name!r}"
        )
    sections = [
        _front_matter(source, license_name),
        f"# {_one_line(name)}",
        _introduce(source),
        _explain_loading(name, source),
        f"## Input\n\n{describe_input(source.model.spec)}{_describe_views(source)}",
        _tell_training(source),
        _tell_results(results),
        _tell_limits(source, license_name),
    ]
    return "\n\n".join(sections) + "\n"


def describe_input(spec: InputSpec) -> str:
    """Say in words how a clip is made from a video."""
    frames = "one frame" if spec.num_frames == 1 else _FRAMES[spec.sampling].format(**vars(spec))
    if not spec.span_frames and spec.sampling == "frame_per_part":
        frames = f"one frame from each of {spec.num_frames} equal parts of the video"
    size = "left at their size"
    if spec.decode_width:
        size = f"scaled to {spec.decode_height} x {spec.decode_width} pixels (height x width)"
    elif spec.decode_height:
        size = f"scaled to {spec.decode_height} pixels on the short side"
    return (
        f"A clip is {frames}: RGB, {size}, the middle {spec.crop_px} x {spec.crop_px} pixels cut out. "
        f"Values in [0, 1], less the mean {list(spec.mean)}, divided by the deviation {list(spec.std)}."
    )


def _describe_views(source: ExportSource) -> str:
    """Say how a classifier's answers to several clips of a video become one."""
    if not isinstance(source.model, Classifier):
        return ""
    views = source.model.views
    average = "logits" if views.average == "logits" else "probabilities (softmax of the logits)"
    return (
        f" A video is classified by the mean of the {average} over {views.clips} clips, crops: {views.crops}."
    )


def _front_matter(source: ExportSource, license_name: str) -> str:
    task = "video-classification" if source.kind == "classifier" else "feature-extraction"
    tags = ["video", source.model.config.backbone.architecture]
    tags += ["self-supervised-learning"] if source.kind == "encoder" and _is_trained(source) else []
    tags += [str(source.facts["method"]).lower()] if _is_trained(source) else []
    # JSON is YAML: whatever a name holds, it stays one value.
    lines = ["library_name: unreel"]
    lines += [f"license: {json.dumps(license_name)}"] if license_name else []
    lines += [f"pipeline_tag: {task}", "tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _is_trained(source: ExportSource) -> bool:
    """Whether it is known that the weights were learned; fresh ones name the method "none"."""
    return bool(source.facts.get("method", "none") != "none")


def _introduce(source: ExportSource) -> str:
    model = source.model
    num_weights = sum(parameter.numel() for parameter in model.backbone.parameters())
    gives = f"a vector of {source.num_outputs} numbers"
    if isinstance(model, Classifier):
        gives = f"scores of {source.num_outputs} classes ({', '.join(map(_one_line, model.classes))})"
    method = f" It was trained with {_one_line(source.facts['method'])}." if _is_trained(source) else ""
    article = "An" if source.kind == "encoder" else "A"
    return (
        f"{article} {source.kind} of video clips: a network of the architecture "
        f"`{model.config.backbone.architecture}` ({num_weights / 1e6:.1f} million parameters) that turns a "
        f"clip into {gives}.{method} Its hash is `{model.hash}`; results that were measured with it name it."
    )


def _explain_loading(name: str, source: ExportSource) -> str:
    safe = re.sub(r"[^\w.\-]", "_", name)
    kind, title = source.kind, source.kind.capitalize()
    command = f"unreel predict --model {safe} video.mp4"
    if kind == "encoder":
        command = f"unreel extract --encoder {safe} --catalog catalog.parquet --out features.parquet"
    return f"""## How to load it

Install unreel and download this folder, here as `{safe}`.

```sh
{command}
```

```python
from pathlib import Path

from unreel.features.{kind} import {title}

{kind} = {title}.load(Path("{safe}"))
rows = {kind}.embed_clips(frames)["average"]  # uint8 RGB (clips, frames, height, width, 3)
```

`{kind}.json` describes the network and its input for unreel; `config.json` and `preprocessor_config.json`
say the same for other programs. The weights are plain tensors; no code is run when they are read."""


def _tell_training(source: ExportSource) -> str:
    if not _is_trained(source):
        drawn = "It was not trained: its weights are as they were drawn."
        unknown = "Nothing is known of how it was trained."
        return f"## Training\n\n{drawn if 'method' in source.facts else unknown}"
    rows = {**source.facts, "network": json.dumps(config_to_dict(source.model.config.backbone))}
    lines = [f"| {name.replace('_', ' ')} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines])


def _tell_results(results: Sequence[Measurement]) -> str:
    if not results:
        return "## Results\n\nNone were given."
    lines = [
        f"| {_cell(row.protocol)} | {_cell(row.level)} | {_cell(row.measure)} | {row.value:.4f} | "
        f"{_cell(row.settings)} |"
        for row in results
    ]
    header = ["| protocol | level | measure | value | features |", "|---|---|---|---|---|"]
    return "\n".join(["## Results", "", *header, *lines])


def _tell_limits(source: ExportSource, license_name: str) -> str:
    facts = source.facts
    videos = f"{facts['videos']} videos" if "videos" in facts else "videos that are not described here"
    learned = (
        f"It learned from {videos}. What these do not show it does not know, and what they get wrong or "
        "leave out it may repeat."
    )
    limits = [
        learned if _is_trained(source) or not facts else "It has learned nothing.",
        "Its numbers mean something for clips that were prepared as above, and cannot be compared with "
        "those of another network.",
        "Results hold for the videos and settings that they were measured with.",
    ]
    if facts.get("step", math.inf) < facts.get("num_steps", 0):
        limits.insert(0, f"Its training stopped at step {facts['step']} of {facts['num_steps']}.")
    if not license_name:
        limits.append("Its publisher stated no licence.")
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in limits)])


def _one_line(value: object) -> str:
    """Write a word of any origin, such as a label, so that it is no mark-up."""
    text = make_legible(re.sub(r"\s+", " ", str(value)))
    return re.sub(r"([\\`\[\]])", r"\\\1", html.escape(text, quote=False))


def _cell(value: object) -> str:
    return _one_line(value).replace("|", "\\|")
