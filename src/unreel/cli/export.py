"""Hand a trained network, or a table of vectors, to other programs.

`huggingface` is a folder to publish, with a model card and nothing that names your machine; `torchvision`
has the weights in torchvision's names; `onnx` runs without unreel and torch; `npy` is one NumPy file per
video.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import ProgressBar, parse_arguments, print_summary, print_warning
from unreel.features.export_folder import check_new_folder
from unreel.features.export_huggingface import CARD_FILE, export_huggingface
from unreel.features.export_onnx import INPUT, export_onnx
from unreel.features.export_results import read_results
from unreel.features.export_source import ExportSource, open_source
from unreel.features.export_torchvision import INFO_FILE, export_torchvision
from unreel.features.export_vectors import INDEX_FILE, export_vectors
from unreel.features.table import FeatureTable

_EXAMPLE = """unreel export --model runs/ccl --to published/ccl --license cc-by-4.0 --results retrieval.json
  unreel export --model runs/ccl --to ccl-onnx --format onnx
  unreel export --features features.parquet --to vectors --format npy"""


@dataclass(frozen=True)
class Arguments:
    """What to export, as what, and where to."""

    to: Path
    """Folder to write; new or empty. A published model is called as it is."""
    model: Path | None = None
    """A run, or the folder `encoder` or `classifier` of one."""
    features: Path | None = None
    """Table that `unreel extract` wrote, for the format npy."""
    format: Literal["huggingface", "torchvision", "onnx", "npy"] = "huggingface"
    """What to write."""
    license: str = ""
    """Of the published weights, as the Hugging Face Hub calls it, such as apache-2.0; none is stated by
    default. Format huggingface."""
    results: tuple[Path, ...] = ()
    """Files that `unreel evaluate --out` wrote for this model; their numbers go on the model card. Format
    huggingface."""


def main(argv: list[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments, argv, command="export", description=__doc__ or "", example=_EXAMPLE
    )
    _check(arguments)
    if arguments.features is not None:
        _export_vectors(arguments, arguments.features)
        return
    assert arguments.model is not None
    source = open_source(arguments.model)
    if arguments.format == "huggingface":
        _export_huggingface(arguments, source)
    elif arguments.format == "torchvision":
        _export_torchvision(arguments, source)
    else:
        _export_onnx(arguments, source)


def _check(arguments: Arguments) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        ValueError: a flag is missing or plays no role, or the folder is taken.
    """
    wanted, other = ("features", "model") if arguments.format == "npy" else ("model", "features")
    if getattr(arguments, wanted) is None:
        raise ValueError(f"--format {arguments.format} needs --{wanted}; see `unreel export --help`")
    if getattr(arguments, other) is not None:
        raise ValueError(f"--format {arguments.format} takes --{wanted}, not --{other}; leave --{other} out")
    for name in ("license", "results"):
        if getattr(arguments, name) and arguments.format != "huggingface":
            raise ValueError(f"--{name} goes on the model card of --format huggingface; leave it out")
    check_new_folder(arguments.to)
    inputs = {"--model": arguments.model, "--features": arguments.features, "--results": arguments.results}
    # Whether a file can be made there, and whether the folder lies in what a run keeps for itself.
    check_outputs({"--to": arguments.to / "model.safetensors"}, inputs)


def _export_huggingface(arguments: Arguments, source: ExportSource) -> None:
    hashes = (source.model.hash, getattr(source.model, "network_hash", source.model.hash))
    results = read_results(arguments.results, *hashes)
    export_huggingface(source, arguments.to, license_name=arguments.license, results=results)
    if not arguments.license:
        print_warning("no licence is stated, so nobody else may use the weights; --license states one")
    flag = "--encoder" if source.kind == "encoder" else "--model"
    command = "extract" if source.kind == "encoder" else "evaluate recognition"
    rows = {**_describe(source), "results": len(results), "card": arguments.to / CARD_FILE}
    next_steps = [
        f"unreel {command} {flag} {shlex.quote(str(arguments.to))} --catalog CATALOG    # it loads as it is",
        f"hf upload YOUR_NAME/{shlex.quote(arguments.to.absolute().name)} {shlex.quote(str(arguments.to))}",
    ]
    print_summary(f"Hugging Face folder {arguments.to}", rows, next_steps=next_steps)


def _export_torchvision(arguments: Arguments, source: ExportSource) -> None:
    twin = export_torchvision(source, arguments.to)
    rows = {**_describe(source), "network": twin, "how to load": arguments.to / INFO_FILE}
    next_steps = ["docs/export.md    # what loads, and what torchvision does not have"]
    print_summary(f"Weights in torchvision's names {arguments.to}", rows, next_steps=next_steps)


def _export_onnx(arguments: Arguments, source: ExportSource) -> None:
    exported = export_onnx(source, arguments.to)
    shape = ", ".join(map(str, exported.input_shape))
    rows = {
        **_describe(source),
        "input": f"{INPUT}, uint8 RGB, shape (clips, {shape})",
        "output": f"{exported.output_name}, float32, shape (clips, {exported.num_outputs})",
        "checked": f"differs from torch by {exported.largest_difference:.0e} of the largest number",
        "size": f"{exported.file.stat().st_size / 2**20:.1f} MiB",
    }
    next_steps = ["docs/export.md    # how to run it, and what it must be fed"]
    print_summary(f"ONNX file {exported.file}", rows, next_steps=next_steps)


def _export_vectors(arguments: Arguments, features: Path) -> None:
    with ProgressBar("Exporting", unit="videos") as progress:
        exported = export_vectors(FeatureTable.load(features), arguments.to, progress=progress)
    rows: dict[str, object] = {
        "videos": f"{exported.videos}, a file each",
        "vectors": f"{exported.vectors} of {exported.dimension} numbers",
        "list": exported.folder / INDEX_FILE,
    }
    if exported.renamed:
        rows["renamed"] = f"{exported.renamed} videos, which would share a name, have their id in it"
    next_steps = ["docs/export.md    # how to read them, and how they are called"]
    print_summary(f"NumPy files {exported.folder}", rows, next_steps=next_steps)


def _describe(source: ExportSource) -> dict[str, object]:
    return {
        source.kind: f"{source.model.name} ({source.model.hash})",
        "backbone": source.model.config.backbone.architecture,
        "outputs": f"{source.num_outputs} {'features' if source.kind == 'encoder' else 'classes'}",
    }
