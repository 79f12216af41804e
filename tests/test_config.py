"""Configurations survive JSON, refuse what they do not know, and are told apart by their tags."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.config import ADDED_LATER, config_from_dict, config_to_dict, hash_config, iterate_leaves
from unreel.features.input_spec import InputSpec


@dataclass(frozen=True)
class Circle:
    shape: Literal["circle"] = "circle"
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    shape: Literal["square"] = "square"
    side: int = 2


@dataclass(frozen=True)
class Pen:
    width: float = 0.5
    colours: tuple[str, ...] = ("red", "blue")
    ink: Path | None = None


@dataclass(frozen=True)
class Drawing:
    title: str = "untitled"
    copies: int = 1
    is_signed: bool = False
    style: Literal["plain", "bold"] = "plain"
    sheet: Path = Path("paper")
    size: tuple[int, int] = (3, 4)
    limit: int | None = None
    pen: Pen = Pen()
    shape: Circle | Square = field(default_factory=Circle)
    frame: Pen | None = None


def through_json(config: Drawing) -> Drawing:
    return config_from_dict(Drawing(), json.loads(json.dumps(config_to_dict(config))))


# An alphabet of its own: hypothesis takes seconds to learn all of Unicode on a fresh machine.
words = st.text(alphabet='aZ9 _é→"\\/\n')
drawings = st.builds(
    Drawing,
    title=words,
    copies=st.integers(),
    is_signed=st.booleans(),
    style=st.sampled_from(["plain", "bold"]),
    sheet=st.sampled_from([Path("a"), Path("b/c")]),
    size=st.tuples(st.integers(), st.integers()),
    limit=st.none() | st.integers(),
    pen=st.builds(
        Pen,
        width=st.floats(allow_nan=False),
        colours=st.lists(words).map(tuple),
        ink=st.sampled_from([None, Path("well")]),
    ),
    frame=st.none() | st.builds(Pen),
    shape=st.builds(Circle, radius=st.floats(allow_nan=False)) | st.builds(Square, side=st.integers()),
)


@given(drawings)
def test_a_configuration_survives_json(config: Drawing) -> None:
    assert through_json(config) == config


def test_a_configuration_becomes_plain_values() -> None:
    assert config_to_dict(Drawing(shape=Square(side=5), sheet=Path("a/b"))) == {
        "title": "untitled",
        "copies": 1,
        "is_signed": False,
        "style": "plain",
        "sheet": "a/b",
        "size": [3, 4],
        "limit": None,
        "pen": {"width": 0.5, "colours": ["red", "blue"], "ink": None},
        "shape": {"shape": "square", "side": 5},
        "frame": None,
    }


def test_what_is_not_named_comes_from_the_template() -> None:
    template = Drawing(title="mine", pen=Pen(width=2.0))
    changed = config_from_dict(template, {"copies": 3, "pen": {"colours": ["green"]}})
    assert changed == replace(template, copies=3, pen=Pen(width=2.0, colours=("green",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"titel": "x"}, "unknown setting 'titel'; did you mean 'title'?"),
        ({"pen": {"widht": 1.0}}, "unknown setting 'pen.widht'; did you mean 'width'?"),
        ({"pen": {"zzzz": 1.0}}, r"unknown setting 'pen.zzzz'; known: \['colours', 'ink', 'width'\]"),
        ({"copies": "3"}, "copies must be int, got '3'"),
        ({"copies": 2.5}, "copies must be int, got 2.5"),
        ({"copies": True}, "copies must be int, got True"),
        ({"is_signed": 1}, "is_signed must be bool, got 1"),
        ({"title": None}, "title must be str, got None"),
        ({"style": "italic"}, "style must be one of 'plain', 'bold', got 'italic'"),
        ({"pen": 3}, "pen is a group of settings, got 3"),
        ({"pen": {"width": "thick"}}, "pen.width must be float, got 'thick'"),
        ({"pen": {"width": False}}, "pen.width must be float, got False"),
        ({"shape": {"shape": "star"}}, r"shape names none of the known kinds \['circle', 'square'\]"),
        ({"shape": {"side": 3}}, "shape names none of the known kinds"),
        ({"size": 3}, "size must be tuple, got 3"),
        ({"size": [3]}, r"size takes 2 values, got \[3\]"),
        ({"size": [3, "4"]}, "size must be int, got '4'"),
        ({"pen": {"colours": ["red", 1]}}, "pen.colours must be str, got 1"),
        ({"frame": 3}, "frame is a group of settings, got 3"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_dict(Drawing(), values)


def test_whole_numbers_serve_as_floats() -> None:
    changed = config_from_dict(Drawing(), {"pen": {"width": 2}})
    assert changed.pen.width == 2.0
    assert isinstance(changed.pen.width, float)


def test_optional_values_may_be_cleared_and_set() -> None:
    template = Drawing(limit=4, pen=Pen(ink=Path("well")))
    cleared = config_from_dict(template, {"limit": None, "pen": {"ink": None}})
    assert cleared.limit is None
    assert cleared.pen.ink is None
    assert config_from_dict(cleared, {"limit": 7, "pen": {"ink": "pot"}}) == replace(
        template, limit=7, pen=Pen(ink=Path("pot"))
    )


def test_a_union_keeps_the_templates_settings_when_the_kind_stays() -> None:
    template = Drawing(shape=Square(side=9))
    assert config_from_dict(template, {"shape": {"shape": "square"}}).shape == Square(side=9)


def test_a_union_starts_from_the_defaults_when_the_kind_changes() -> None:
    template = Drawing(shape=Square(side=9))
    assert config_from_dict(template, {"shape": {"shape": "circle", "radius": 4}}).shape == Circle(radius=4.0)


def test_an_optional_group_may_be_set_and_cleared() -> None:
    framed = config_from_dict(Drawing(), {"frame": {"width": 3.0}})
    assert framed.frame == Pen(width=3.0)
    assert config_from_dict(framed, {"frame": None}).frame is None


def test_every_setting_is_listed_in_order_of_declaration() -> None:
    leaves = dict(iterate_leaves(Drawing()))
    assert list(leaves) == [
        "title",
        "copies",
        "is_signed",
        "style",
        "sheet",
        "size",
        "limit",
        "pen.width",
        "pen.colours",
        "pen.ink",
        "shape.shape",
        "shape.radius",
        "frame",
    ]
    assert leaves["pen.width"] == 0.5


def test_the_hash_changes_with_every_setting_and_with_nothing_else() -> None:
    config = Drawing()
    changes = [
        {"title": "x"},
        {"copies": 2},
        {"is_signed": True},
        {"style": "bold"},
        {"sheet": "elsewhere"},
        {"size": [3, 5]},
        {"limit": 1},
        {"pen": {"width": 0.25}},
        {"shape": {"shape": "circle", "radius": 2.0}},
        {"shape": {"shape": "square"}},
        {"frame": {}},
    ]
    hashes = [hash_config(config_from_dict(config, change)) for change in changes]
    assert len({*hashes, hash_config(config)}) == len(changes) + 1
    assert hash_config(through_json(config)) == hash_config(config)
    assert len(hash_config(config)) == 16


@dataclass(frozen=True)
class Rate:
    epochs: float = 3
    flag: bool = True
    steps: tuple[float, float] = (1, 2.5)


def test_a_whole_number_hashes_alike_as_integer_and_as_float() -> None:
    read_back = config_from_dict(Rate(), config_to_dict(Rate()))
    assert isinstance(read_back.epochs, float)
    assert hash_config(read_back) == hash_config(Rate()) == hash_config(Rate(steps=(1.0, 2.5)))
    assert hash_config(Rate(epochs=3.5)) != hash_config(Rate())


def test_where_files_lie_may_be_left_out_of_the_hash() -> None:
    @dataclass(frozen=True)
    class Inner:
        file: Path = Path("a")
        size: int = 1

    @dataclass(frozen=True)
    class Outer:
        inner: Inner = Inner()
        folder: Path = Path("b")

    moved = Outer(Inner(file=Path("c")), folder=Path("d"))
    assert hash_config(Outer()) != hash_config(moved)
    assert hash_config(Outer(), with_paths=False) == hash_config(moved, with_paths=False)
    other = Outer(Inner(size=2))
    assert hash_config(Outer(), with_paths=False) != hash_config(other, with_paths=False)


def test_a_setting_that_was_added_later_counts_only_where_it_is_used() -> None:
    @dataclass(frozen=True)
    class Before:
        size: int = 1
        folder: Path = Path("a")

    @dataclass(frozen=True)
    class After:
        size: int = 1
        folder: Path = Path("a")
        flag: bool = field(default=False, metadata=ADDED_LATER)
        file: Path = field(default=Path("b"), metadata=ADDED_LATER)

    @dataclass(frozen=True)
    class Outer:
        inner: Before | After

    for with_paths in (True, False):
        hashes = {hash_config(config, with_paths=with_paths) for config in (Before(), After())}
        hashes |= {
            hash_config(Outer(config), with_paths=with_paths).upper() for config in (Before(), After())
        }
        assert len(hashes) == 2
    assert len({hash_config(Outer(After(flag=flag))) for flag in (False, True)}) == 2
    assert hash_config(After(file=Path("c"))) != hash_config(After())
    assert hash_config(After(size=2)) != hash_config(After())
    assert config_to_dict(After())["flag"] is False


def test_a_class_that_stands_for_its_kinds_takes_the_one_with_these_settings() -> None:
    @dataclass(frozen=True)
    class Rule:
        pass

    @dataclass(frozen=True)
    class Every(Rule):
        step: int = 1

    @dataclass(frozen=True)
    class Some(Rule):
        count: int = 1
        seed: int = 0

    @dataclass(frozen=True)
    class Few(Some):
        most: int = 3

    @dataclass(frozen=True)
    class Twin(Rule):
        count: int = 1
        seed: int = 0

    @dataclass(frozen=True)
    class Holder:
        rule: Rule = field(default_factory=Every)

    for rule in (Every(5), Few(2, 7, 4)):
        assert config_from_dict(Holder(), config_to_dict(Holder(rule))) == Holder(rule)
    # The kind that is there stays where its settings have these names.
    assert config_from_dict(Holder(Twin()), {"rule": {"count": 4}}) == Holder(Twin(4))
    assert config_from_dict(Holder(Some()), {"rule": {"count": 4, "seed": 1}}) == Holder(Some(4, 1))
    for unclear in ({"count": 4, "seed": 1}, {"stpe": 2}):  # two kinds, and none
        with pytest.raises(ValueError, match="unknown setting 'rule"):
            config_from_dict(Holder(), {"rule": unclear})


def test_a_whole_number_beyond_all_floats_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="std is larger than any number"):
        config_from_dict(InputSpec(), {"std": [10**400, 1, 1]})
