import dataclasses

import numpy as np
import pytest
import torch

from unreel.data.grid_batch import GridBatch


def build_batch(keys: list[int], size: int = 4, num_features: int = 3) -> GridBatch:
    """Return a batch of random numbers; what a row holds depends on its key alone."""
    rows = [torch.Generator().manual_seed(key) for key in keys]

    def draw(*shape: int) -> torch.Tensor:
        return torch.stack([torch.rand(shape, generator=row) for row in rows])

    return GridBatch(
        features_BDT=draw(num_features, size),
        start_BT=draw(size),
        end_BT=draw(size),
        iou_BLT=draw(size, size),
        video_index_B=torch.arange(len(keys)),
        keys_B=torch.tensor(keys),
    )


def test_draws_depend_on_the_keys_of_the_videos_alone() -> None:
    together, alone = build_batch([5, 6, 7]).draw_stretches("x"), build_batch([6]).draw_stretches("x")
    assert together.shape == (3, 4, 4)
    assert together.dtype == torch.float32
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(alone, build_batch([6]).draw_stretches("y"))
    assert len(torch.unique(together)) == 48
    assert ((together >= 0) & (together < 1)).all()


def test_draws_are_uniform() -> None:
    draws = build_batch(list(range(50)), size=20).draw_stretches("x")
    assert draws.mean().item() == pytest.approx(0.5, abs=0.01)
    assert draws.var().item() == pytest.approx(1 / 12, abs=0.005)


def test_a_stream_per_video_is_that_of_other_batches() -> None:
    batch = build_batch([5, 6])
    expected = build_batch([6]).generator("x").uniform()
    assert np.array_equal(batch.generator("x").uniform()[1:], expected)
    assert len(batch) == 2


def test_everything_but_the_keys_moves_to_the_device() -> None:
    batch = build_batch([1, 2])
    moved = batch.to(torch.device("meta"))
    for field in dataclasses.fields(GridBatch):
        value = getattr(moved, field.name)
        if isinstance(value, torch.Tensor):
            assert value.device.type == ("cpu" if field.name == "keys_B" else "meta")
    assert moved.rejections == ()
