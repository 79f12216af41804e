import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.train.recipe import ScheduleConfig
from unreel.train.schedule import learning_rate


def test_warm_up_and_cosine_give_the_rates_of_vclr() -> None:
    # Batch 512, rate 0.2, five epochs of warm-up from a hundredth, cosine to 1e-6 at epoch 400.
    config = ScheduleConfig(name="cosine", warmup_epochs=5, warmup_factor=0.01, final_lr=1e-6)
    expected = {0: 0.002, 1: 0.0416, 5: 0.2, 100: 0.172788, 200: 0.101989, 400: 1e-6}
    for epoch, rate in expected.items():
        found = learning_rate(config, 0.2, step=epoch * 470, num_steps=400 * 470, steps_per_epoch=470)
        assert found == pytest.approx(rate, abs=5e-7)


@given(st.floats(1e-6, 10.0), st.floats(0, 1), st.integers(1, 20), st.integers(0, 19))
def test_a_warm_up_is_a_share_of_whatever_the_rate_is(
    lr: float, factor: float, steps: int, step: int
) -> None:
    config = ScheduleConfig(name="constant", warmup_epochs=steps, warmup_factor=factor)
    step = min(step, steps - 1)
    rate = learning_rate(config, lr, step=step, num_steps=100, steps_per_epoch=1)
    assert rate == pytest.approx(lr * factor + (lr - lr * factor) * step / steps)
    assert learning_rate(config, 2 * lr, step=step, num_steps=100, steps_per_epoch=1) == pytest.approx(
        2 * rate
    )


def test_steps_divide_by_ten_every_twenty_epochs_as_in_ccl() -> None:
    config = ScheduleConfig(name="step", decay_every_epochs=20, decay_factor=0.1)
    rates = [
        learning_rate(config, 1e-4, step=step, num_steps=1000, steps_per_epoch=10)
        for step in (0, 199, 200, 399, 400, 999)
    ]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-8])


def test_a_constant_rate_is_constant_behind_its_warm_up() -> None:
    config = ScheduleConfig(name="constant", warmup_epochs=1)
    rates = [learning_rate(config, 0.3, step=step, num_steps=100, steps_per_epoch=3) for step in range(5)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.3])


@given(st.integers(1, 50), st.integers(0, 49), st.floats(0, 3), st.floats(0, 0.01))
def test_cosine_is_the_scalar_formula_and_never_leaves_its_range(
    num_steps: int, step: int, warmup_epochs: float, final_lr: float
) -> None:
    config = ScheduleConfig(name="cosine", warmup_epochs=warmup_epochs, final_lr=final_lr)
    step = min(step, num_steps - 1)
    rate = learning_rate(config, 0.1, step=step, num_steps=num_steps, steps_per_epoch=4)
    warmup = min(round(4 * warmup_epochs), num_steps)
    if step < warmup:
        assert rate == pytest.approx(0.1 * step / warmup)
    else:
        share = (step - warmup) / max(1, num_steps - warmup)
        assert rate == pytest.approx(final_lr + (0.1 - final_lr) * (1 + math.cos(math.pi * share)) / 2)
    assert 0 <= rate <= 0.1


def test_milestones_divide_by_ten_at_epochs_120_and_160_of_200_as_in_moco() -> None:
    # 180,000 images in batches of 256: 703.125 steps an epoch, so epoch 120 begins at step 84,375.
    config = ScheduleConfig(name="milestones", decay_at=(0.6, 0.8), decay_factor=0.1)
    rates = [
        learning_rate(config, 0.03, step=step, num_steps=140_625, steps_per_epoch=37)
        for step in (0, 84_374, 84_375, 112_499, 112_500, 140_624)
    ]
    assert rates == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])


@given(st.integers(1, 500), st.integers(1, 99))
def test_a_drop_comes_with_the_first_step_behind_its_share_however_it_is_rounded(
    num_steps: int, percent: int
) -> None:
    config = ScheduleConfig(name="milestones", decay_at=(percent / 100,), decay_factor=0.5)
    rates = [
        learning_rate(config, 1.0, step=step, num_steps=num_steps, steps_per_epoch=3)
        for step in range(num_steps)
    ]
    assert rates == [0.5 if 100 * step >= percent * num_steps else 1.0 for step in range(num_steps)]


def test_a_warm_up_stands_before_the_milestones() -> None:
    config = ScheduleConfig(name="milestones", warmup_epochs=1, decay_at=(0.5,))
    rates = [learning_rate(config, 1.0, step=step, num_steps=8, steps_per_epoch=2) for step in range(8)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1])
