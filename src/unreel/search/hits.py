"""What a search returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """A video, or a clip of one, that resembles the query.

    Attributes:
        video_id: as in the catalog.
        path: as in the catalog, from its root.
        score: cosine similarity, in [-1, 1] up to rounding.
        start_sec: where the clip starts; of a video, the clip of it that is most like the query.
        end_sec: where that clip ends.
        label: class, "" when unknown.
        split: such as "train", "" when unknown.
        group: such as the film, "" when unknown.
        seconds: length of the whole video.
    """

    video_id: str
    path: str
    score: float
    start_sec: float
    end_sec: float
    label: str
    split: str
    group: str
    seconds: float
