"""Errors that a user can act on. Each message names the thing, its value and the remedy."""


class UnreelError(Exception):
    """What stops a command for a reason outside the program: data, files, weights, a diverged run."""


class VideoError(UnreelError):
    """A video file cannot be used.

    Attributes:
        path: the file.
        reason: one line, without the path, fit for a table of rejected files.
        frame_index: number of the frame at which reading failed, None when no frame was reached.
    """

    def __init__(self, path: str, reason: str, *, frame_index: int | None = None) -> None:
        self.path = path
        self.reason = reason
        self.frame_index = frame_index
        where = "" if frame_index is None else f" at frame {frame_index}"
        super().__init__(f"{path}{where}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_video_error, (self.path, self.reason, self.frame_index))


def _rebuild_video_error(path: str, reason: str, frame_index: int | None) -> VideoError:
    return VideoError(path, reason, frame_index=frame_index)


class CatalogError(UnreelError):
    """A catalog or a list of videos is missing, empty, damaged or does not hold what was asked for."""


class NoVideoError(CatalogError):
    """Of all files that were looked at, none is a video that can be used."""


class WeightsError(UnreelError):
    """Weights cannot be loaded, or do not fit the network."""


class FeaturesError(UnreelError):
    """A feature table is missing, damaged, or belongs to another encoder."""


class SearchError(UnreelError):
    """An index is missing, damaged, in use, or belongs to another encoder."""


class TrainingError(UnreelError):
    """A training run cannot start, go on or be resumed."""
