import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from unreel.data import loader
from unreel.data.batch import UnreadableBatch, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clips import FramePerPart, RandomClips
from unreel.data.decode import ClipDecoder
from unreel.data.loader import (
    DataConfig,
    TrainingBatches,
    build_cache,
    count_workers,
    select_videos,
)
from unreel.errors import CatalogError, VideoError
from unreel.machine import count_cores
from unreel.seeding import build_generator

CLIPS = RandomClips(count=2, num_frames=4, frame_stride=2)
CONFIG = DataConfig(height=12, width=16)


def build_batches(catalog: Catalog, **changes: object) -> TrainingBatches:
    settings: dict[str, object] = {"seed": 0, "batch_size": 4, **changes}
    return TrainingBatches(catalog, CLIPS, CONFIG, **settings)  # type: ignore[arg-type]


def read(batches: TrainingBatches, number: int) -> VideoBatch:
    batch = batches[number]
    assert isinstance(batch, VideoBatch)
    return batch


def is_same(left: VideoBatch, right: VideoBatch) -> bool:
    return all(
        torch.equal(getattr(left, name), getattr(right, name))
        for name in ("frames_BNTHWC", "sizes_B2", "video_index_B", "frame_index_BNT", "labels_B", "keys_B")
    )


@pytest.fixture
def train(corpus: Path) -> Catalog:
    return Catalog.load(corpus).select("train")


@pytest.fixture
def damaged(corpus: Path, tmp_path: Path) -> Catalog:
    """The training videos, two of them overwritten with noise after the scan."""
    folder = tmp_path / "damaged"
    shutil.copytree(corpus.parent, folder)
    for name in ("01.mp4", "05.mp4"):
        (folder / name).write_bytes(np.random.default_rng(0).bytes(2000))
    return Catalog.load(folder / "catalog.parquet", root=folder).select("train")


def test_a_batch_holds_the_clips_of_distinct_videos(train: Catalog) -> None:
    batch = build_batches(train)[0]
    assert batch.frames_BNTHWC.shape == (4, 2, 4, 12, 16, 3)
    assert batch.frames_BNTHWC.dtype == torch.uint8
    assert len(set(batch.video_index_B.tolist())) == len(batch) == 4
    assert batch.sizes_B2.tolist() == [[12, 16]] * 4
    assert batch.rejections == ()


def test_a_batch_knows_the_class_of_every_video(train: Catalog) -> None:
    batch = build_batches(train)[0]
    names = [train.label_names[number] for number in batch.labels_B.tolist()]
    assert names == [train.labels[row] for row in batch.video_index_B.tolist()]
    assert len(set(names)) > 1


def test_an_epoch_meets_every_video_at_most_once_and_epochs_differ(train: Catalog) -> None:
    batches = build_batches(train)
    assert batches.batches_per_epoch == 2  # nine videos, one is left over
    epochs = [
        [row for number in (first, first + 1) for row in batches[number].video_index_B.tolist()]
        for first in (0, 2)
    ]
    for rows in epochs:
        assert len(set(rows)) == 8
    assert epochs[0] != epochs[1]
    assert batches[0].frame_index_BNT.tolist() != batches[2].frame_index_BNT.tolist()


@pytest.mark.parametrize(("world_size", "num_parts"), [(2, 1), (1, 2), (2, 2)])
def test_processes_and_parts_share_a_batch_without_overlap(
    train: Catalog, world_size: int, num_parts: int
) -> None:
    whole = build_batches(train)[1]
    shares = [
        build_batches(train, rank=rank, world_size=world_size, num_parts=num_parts)[num_parts + part]
        for part in range(num_parts)
        for rank in range(world_size)
    ]
    for name in ("frames_BNTHWC", "video_index_B", "keys_B"):
        joined = torch.cat([getattr(share, name) for share in shares])
        assert torch.equal(joined, getattr(whole, name))


def test_another_seed_gives_other_batches(train: Catalog) -> None:
    first, other = build_batches(train)[0], build_batches(train, seed=1)[0]
    assert first.video_index_B.tolist() != other.video_index_B.tolist()
    assert set(first.keys_B.tolist()).isdisjoint(other.keys_B.tolist())


@pytest.mark.parametrize("cache_kind", ["ram", "device"])
def test_the_cache_gives_the_same_frames_as_the_files(
    train: Catalog, cache_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = build_cache(train, dataclasses.replace(CONFIG, cache=cache_kind))
    assert cache is not None
    expected = [read(build_batches(train), number) for number in range(4)]
    monkeypatch.delattr(ClipDecoder, "decode")
    batches = build_batches(train, cache=cache)
    assert all(is_same(read(batches, number), expected[number]) for number in range(4))


@pytest.mark.parametrize("cache_kind", ["ram", "device"])
def test_what_cannot_be_read_fails_with_a_cache_as_it_does_without(damaged: Catalog, cache_kind: str) -> None:
    """Of 02.mp4 some frames can be read and others not: it fails in some epochs only, in the same ones."""
    path = damaged.root / "02.mp4"
    content = bytearray(path.read_bytes())
    end = content.index(b"moov") - 4  # of the last frames
    content[end - 100 : end] = bytes(100)
    path.write_bytes(content)
    cache = build_cache(damaged, dataclasses.replace(CONFIG, cache=cache_kind))
    plain, cached = build_batches(damaged), build_batches(damaged, cache=cache)
    failed: list[str] = []
    for number in range(24):
        expected, got = read(plain, number), read(cached, number)
        assert is_same(got, expected)
        assert got.rejections == expected.rejections
        failed += [Path(item.path).name for item in got.rejections]
        names = [damaged.video(row).path.name for row in got.video_index_B.tolist()]
        failed += [f"not {name}" for name in names if name == "02.mp4"]
    assert {"01.mp4", "05.mp4", "02.mp4", "not 02.mp4"} == set(failed)


def test_a_cache_beyond_its_budget_is_refused_before_it_is_filled(train: Catalog) -> None:
    with pytest.raises(ValueError, match=r"needs 0 MiB for 9 videos, data.cache_limit_mb is 0; raise"):
        build_cache(train, dataclasses.replace(CONFIG, cache="ram", cache_limit_mb=0))


@pytest.mark.parametrize("cache_kind", ["none", "ram", "device"])
def test_a_video_that_fails_is_replaced_and_named(damaged: Catalog, cache_kind: str) -> None:
    cache = build_cache(damaged, dataclasses.replace(CONFIG, cache=cache_kind))
    batches = build_batches(damaged, cache=cache)
    for number in range(2 * batches.batches_per_epoch):
        batch = read(batches, number)
        assert len(set(batch.video_index_B.tolist())) == 4
        assert all(not item.path.endswith(("00.mp4", "02.mp4")) for item in batch.rejections)
    named = {Path(item.path).name for number in range(8) for item in read(batches, number).rejections}
    assert named == {"01.mp4", "05.mp4"}


def test_the_substitute_does_not_depend_on_who_reads(damaged: Catalog) -> None:
    fresh, experienced = build_batches(damaged), build_batches(damaged)
    for number in range(5):
        experienced[number]
    assert all(is_same(fresh[number], experienced[number]) for number in range(5))


def test_a_failure_is_not_remembered_so_that_no_draw_depends_on_another(
    train: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may fail for some frames and not for others: 0 and 3 workers must still see the same."""
    batches = build_batches(train)
    whole = batches[3]
    decode = ClipDecoder.decode

    def fail_once(decoder: ClipDecoder, path: Path, *rest: object) -> object:
        monkeypatch.setattr(ClipDecoder, "decode", decode)
        raise VideoError(str(path), "noise", frame_index=3)

    monkeypatch.setattr(ClipDecoder, "decode", fail_once)
    assert len(batches[0].rejections) == 1
    assert is_same(batches[3], whole)


def test_substitutes_of_a_batch_are_distinct_across_processes(damaged: Catalog) -> None:
    for number in range(6):
        shares = [build_batches(damaged, batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
        rows = [row for share in shares for row in share[number].video_index_B.tolist()]
        assert len(set(rows)) == 2


def test_a_corpus_without_a_readable_video_gives_the_reason_and_the_names(damaged: Catalog) -> None:
    bad = damaged.take([row for row in range(len(damaged)) if damaged.video(row).path.stem in ("01", "05")])
    batch = build_batches(bad, batch_size=2)[0]
    assert isinstance(batch, UnreadableBatch)
    assert "batch 0 cannot be filled: 1 of its videos and their substitutes cannot be read" in batch.reason
    assert {Path(item.path).stem for item in batch.rejections} < {"01", "05"}


def test_a_batch_larger_than_the_corpus_is_refused(train: Catalog) -> None:
    with pytest.raises(ValueError, match=r"10 but there are 9 videos .* lower train.batch_size to 9"):
        build_batches(train, batch_size=10)


def test_a_batch_that_cannot_be_shared_is_refused(train: Catalog) -> None:
    with pytest.raises(ValueError, match="by 2 processes in 3 parts; make it a multiple of 6"):
        build_batches(train, world_size=2, num_parts=3)


def test_videos_of_several_sizes_are_padded_and_their_sizes_told(train: Catalog, tmp_path: Path) -> None:
    from tests.corpus import write_video
    from unreel.data.scan import scan_videos

    for name, (height, width) in {"wide": (20, 40), "tall": (40, 20)}.items():
        frames = np.full((12, height, width, 3), 200, dtype=np.uint8)
        write_video(tmp_path / f"{name}.mp4", frames, fps=25)
    scan_videos([tmp_path], tmp_path / "c.parquet", num_workers=1)
    batches = TrainingBatches(
        Catalog.load(tmp_path / "c.parquet"), CLIPS, DataConfig(height=10, width=0), seed=0, batch_size=2
    )
    batch = read(batches, 0)
    for kind in ("ram", "device"):
        config = DataConfig(height=10, width=0, cache=kind)  # type: ignore[arg-type]
        catalog = Catalog.load(tmp_path / "c.parquet")
        cached = TrainingBatches(
            catalog, CLIPS, config, seed=0, batch_size=2, cache=build_cache(catalog, config)
        )
        assert is_same(read(cached, 0), batch)
    assert batch.frames_BNTHWC.shape == (2, 2, 4, 20, 20, 3)
    for clip, (height, width) in zip(batch.frames_BNTHWC, batch.sizes_B2.tolist(), strict=True):
        assert sorted((height, width)) == [10, 20]
        assert clip[:, :, :height, :width].min() > 150
        assert clip[:, :, height:].sum() + clip[:, :, :, width:].sum() == 0


def test_auto_takes_the_training_split_where_there_is_one(corpus: Path) -> None:
    auto, _ = select_videos(DataConfig(catalog=corpus))
    everything, _ = select_videos(DataConfig(catalog=corpus, split=""))
    test, _ = select_videos(DataConfig(catalog=corpus, split="test"))
    assert (len(auto), len(everything), len(test)) == (9, 12, 3)


def test_a_subset_has_so_many_videos_of_every_class(corpus: Path) -> None:
    """The training split has three classes of three videos each."""
    chosen, too_short = select_videos(DataConfig(catalog=corpus, videos_per_class=2))
    assert sorted(chosen.labels) == ["speed0"] * 2 + ["speed1"] * 2 + ["speed2"] * 2
    assert too_short == []
    assert set(chosen.ids) < set(select_videos(DataConfig(catalog=corpus))[0].ids)
    with pytest.raises(ValueError, match="videos per class must be at least 1, got -2"):
        select_videos(DataConfig(catalog=corpus, videos_per_class=-2))


def test_a_share_of_every_class_is_chosen_by_its_own_seed(corpus: Path) -> None:
    """A third of three videos is one; a little more is two."""
    for share, count in ((0.3, 1), (1 / 3, 1), (0.34, 2), (1.0, 3)):
        chosen, _ = select_videos(DataConfig(catalog=corpus, class_fraction=share))
        assert sorted(chosen.labels) == sorted(["speed0", "speed1", "speed2"] * count)
    chosen_by = [DataConfig(catalog=corpus, class_fraction=0.3, subset_seed=seed) for seed in range(8)]
    assert len({frozenset(select_videos(config)[0].ids) for config in chosen_by}) > 3
    with pytest.raises(
        ValueError, match=r"data.class_fraction must be above 0 and at most 1, got 1\.5; 0\.1"
    ):
        DataConfig(class_fraction=1.5)
    with pytest.raises(ValueError, match=r"class_fraction = 0\.5 and .*videos_per_class = 2 both choose by"):
        DataConfig(class_fraction=0.5, videos_per_class=2)


def test_short_videos_are_left_out_with_the_reason(corpus: Path, tmp_path: Path) -> None:
    kept, too_short = select_videos(DataConfig(catalog=corpus, min_frames=20))
    assert (len(kept), too_short) == (9, [])
    with pytest.raises(CatalogError, match=r"none of the 9 videos has .*= 21 frames; the longest has 20"):
        select_videos(DataConfig(catalog=corpus, min_frames=21))


def test_the_number_of_workers_follows_the_cores_unless_given() -> None:
    assert count_workers(DataConfig(num_workers=3)) == 3
    assert count_workers(DataConfig(cache="ram")) == 0
    assert count_workers(DataConfig(cache="device")) == 0
    assert count_workers(DataConfig(cache="ram", num_workers=2)) == 2
    assert count_workers(DataConfig()) == count_cores()
    assert count_workers(DataConfig(), processes_per_machine=10_000) == 1


def test_workers_that_could_not_reach_the_frames_are_refused() -> None:
    assert DataConfig(cache="device", num_workers=0).num_workers == 0
    with pytest.raises(ValueError, match=r"data.num_workers = 2, but with data.cache = 'device' .*at -1"):
        DataConfig(cache="device", num_workers=2)


def test_every_rule_for_clips_fits_the_loader(train: Catalog) -> None:
    batches = TrainingBatches(train, FramePerPart(num_frames=3), CONFIG, seed=0, batch_size=2)
    assert batches[0].frames_BNTHWC.shape == (2, 1, 3, 12, 16, 3)


def test_paths_become_absolute_and_one_that_is_not_given_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = DataConfig(Path("c.parquet")).with_absolute_paths()
    assert (absolute.catalog, absolute.motion) == (tmp_path / "c.parquet", Path())
    absolute = DataConfig(Path("c.parquet"), motion=Path("m.parquet")).with_absolute_paths()
    assert absolute.motion == tmp_path / "m.parquet"


@pytest.mark.parametrize("seconds", [float("nan"), -1.0, float("inf")])
def test_a_time_limit_that_would_be_none_by_accident_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"decode_time_limit_sec must be a number of seconds, or 0 for no"):
        DataConfig(decode_time_limit_sec=seconds)


def strip_labels(corpus: Path, out: Path, rows: set[int]) -> Path:
    """Write the catalog again, some rows without label."""
    catalog = Catalog.load(corpus)
    labels = ["" if row in rows else label for row, label in enumerate(catalog.labels)]
    column = catalog.table.schema.get_field_index("label")
    Catalog(catalog.table.set_column(column, "label", pa.array(labels)), catalog.root).save(out)
    return out


def test_videos_without_label_are_left_out_by_name_where_labels_are_needed(
    corpus: Path, tmp_path: Path
) -> None:
    config = DataConfig(catalog=strip_labels(corpus, tmp_path / "c.parquet", {0, 4}), split="")
    catalog, left_out = select_videos(config, needs_labels=True)
    assert len(catalog) == 10
    assert [(Path(each.path).name, each.reason) for each in left_out] == [
        ("00.mp4", "has no label"),
        ("04.mp4", "has no label"),
    ]
    assert len(select_videos(config)[0]) == 12


def test_a_corpus_without_labels_is_refused_where_labels_are_needed(corpus: Path, tmp_path: Path) -> None:
    config = DataConfig(catalog=strip_labels(corpus, tmp_path / "c.parquet", set(range(12))), split="")
    with pytest.raises(CatalogError, match=r"none of the 12 videos has a label .*--labels from-folders"):
        select_videos(config, needs_labels=True)


def test_the_order_of_an_epoch_takes_four_bytes_per_video() -> None:
    """In every worker; and it is the one that numbers of eight bytes had."""
    order = loader._epoch_order(3, 5, 1000)
    assert order.nbytes == 4000
    assert order.tolist() == build_generator(3, "order", 5).permutation(1000).tolist()


def test_a_catalog_of_which_nothing_is_left_out_is_not_copied(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Catalog, "take")
    catalog, left_out = select_videos(DataConfig(catalog=corpus, split=""))
    assert (len(catalog), left_out) == (12, [])
