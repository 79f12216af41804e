"""What the loop tells: averages, rate, waiting time, failed videos."""

import time
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Self

from unreel.data.batch import Rejection, UnreadableBatch, VideoBatch
from unreel.distributed import gather_objects
from unreel.errors import CatalogError
from unreel.methods.method import StepOutput
from unreel.progress import Progress
from unreel.train.metrics import Averages, MetricsWriter, Stopwatch
from unreel.train.setup import Job
from unreel.train.signals import StopRequest


class Journal:
    """Collects what happens in a step and reports it when it is due.

    Attributes:
        metrics: the last line of metrics.
        stopped_by: the signal that some process was asked to stop by, or "".
    """

    def __init__(self, job: Job, progress: Progress) -> None:
        self.metrics: dict[str, Any] = {}
        self.stopped_by = ""
        self._job = job
        self._progress = progress
        self._averages = Averages()
        self._stopwatch = Stopwatch()
        self._rejections: list[Rejection] = []
        self._reported_step = job.first_step
        self._writer = MetricsWriter(job.run, first_step=job.first_step) if job.rank.is_main else None

    def __enter__(self) -> Self:
        self._progress(self._job.first_step, self._job.num_steps, "starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._job.rejected.record(self._rejections)
        if self._writer is not None:
            self._writer.close()

    def time_batches(
        self, batches: Iterable[VideoBatch | UnreadableBatch]
    ) -> Generator[VideoBatch, None, None]:
        """Pass batches on and count the time spent waiting for them; closing it ends the loader's workers.

        Raises:
            CatalogError: too few videos can be read to fill a batch.
        """
        iterator = iter(batches)
        try:
            while True:
                started = time.perf_counter()
                batch = next(iterator, None)
                self._stopwatch.add_wait(time.perf_counter() - started)
                if batch is None:
                    return
                self._rejections += batch.rejections
                if isinstance(batch, UnreadableBatch):
                    raise CatalogError(batch.reason)
                yield batch
        finally:
            # The workers ignore the signals by which Python would end them.
            getattr(iterator, "_shutdown_workers", int)()

    def note(self, output: StepOutput) -> None:
        """Count one forward pass."""
        self._averages.add({"loss": output.loss, **output.terms})

    def report(self, step: int, lr: float, stop: StopRequest) -> bool:
        """Write a line of metrics if one is due, and say whether any process was asked to stop.

        Several processes look at each other's requests only when a line is due.

        Raises:
            TrainingError: too many videos have failed.
        """
        config = self._job.recipe.train
        is_alone = self._job.rank.world_size == 1
        is_due = step % config.log_every_steps == 0 or step % config.checkpoint_every_steps == 0
        if not (is_due or step == self._job.num_steps or (stop and is_alone)):
            return False
        reports = gather_objects((tuple(self._rejections), stop.signal_name))
        self._rejections.clear()
        # A signal that arrives from here on waits for the next report: all processes must decide alike.
        self.stopped_by = next((name for _, name in reports if name), "")
        self._write(step, lr)
        self._job.rejected.add(rejection for rejections, _ in reports for rejection in rejections)
        return bool(self.stopped_by)

    def _write(self, step: int, lr: float) -> None:
        seconds, waiting = self._stopwatch.read()
        videos = (step - self._reported_step) * self._job.recipe.train.batch_size
        self._reported_step = step
        self.metrics = {
            "step": step,
            "epoch": step / self._job.batches.batches_per_epoch,
            **self._averages.read(),
            "lr": lr,
            "videos_per_sec": videos / seconds,
            "data_wait_fraction": waiting,
        }
        if self._writer is not None:
            self._writer.write(self.metrics)
        loss, rate = self.metrics["loss"], self.metrics["videos_per_sec"]
        note = f"loss {loss:.3f}, {rate:.0f} videos/s, waiting for data {waiting:.0%}"
        self._progress(step, self._job.num_steps, note)
