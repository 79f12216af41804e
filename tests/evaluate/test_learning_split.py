import numpy as np
import pytest

from tests.evaluate.test_svm import build_table, relabel
from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.evaluate.learning_split import take_to_learn
from unreel.evaluate.ranking import RankingConfig


def test_training_and_test_vectors_come_with_their_classes() -> None:
    table = build_table(num_classes=3, num_train=4, num_test=2)
    split = take_to_learn(table, "clip", RankingConfig())
    assert (len(split.train), len(split.test)) == (3 * 4 * 2, 3 * 2 * 2)
    assert split.classes == ("class 0", "class 1", "class 2")
    told = [split.classes[number] for number in split.class_X]
    assert told == split.train.column("label").tolist()
    videos = take_to_learn(table, "video", RankingConfig())
    assert (len(videos.train), len(videos.test)) == (12, 6)
    np.testing.assert_array_equal(videos.train.vectors, table.average_per_video("train").vectors)


def test_what_has_no_class_is_left_out_and_counted() -> None:
    table = build_table(num_classes=2, num_train=3, num_test=2, clips=1)
    labels = table.column("label").tolist()
    labels[0] = labels[3] = labels[4] = ""
    split = take_to_learn(relabel(table, labels), "video", RankingConfig())
    assert (split.train_without_target, split.without_target) == (1, 2)
    assert (len(split.train), len(split.test)) == (5, 2)


def test_groups_are_kept_together_where_all_have_one_and_else_videos() -> None:
    table = build_table(num_classes=2, num_train=3, num_test=1, clips=2)
    groups = take_to_learn(table, "clip", RankingConfig()).group_X
    assert groups.tolist() == [0, 0, 1, 1, 2, 2] * 2
    by_group = take_to_learn(table, "clip", RankingConfig(by="group")).group_X
    assert len(set(by_group.tolist())) == 6
    partly = build_vectors(
        table.vectors,
        table.video_ids.tolist(),
        labels=table.column("label").tolist(),
        splits=table.column("split").tolist(),
        groups=["", *table.column("group").tolist()[1:]],
    )
    assert len(set(take_to_learn(partly, "clip", RankingConfig()).group_X.tolist())) == 6


def test_refusals_name_the_learner_and_the_remedy() -> None:
    table = build_table(num_classes=2)
    with pytest.raises(ValueError, match="a linear probe takes the vectors as they are, so is_centered must"):
        take_to_learn(table, "video", RankingConfig(is_centered=True), learner="a linear probe")
    one = relabel(table, ["a"] * len(table))
    with pytest.raises(FeaturesError, match=r"all 12 training .* 'a'; a classifier needs two classes: scan"):
        take_to_learn(one, "video", RankingConfig())
    with pytest.raises(FeaturesError, match="no split 'val'; its splits: 'test', 'train'"):
        take_to_learn(table, "video", RankingConfig(query_split="val"))
    with pytest.raises(FeaturesError, match="12 videos are both to be learned from"):
        take_to_learn(table, "video", RankingConfig(query_split="train"))
    no_labels = relabel(table, [""] * len(table))
    with pytest.raises(FeaturesError, match="none of the 8 test vectors has a label; scan with labels"):
        take_to_learn(no_labels, "video", RankingConfig())


def test_vectors_from_which_nothing_can_be_learned_are_refused() -> None:
    table = build_table(num_classes=2)
    table.vectors[-1, 0] = np.nan
    with pytest.raises(FeaturesError, match="1 test vectors hold NaN or infinity, the first of video 1-9"):
        take_to_learn(table, "video", RankingConfig())
    table = build_table(num_classes=2)
    table.vectors[:] = 1
    with pytest.raises(
        FeaturesError, match="all 12 training vectors are the same: the encoder has collapsed"
    ):
        take_to_learn(table, "video", RankingConfig())
