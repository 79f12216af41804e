"""The learning rate as a function of the step."""

import math

from unreel.train.recipe import ScheduleConfig


def learning_rate(
    config: ScheduleConfig, base_lr: float, *, step: int, num_steps: int, steps_per_epoch: int
) -> float:
    """Return the rate of an optimiser step.

    Warm-up is linear from ``warmup_factor * base_lr``, the rate of step 0, to ``base_lr``. Behind it, cosine
    falls from ``base_lr`` to ``final_lr``, which it would reach at step ``num_steps``; "step" multiplies by
    ``decay_factor`` every ``decay_every_epochs``, counted from the start of training; "milestones" does so
    when each share of ``decay_at`` of the steps is done.

    Args:
        config: shape of the schedule.
        base_lr: the highest rate.
        step: number of the step, from 0.
        num_steps: steps of the whole training.
        steps_per_epoch: steps in one pass over the videos.

    Reference: VCLR's warm-up and cosine per iteration; CCL, section 4.2 (a tenth every 20 epochs); He et al.,
    2020, section 4.1 (a tenth at epochs 120 and 160 of 200).
    """
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), num_steps)
    if step < warmup_steps:
        return base_lr * (config.warmup_factor + (1 - config.warmup_factor) * step / warmup_steps)
    if config.name == "cosine":
        done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
        return config.final_lr + 0.5 * (base_lr - config.final_lr) * (1 + math.cos(math.pi * done))
    if config.name == "step":
        drops = math.floor(step / (config.decay_every_epochs * steps_per_epoch))
        return float(base_lr * config.decay_factor**drops)
    if config.name == "milestones":
        # The quotient of whole numbers rounds to the float that the share is written as; a product may not.
        drops = sum(step / num_steps >= share for share in config.decay_at)
        return float(base_lr * config.decay_factor**drops)
    return base_lr
