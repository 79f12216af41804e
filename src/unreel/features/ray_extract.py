"""The parts of an extraction made by many machines at once, with Ray Data.

Every machine needs the same versions of the packages, the videos under the same path, and the folder of the
table on storage that all share. An actor is sent the rows of the catalog that a part holds, and answers how
it went: vectors are written where they are made, and never pass through the machine that asks for them.
"""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.features.parts import PartFiles
from unreel.features.pooling import Pooling
from unreel.features.ray_cluster import ActorPlan, ClusterConfig, import_ray, join_cluster, plan_actors
from unreel.features.ray_parts import PartActor, PartJob, read_versions
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.progress import Progress

_SHARED_STORAGE_SEC = 30.0
"""How long what another machine wrote may take to be seen here; network file systems look seldom."""


class RayPartMaker:
    """Makes the parts of an extraction on a cluster: the ``make_parts`` of `extract_features`.

    When a process or a machine ends in the middle of a part, another one makes that part again. A part whose
    process ended five times stops the extraction, as does a machine that is set up differently; what is done
    is kept.

    The table is the same to the byte as without a cluster if the processors are of one kind and networks on
    the CPU have as many threads: with ``OMP_NUM_THREADS`` of the one equal to `cores_per_actor` of the other.

    Args:
        config: where the cluster is, and how it is shared out.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    def __call__(
        self,
        embedder: ClipEmbedder,
        videos: Catalog,
        parts: PartFiles,
        missing: Sequence[int],
        *,
        pooling: Pooling,
        read: ReadConfig,
        progress: Progress,
    ) -> None:
        """Write the missing parts.

        Raises:
            FeaturesError: a machine is set up differently, or a part cannot be made.
            UnreelError: Ray is not installed, the cluster cannot be reached, or none of its machines is large
                enough.
            ValueError: the encoder is on a GPU of this machine.
        """
        if embedder.device.type != "cpu":
            raise ValueError(
                f"the encoder must be on the CPU, for actors to take, and is on {embedder.device}"
            )
        done, rejected = len(videos) - sum(len(parts.rows(part)) for part in missing), 0
        progress(done, len(videos), "")
        if not missing:
            return
        ray, token = import_ray(), _lay_token(parts)
        with join_cluster(ray, self.config.address) as machines:
            plan = plan_actors(self.config, machines, num_parts=len(missing))
            job = PartJob(
                embedder=ray.put(embedder),
                parts=parts,
                root=videos.root,
                pooling=pooling,
                read=read if read.num_workers >= 0 else replace(read, num_workers=plan.cores),
                cores=plan.cores,
                device=self.config.device if plan.gpus else "cpu",
                witness=_find_witness(videos, parts.rows(missing[0])),
                token=token,
                versions=read_versions(),
            )
            for answer in _run_actors(ray, job, videos, missing, plan):
                if answer["problem"]:
                    raise FeaturesError(f"{answer['problem']}. What is done is kept for the next call")
                done += len(parts.rows(int(answer["part"])))
                rejected += int(answer["rejected"])
                progress(done, len(videos), f"{rejected} rejected" if rejected else "")
        _await_parts(parts)


def _run_actors(
    ray: Any,  # noqa: ANN401 (see `import_ray`)
    job: PartJob,
    videos: Catalog,
    missing: Sequence[int],
    plan: ActorPlan,
) -> Iterator[dict[str, Any]]:
    """Yield the answers as they come.

    An actor that dies is started again, and what it was asked is asked again, without limit: the default of
    Ray Data.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    items = [
        {"part": part, "videos": _serialize(videos.take(job.parts.rows(part)).table)} for part in missing
    ]
    answers = ray.data.from_items(items, override_num_blocks=len(items)).map(
        PartActor,
        fn_constructor_kwargs={"job": job},
        compute=ray.data.ActorPoolStrategy(size=plan.num_actors, max_tasks_in_flight_per_actor=1),
        num_cpus=plan.cores,
        num_gpus=plan.gpus,
    )
    try:
        yield from answers.iter_rows()
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise FeaturesError(
            f"Ray gave up ({type(error).__name__}: {reason}); what is done is kept for the next call"
        ) from error


def _serialize(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _lay_token(parts: PartFiles) -> Path:
    """Write a file that shows whether another machine's folder is this one; older ones and marks go."""
    parts.folder.mkdir(parents=True, exist_ok=True)
    for left in parts.folder.glob(".part-*.tmp"):
        left.unlink(missing_ok=True)
    token = parts.folder / f".part-token.{secrets.token_hex(8)}.tmp"
    token.touch()
    return token


def _find_witness(videos: Catalog, rows: Sequence[int]) -> Path:
    paths = [videos.video(row).path for row in rows]
    return next((path for path in paths if path.exists()), videos.root)


def _await_parts(parts: PartFiles) -> None:
    until = time.monotonic() + _SHARED_STORAGE_SEC
    while missing := parts.find_missing():
        if time.monotonic() > until:
            raise FeaturesError(
                f"{len(missing)} parts were written by other machines and are not seen in {parts.folder} "
                f"after {_SHARED_STORAGE_SEC:g} s; look at that storage and call again, what is done is kept"
            )
        time.sleep(0.5)
