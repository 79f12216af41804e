"""Parts of what is learned from, one of which is left out in turn, so that a number can be chosen by it."""

import warnings

import numpy as np
from numpy.typing import NDArray

from unreel.errors import FeaturesError

# X training vectors


def split_folds(
    class_X: NDArray[np.int64], group_X: NDArray[np.int64], num_folds: int, *, choice: str
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return, for every fold, the rows to learn from and those that are left out.

    Classes have like shares in all folds. A class may have all its vectors in one fold, and is then not
    learned where that is left out.

    Args:
        class_X: classes of the training vectors, from 0 on.
        group_X: vectors of one group, such as the clips of a video, are in the same fold.
        num_folds: fewer come back where there are fewer groups, or fewer vectors of every class.
        choice: for messages: what is to be chosen, such as ``"cost"``.

    Raises:
        FeaturesError: there are too few groups, or vectors of a class, for two folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    num_groups = len(np.unique(group_X))
    count = min(num_folds, num_groups, int(np.bincount(class_X).max()))
    if count < 2:
        raise FeaturesError(
            f"{len(class_X)} training vectors of {num_groups} groups cannot be shared out to choose among "
            f"several {choice}s; give one {choice}, or more videos"
        )
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class with fewer vectors than folds is missing in some, as the caller expects.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        split = list(folds.split(class_X, class_X, group_X))
    for learn, _ in split:
        if len(np.unique(class_X[learn])) < 2:
            raise FeaturesError(
                f"a fold leaves a single class to learn from, so no {choice} can be chosen; give one "
                f"{choice}, or more groups per class"
            )
    return split
