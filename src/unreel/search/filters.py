"""Which videos of an index may be found."""

import json
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Filter:
    """Restricts a search to some videos; what is left at its default restricts nothing.

    Raises:
        ValueError: no length can lie between the limits.
    """

    labels: tuple[str, ...] = ()
    """Classes, of which a video needs one; "" stands for videos without a class."""
    splits: tuple[str, ...] = ()
    """Splits, of which a video needs one."""
    groups: tuple[str, ...] = ()
    """Groups, of which a video needs one."""
    min_sec: float = 0.0
    """Length that a video has at least."""
    max_sec: float = math.inf
    """Length that a video has at most."""
    path_prefix: str = ""
    """How a video's path in the catalog begins, such as ``2024/``."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_sec <= self.max_sec:
            raise ValueError(
                f"min_sec must be 0 or more and max_sec not below it, got {self.min_sec} and {self.max_sec}"
            )

    @property
    def is_empty(self) -> bool:
        """Whether every video passes."""
        return self == NO_FILTER

    def to_sql(self) -> tuple[str, list[object]]:
        """Return a condition on the table of videos, with ``?`` for every value, and the values."""
        conditions: list[str] = []
        values: list[object] = []
        for column, wanted in (("label", self.labels), ("split", self.splits), ("group_name", self.groups)):
            if wanted:
                # As one value, since SQLite bounds their number.
                conditions.append(f"videos.{column} IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(wanted))
        if self.min_sec > 0:
            conditions.append("videos.seconds >= ?")
            values.append(self.min_sec)
        if self.max_sec < math.inf:
            conditions.append("videos.seconds <= ?")
            values.append(self.max_sec)
        if self.path_prefix:
            # Not LIKE, whose wildcards are ordinary letters in a path.
            conditions.append("substr(videos.path, 1, ?) = ?")
            values.extend([len(self.path_prefix), self.path_prefix])
        return " AND ".join(conditions) or "TRUE", values


NO_FILTER = Filter()
"""Lets every video pass."""
