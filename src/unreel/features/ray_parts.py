"""What one process of a cluster does for an extraction: look whether it can take part, and make parts."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder, choose_device
from unreel.features.parts import PartFiles
from unreel.features.pooling import Pooling
from unreel.features.ray_cluster import import_ray
from unreel.features.reading import ClipEmbedder, ReadConfig, embed_videos
from unreel.features.rows import build_table

_MAX_ATTEMPTS = 5
_PACKAGES = ("unreel", "torch", "av", "numpy", "pyarrow")


@dataclass(frozen=True)
class PartJob:
    """What an actor must know of an extraction; it goes to every actor once.

    Attributes:
        embedder: where Ray keeps it.
        parts: where the parts go, and how they are made.
        root: folder that the paths of the catalog start from.
        pooling: form of the features.
        read: how videos are read, the number of workers being the actor's.
        cores: threads of the network on a CPU.
        device: where the network runs.
        witness: a video, or a folder, that every machine must see.
        token: file that every machine must see in the folder of the parts.
        versions: that every machine must have, by package.
    """

    embedder: Any
    parts: PartFiles
    root: Path
    pooling: Pooling
    read: ReadConfig
    cores: int
    device: str
    witness: Path
    token: Path
    versions: Mapping[str, str]


class PartActor:
    """A process with an encoder that makes one part after the other.

    What goes wrong is told in the answer and not raised: Ray would restart the actor for ever.
    """

    def __init__(self, job: PartJob) -> None:
        self._job = job
        self._problem = find_problem(job)
        if not self._problem:
            torch.set_num_threads(job.cores)
            self._embedder = _load(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make a part, if no other process has made it.

        Args:
            row: ``part``, its number, and ``videos``, its rows of the catalog as an Arrow stream.

        Returns:
            ``part``; ``rejected``, a number of videos; and ``problem``, which stops the extraction, or "".
        """
        part, rejected, problem = int(row["part"]), 0, self._problem
        try:
            if not problem and not self._job.parts.path(part).exists():
                problem = self._count_attempt(part)
                rejected = 0 if problem else self._make(part, row["videos"])
        except Exception as error:  # whatever it is: the machine that asked names it
            problem = f"machine {socket.gethostname()}, part {part}: {type(error).__name__}: {error}"
        return {"part": part, "rejected": rejected, "problem": problem}

    def _count_attempt(self, part: int) -> str:
        """Leave a mark that only a finished part removes; too many tell that its processes do not live."""
        folder = self._job.parts.folder
        attempts = len(list(folder.glob(f".part-{part:06d}.attempt-*.tmp")))
        (folder / f".part-{part:06d}.attempt-{attempts + 1}.tmp").touch()
        if attempts < _MAX_ATTEMPTS:
            return ""
        return (
            f"the process that makes part {part} ended {attempts} times before it was done; where memory is "
            "the reason, lower --batch-size, --num-workers or the number of actors per machine"
        )

    def _make(self, part: int, videos: bytes) -> int:
        job = self._job
        catalog = Catalog(pa.ipc.open_stream(videos).read_all(), job.root)
        # A part is a number of whole passes of the network, so its rows may be counted from 0.
        embedded = list(embed_videos(self._embedder, catalog, range(len(catalog)), [job.pooling], job.read))
        rejections = [video.rejection for video in embedded if video.rejection is not None]
        job.parts.write(part, build_table(embedded, catalog, job.pooling, job.parts.info), rejections)
        for mark in job.parts.folder.glob(f".part-{part:06d}.attempt-*.tmp"):
            mark.unlink(missing_ok=True)
        return len(rejections)


def find_problem(job: PartJob) -> str:
    """Say in a sentence why this machine cannot take part in an extraction; "" when it can."""
    host, own = socket.gethostname(), read_versions()
    differences = [f"{name} {own[name]}, not {job.versions[name]}" for name in own]
    differences = [
        text for text, name in zip(differences, own, strict=True) if own[name] != job.versions[name]
    ]
    if differences:
        return f"machine {host} has {'; '.join(differences)}; install the same versions on every machine"
    if not job.witness.exists():
        return (
            f"machine {host} does not see {job.witness}; mount the videos under the same path on every "
            "machine, and say where with --root"
        )
    if not job.token.exists():
        return (
            f"machine {host} does not see what is written here to {job.parts.folder}; give an --out on "
            "storage that all machines share, under the same path"
        )
    return ""


def read_versions() -> dict[str, str]:
    """Return the versions of the packages that have a say in a vector."""
    return {name: metadata.version(name) for name in _PACKAGES}


def _load(job: PartJob) -> ClipEmbedder:
    embedder: ClipEmbedder = import_ray().get(job.embedder)
    if isinstance(embedder, Encoder):
        return embedder.to(choose_device(job.device), precision=embedder.precision)
    return embedder
