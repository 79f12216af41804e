import pytest
from pydantic import BaseModel, ValidationError

from unreel.web import answers
from unreel.web.answers import HitAnswer, MapAnswer, PointAnswer, VideoAnswer

MODELS = [
    value
    for value in vars(answers).values()
    if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_form_says_what_it_is_for(model: type[BaseModel]) -> None:
    assert (model.__doc__ or "").endswith(".")
    schema = model.model_json_schema()
    assert schema["description"] == model.__doc__
    assert set(schema["required"]) == set(model.model_fields)


def test_a_hit_is_a_video_and_more() -> None:
    assert set(HitAnswer.model_fields) - set(VideoAnswer.model_fields) == {"score", "start_sec", "end_sec"}


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_points_lie_in_the_unit_square(value: float) -> None:
    with pytest.raises(ValidationError):
        PointAnswer(id="a", x=value, y=0.5, label="", path="a.mp4")


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        MapAnswer(state="soon", method="pca", shown=0, total=0, points=[], reason="")  # type: ignore[arg-type]
