"""The training loop. Every method goes through this one."""

import inspect
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unreel.data.batch import VideoBatch
from unreel.data.prefetch import build_loader
from unreel.distributed import wait_for_all
from unreel.errors import TrainingError
from unreel.methods.method import StepOutput, Trainable
from unreel.progress import Progress
from unreel.seeding import derive_key
from unreel.train.checkpoint import save_checkpoint
from unreel.train.journal import Journal
from unreel.train.optimizer import clip_gradients, set_learning_rate
from unreel.train.schedule import learning_rate
from unreel.train.setup import Job
from unreel.train.signals import catch_stop_signals


@dataclass(frozen=True)
class Outcome:
    """How the loop ended: steps done, the last line of metrics, the signal that stopped it, if any."""

    steps: int
    metrics: dict[str, Any]
    stopped_by: str


def train(job: Job, progress: Progress) -> Outcome:
    """Train from ``first_step`` to ``num_steps``, or until a signal asks to stop.

    Raises:
        TrainingError: the loss is not finite, or too many videos fail.
    """
    config, method, optimizer = job.recipe.train, job.method, job.optimizer
    model = _distribute(method) if job.rank.world_size > 1 else method
    method.train()
    step = job.first_step
    if job.first_step and job.rank.is_main:
        job.kind.export(job, job.first_step)  # the run may have died between a checkpoint and its export
    with (
        catch_stop_signals() as stop,
        Journal(job, progress) as journal,
        closing(journal.time_batches(_build_loader(job))) as batches,
    ):
        for step in range(job.first_step + 1, job.num_steps + 1):
            lr = _learning_rate(job, step)
            set_learning_rate(optimizer, lr)
            torch.manual_seed(derive_key(config.seed, "step", step, job.rank.rank))

            for part in range(1, config.accumulate + 1):
                batch = next(batches)
                with torch.no_grad():
                    views = method.make_views(batch.to(job.device))
                with _synchronisation(model, is_needed=part == config.accumulate):
                    with torch.autocast(job.device.type, torch.bfloat16, enabled=job.is_bfloat16):
                        output: StepOutput = model(views)
                    _check_finite(output, batch, job, step)
                    torch.autograd.backward(output.loss / config.accumulate)
                journal.note(output)

            clip_gradients(method, config.optimizer.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            method.after_step(step / job.num_steps)

            must_stop = journal.report(step, lr, stop)
            if must_stop or step == job.num_steps or step % config.checkpoint_every_steps == 0:
                _save(job, step)
            if must_stop:
                break
    return Outcome(step, journal.metrics, journal.stopped_by if step < job.num_steps else "")


def _distribute(method: Trainable) -> DistributedDataParallel:
    """Average gradients over the processes; each keeps its own buffers, such as batch statistics."""
    flags = inspect.signature(DistributedDataParallel).parameters
    name = (
        "forward_sync_buffers" if "forward_sync_buffers" in flags else "broadcast_buffers"
    )  # until torch 2.12
    options: dict[str, Any] = {name: False}
    return DistributedDataParallel(method, **options)


def _build_loader(job: Job) -> torch.utils.data.DataLoader[Any]:
    parts = job.recipe.train.accumulate
    return build_loader(
        job.batches,
        first=job.first_step * parts,
        last=job.num_steps * parts,
        num_workers=job.num_workers,
        is_pinned=job.device.type == "cuda",
    )


def _learning_rate(job: Job, step: int) -> float:
    return learning_rate(
        job.recipe.train.schedule,
        job.recipe.train.highest_lr,
        step=step - 1,
        num_steps=job.num_steps,
        steps_per_epoch=job.batches.batches_per_epoch,
    )


def _synchronisation(model: nn.Module, *, is_needed: bool) -> AbstractContextManager[Any]:
    """Exchange gradients between processes only with the last part of a batch."""
    if is_needed or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def _check_finite(output: StepOutput, batch: VideoBatch, job: Job, step: int) -> None:
    if torch.isfinite(output.loss):
        return
    terms = ", ".join(f"{name} = {value.item():g}" for name, value in output.terms.items())
    videos = ", ".join(str(job.catalog.video(int(row)).path) for row in batch.video_index_B)
    raise TrainingError(
        f"the loss is {output.loss.item():g} at step {step} ({terms}). {job.run}/checkpoints keeps the "
        "last checkpoints with finite weights. Lower train.optimizer.lr or set train.optimizer.clip_norm "
        f"and start a new run. Videos of the batch: {videos}"
    )


def _save(job: Job, step: int) -> None:
    if job.rank.is_main:
        broken = [name for name, value in job.method.named_parameters() if not torch.isfinite(value).all()]
        if broken:
            raise TrainingError(
                f"{len(broken)} weights are not finite after step {step} (the first: {broken[0]}), so no "
                "checkpoint is written; lower the rate or set train.optimizer.clip_norm, then start anew"
            )
        save_checkpoint(
            job.run / "checkpoints",
            step=step,
            method=job.method,
            optimizer=job.optimizer,
            identity=job.identity,
            keep=job.recipe.train.keep_checkpoints,
        )
        job.kind.export(job, step)
    wait_for_all()
