"""The default listener hears nothing and says nothing."""

import pytest

from unreel.progress import Progress, ignore_progress, shift_progress


def test_ignoring_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listener: Progress = ignore_progress
    listener(1, 2, "half")
    assert capsys.readouterr() == ("", "")


def test_a_part_of_a_job_is_told_as_the_whole() -> None:
    told: list[tuple[int, int, str]] = []
    part = shift_progress(lambda *state: told.append(state), 10, 30)
    part(0, 5, "")
    part(5, 5, "done")
    assert told == [(10, 30, ""), (15, 30, "done")]
