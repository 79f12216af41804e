"""Frozen dataclasses as configuration: to JSON and back, compared, and shown.

A configuration is a tree of frozen dataclasses with plain leaves (numbers, strings, booleans, paths, tuples,
None). Where a field is a union of dataclasses, each of them has a field whose annotation is a one-word
``Literal`` (such as ``architecture: Literal["c3d"]``) by which JSON tells them apart.
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

ConfigT = TypeVar("ConfigT")

ADDED_LATER = types.MappingProxyType({"unreel.added_later": True})
"""Metadata of a field that older files with hashes lack: ``field(default=0, metadata=ADDED_LATER)``. While it
has its default, hashes are as if it did not exist, so whatever was written before it still fits."""


def config_to_dict(config: object) -> dict[str, Any]:
    """Turn a configuration into plain dictionaries, lists and scalars, ready for JSON."""
    assert dataclasses.is_dataclass(config)
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: object) -> Any:  # noqa: ANN401 (JSON is any value)
    if dataclasses.is_dataclass(value):
        return config_to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def config_from_dict(template: ConfigT, values: Mapping[str, Any], *, where: str = "") -> ConfigT:
    """Overlay a configuration with values from JSON; the template gives types and whatever is not named.

    Args:
        template: an instance of the wanted configuration.
        values: as `config_to_dict` returns them; fields may be missing.
        where: dotted name of the template inside its parent, for messages.

    Raises:
        ValueError: a name is unknown or a value has the wrong type.
    """
    assert dataclasses.is_dataclass(template)
    assert not isinstance(template, type)
    hints = typing.get_type_hints(type(template))
    known = {field.name for field in dataclasses.fields(template)}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{where}.{name}" if where else name
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known: {sorted(known)}"
            raise ValueError(f"unknown setting {dotted!r}; {remedy}")
        changes[name] = _parse(hints[name], getattr(template, name), value, dotted)
    return dataclasses.replace(template, **changes)


def _parse(hint: Any, current: object, value: object, where: str) -> object:  # noqa: ANN401
    members = _members(hint)
    if value is None and type(None) in members:
        return None
    groups = [member for member in members if dataclasses.is_dataclass(member)]
    if groups:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is a group of settings, got {value!r}")
        return config_from_dict(_select_group(groups, current, value, where), value, where=where)
    if isinstance(value, list) and (
        tuples := [member for member in members if typing.get_origin(member) is tuple]
    ):
        return _parse_tuple(tuples[0], value, where)
    if Path in members and isinstance(value, str):
        return Path(value)
    if float in members and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{where} is larger than any number that can be computed with") from None
    if not _matches(hint, value):
        raise ValueError(f"{where} must be {_hint_name(hint)}, got {value!r}")
    return value


def _parse_tuple(hint: Any, values: list[object], where: str) -> tuple[object, ...]:  # noqa: ANN401
    items = typing.get_args(hint)
    if items[-1] is Ellipsis:
        items = (items[0],) * len(values)
    if len(items) != len(values):
        raise ValueError(f"{where} takes {len(items)} values, got {values!r}")
    return tuple(_parse(item, None, value, where) for item, value in zip(items, values, strict=True))


def _select_group(groups: list[Any], current: object, value: Mapping[str, Any], where: str) -> object:
    """Pick, among a union's dataclasses, the one whose one-word Literal fields agree with the values."""
    if len(groups) == 1:
        return _select_kind(groups[0], groups[0]() if current is None else current, value)
    for group in groups:
        tags = _tags(group)
        if tags and all(value.get(name) == tag for name, tag in tags.items()):
            return current if type(current) is group else group()
    known = [tag for group in groups for tag in _tags(group).values()]
    raise ValueError(f"{where} names none of the known kinds {known}: {dict(value)!r}")


def _select_kind(group: Any, current: object, value: Mapping[str, Any]) -> object:  # noqa: ANN401
    """Pick, where a class stands for all its kinds, the one kind with just these settings."""
    if value.keys() <= _field_names(current):
        return current
    kinds: list[Any] = [kind for kind in _subclasses(group) if _field_names(kind) == value.keys()]
    return kinds[0]() if len(kinds) == 1 else current


def _field_names(group: Any) -> set[str]:  # noqa: ANN401
    return {field.name for field in dataclasses.fields(group)}


def _subclasses(group: Any) -> Iterator[Any]:  # noqa: ANN401
    for kind in group.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _tags(member: Any) -> dict[str, str]:  # noqa: ANN401
    hints = typing.get_type_hints(member).items()
    words = {name: typing.get_args(hint) for name, hint in hints if typing.get_origin(hint) is typing.Literal}
    return {name: known[0] for name, known in words.items() if len(known) == 1}


def _members(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return the members of a union, or the one type that the annotation is."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _matches(hint: Any, value: object) -> bool:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if len(_members(hint)) > 1:
        return any(_matches(member, value) for member in _members(hint))
    if origin is tuple:
        return isinstance(value, tuple)
    if hint in (int, float) and isinstance(value, bool):
        return False
    return not isinstance(hint, type) or isinstance(value, hint)


def _hint_name(hint: Any) -> str:  # noqa: ANN401
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(word) for word in typing.get_args(hint))
    return str(getattr(hint, "__name__", hint))


def iterate_leaves(config: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield ``(dotted name, value)`` of every setting, depth first, in the order of declaration."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from iterate_leaves(value, prefix=f"{name}.")
        else:
            yield name, value


def hash_config(config: object, *, with_paths: bool = True) -> str:
    """Return 16 hexadecimal digits that change when any setting changes; 3 and 3.0 are one setting.

    A setting that was `ADDED_LATER` counts only where it is not its default.

    Args:
        config: the settings.
        with_paths: whether it matters where files lie.
    """
    paths = {name for name, value in iterate_leaves(config) if isinstance(value, Path)}
    values = _unify_numbers(config_to_dict(config))
    for name in [*(() if with_paths else paths), *_find_unused(config)]:
        *groups, leaf = name.split(".")
        group = values
        for word in groups:
            group = group[word]
        group.pop(leaf, None)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _find_unused(config: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of settings that were added later and have their default."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if ADDED_LATER.items() <= field.metadata.items() and value == field.default:
            yield f"{prefix}{field.name}"
        elif dataclasses.is_dataclass(value):
            yield from _find_unused(value, f"{prefix}{field.name}.")


def _unify_numbers(value: Any) -> Any:  # noqa: ANN401 (JSON is any value)
    if isinstance(value, dict):
        return {name: _unify_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_unify_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
