from unreel.data.layouts.published import Published, compare_counts, describe_missing

VIDEOS = [("train", "a"), ("train", "a"), ("train", "b"), ("test", "a"), ("test", "")]


def test_what_is_published_is_nothing_to_warn_of() -> None:
    published = Published(2, {"train": 3, "test": 2}, is_verified=True)
    assert compare_counts(VIDEOS, published) == []
    assert compare_counts(VIDEOS, Published()) == []


def test_every_difference_is_a_line() -> None:
    published = Published(3, {"train": 4, "test": 2}, is_verified=True)
    assert compare_counts(VIDEOS, published) == [
        "the annotations name 3 videos for train, published are 4",
        "the annotations name 2 classes, published are 3",
    ]


def test_numbers_that_are_recalled_say_so() -> None:
    (line,) = compare_counts(VIDEOS, Published(1))
    assert line == "the annotations name 2 classes, published, as far as is recalled, are 1"


def test_a_split_of_which_nothing_is_named_is_not_compared() -> None:
    assert compare_counts(VIDEOS, Published(2, {"val": 5}, {"val": 2})) == []


def test_classes_are_counted_too() -> None:
    """train has 2 of a and 1 of b, test has 1 of a and none of b."""
    assert compare_counts(VIDEOS, Published(2, {}, {"train": 2, "test": 1}, is_verified=True)) == [
        "1 classes do not have 2 videos for train, as published (b 1)",
        "1 classes do not have 1 videos for test, as published (b 0)",
    ]
    many = [("train", letter) for letter in "abcde"]
    (line,) = compare_counts(many, Published(5, {}, {"train": 2}, is_verified=True))
    assert line == "5 classes do not have 2 videos for train, as published (a 1, b 1, c 1, ...)"


def test_what_is_missing_is_counted_by_split_and_class() -> None:
    assert describe_missing([("train", "b"), ("test", "b"), ("test", "a"), ("test", "")], VIDEOS) == (
        "videos that the annotations name are not on the disk (test: 3 of 2 missing, train: 1 of 3 missing; "
        "by class: b 2, a 1)"
    )
    assert describe_missing([], VIDEOS) == ""


def test_without_labels_no_class_is_named_and_of_many_the_worst() -> None:
    assert describe_missing([("", "")], [("", ""), ("", "")]) == (
        "videos that the annotations name are not on the disk (no split: 1 of 2 missing)"
    )
    lacking = [("test", letter) for letter in "aabccccd"]
    assert "; by class: c 4, a 2, b 1, ...)" in describe_missing(lacking, lacking)
