"""The form of every answer of the API, from which its documentation is made."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class Limits(BaseModel):
    """What a visitor may send."""

    max_upload_mb: int = Field(description="Largest file to search with, in MiB.")
    max_query_sec: float = Field(description="Longest video to search with, in seconds.")
    max_query_frame_px: int = Field(description="Most pixels of a frame of it.")
    max_top_k: int = Field(description="Most hits of one search.")
    kept_sec: float = Field(description="How long a query can be asked for again, in seconds.")


class StatusAnswer(BaseModel):
    """What is served."""

    name: str = Field(description="Name of the index's file, without its ending.")
    encoder: str = Field(description="Encoder that made the index.")
    encoder_hash: str = Field(description="16 hexadecimal digits that stand for its weights and settings.")
    has_encoder: bool = Field(description="Whether files can be searched with.")
    encoder_note: str = Field(description='Why they cannot; "" when they can.')
    root: str = Field(description="Folder that paths start from.")
    num_videos: int = Field(description="Videos in the index.")
    num_clips: int = Field(description="Clips in the index.")
    dimension: int = Field(description="Length of a vector.")
    engine: str = Field(description="What compares vectors.")
    units: dict[str, int] = Field(description="What can be searched for, and how many there are of it.")
    generation: int = Field(description="Grows with every change of the index.")
    limits: Limits = Field(description="What may be sent.")
    has_runs: bool = Field(description="Whether there are runs to show.")


class VideoAnswer(BaseModel):
    """A video of the collection."""

    video_id: str = Field(description="As in the catalog.")
    path: str = Field(description="As in the catalog, from its root.")
    label: str = Field(description='Class, "" when unknown.')
    split: str = Field(description='Such as "train", "" when unknown.')
    group: str = Field(description='Such as the film, "" when unknown.')
    seconds: float = Field(description="Length.")
    is_playable: bool = Field(description="Whether browsers play the file as it is; else see playback.")
    media_url: str = Field(description="The file itself.")
    thumbnail_url: str = Field(description="A picture of it, JPEG.")
    page_url: str = Field(description="Its page.")
    more_url: str = Field(description="Search for what resembles it.")


class HitAnswer(VideoAnswer):
    """A video, or a clip of one, that resembles the query."""

    score: float = Field(description="Cosine similarity, in [-1, 1].")
    start_sec: float = Field(description="Where the clip that resembles the query starts.")
    end_sec: float = Field(description="Where it ends.")


class QueryAnswer(BaseModel):
    """What was searched with."""

    kind: Literal["video", "upload"] = Field(
        description="A video of the collection, or a file that was sent."
    )
    id: str = Field(description="Of the video, or of the query.")
    name: str = Field(description="Path of the video, or name of the file.")
    start_sec: float | None = Field(description="Where the searched stretch starts; null for all of it.")
    end_sec: float | None = Field(description="Where it ends; null for the end of the video.")


class SearchAnswer(BaseModel):
    """What was found."""

    query: QueryAnswer
    unit: Literal["video", "clip"] = Field(description="What was searched for.")
    hits: list[HitAnswer] = Field(description="Best first.")
    seconds: float = Field(description="Time that the search took.")


class UploadAnswer(BaseModel):
    """A file that can be searched with; the file itself is not kept."""

    query_id: str = Field(description="To be given to /api/search as `query`.")
    name: str = Field(description="Name of the file.")
    seconds: float = Field(description="Length of the video.")
    start_sec: float | None = Field(description="Where the stretch starts that stands for it; null for all.")
    end_sec: float | None = Field(description="Where it ends; null for the end of the video.")
    expires_sec: float = Field(description="Time after which the query is forgotten.")


class VideosAnswer(BaseModel):
    """Videos of the collection, by path."""

    total: int = Field(description="How many pass the filter.")
    offset: int = Field(description="How many were left out before the first.")
    videos: list[VideoAnswer]


class ClipAnswer(BaseModel):
    """A clip that has a vector of its own."""

    start_sec: float
    end_sec: float


class VideoDetailAnswer(BaseModel):
    """A video and its clips."""

    video: VideoAnswer
    clips: list[ClipAnswer]
    num_bytes: int | None = Field(description="Size of the file; null when it was not known.")
    is_available: bool = Field(description="Whether the file is there as it was when it was indexed.")
    note: str = Field(description='Why it is not; "" when it is.')


class ValueAnswer(BaseModel):
    """A value that videos have."""

    value: str = Field(description='"" stands for videos without one.')
    videos: int = Field(description="How many have it.")


class FiltersAnswer(BaseModel):
    """By what a search can be narrowed."""

    labels: list[ValueAnswer]
    splits: list[ValueAnswer]
    groups: list[ValueAnswer]
    longest_sec: float = Field(description="Length of the longest video.")


class PlaybackAnswer(BaseModel):
    """Whether a browser can play a video by now."""

    state: Literal["ready", "preparing", "failed"]
    url: str = Field(description='What to play; "" unless ready.')
    reason: str = Field(description='Why it cannot be played; "" unless failed.')


class PointAnswer(BaseModel):
    """A video on the map; alike videos lie close together."""

    id: str
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    label: str
    path: str


class MapAnswer(BaseModel):
    """The collection on a plane."""

    state: Literal["ready", "computing", "failed"]
    method: Literal["pca", "tsne"]
    shown: int = Field(description="Videos on the map, evenly chosen where there are too many.")
    total: int = Field(description="Videos in the collection.")
    points: list[PointAnswer]
    reason: str = Field(description='Why there is no map; "" unless failed.')


class RunSummary(BaseModel):
    """A training run in a list."""

    name: str = Field(description="Path of its folder in the folder of runs.")
    recipe: str
    method: str
    status: str = Field(description="How far it is, in words.")
    is_finished: bool
    step: int
    num_steps: int | None
    encoder_hash: str = Field(description='Of the exported encoder, "" before there is one.')
    num_evaluations: int


class RunsAnswer(BaseModel):
    """The training runs."""

    runs: list[RunSummary]


class RunAnswer(BaseModel):
    """A training run."""

    name: str
    url: str = Field(description="Its page.")
    record: dict[str, Any] = Field(
        description="Settings, provenance, metrics (lists, one number per step), evaluations, notes."
    )


class SettingDifference(BaseModel):
    """A setting that is not the same in all runs."""

    name: str
    values: list[Any] = Field(description="One per run; null where a run has no such setting.")


class CompareAnswer(BaseModel):
    """Runs side by side."""

    runs: list[RunAnswer]
    settings: list[SettingDifference]
