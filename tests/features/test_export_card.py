import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.features.test_export_source import build_classifier
from tests.features.tiny import PARTS_SPEC, SPEC, build_encoder
from unreel.features.export_card import describe_input, write_card
from unreel.features.export_results import Measurement
from unreel.features.export_source import ExportSource
from unreel.features.input_spec import InputSpec

FACTS = {"method": "CCL", "recipe": "ccl.small", "step": 300, "videos": 1234, "catalog": "c" * 16}
RESULT = Measurement("retrieval", "video", "recall, k = 1", 0.12345, "clips_per_video 10")


def build_source(**facts: Any) -> ExportSource:
    return ExportSource(build_encoder(), Path("unused"), {**FACTS, **facts})


def read_front_matter(card: str) -> dict[str, Any]:
    """Read the little of YAML that cards have: words, and lists of quoted words."""
    assert card.startswith("---\n")
    values: dict[str, Any] = {}
    name = ""
    for line in card.split("---\n")[1].splitlines():
        if line.startswith("- "):
            values[name].append(json.loads(line[2:]))
        else:
            name, _, text = line.partition(":")
            values[name] = (json.loads(text) if text.strip().startswith('"') else text.strip()) or []
    return values


def test_the_front_matter_says_what_the_hub_asks_for() -> None:
    front = read_front_matter(write_card("ccl", build_source(), license_name="cc-by-4.0"))
    assert front == {
        "library_name": "unreel",
        "license": "cc-by-4.0",
        "pipeline_tag": "feature-extraction",
        "tags": ["video", "r3d", "self-supervised-learning", "ccl"],
    }


def test_without_a_licence_none_is_claimed() -> None:
    card = write_card("ccl", build_source())
    assert "license" not in read_front_matter(card)
    assert "Its publisher stated no licence." in card
    assert "stated no licence" not in write_card("ccl", build_source(), license_name="mit")


@pytest.mark.parametrize("name", ["Apache 2.0", "mit\nevil: true", "-", "MIT", '"'])
def test_what_is_no_name_of_a_licence_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="license must be a name that the Hugging Face Hub knows"):
        write_card("ccl", build_source(), license_name=name)


def test_a_name_cannot_break_out_of_the_front_matter() -> None:
    source = build_source(method='x"\nlicense: evil')
    assert read_front_matter(write_card("ccl", source))["tags"][-1] == 'x"\nlicense: evil'.lower()
    assert "license" not in read_front_matter(write_card("a\n---\nlicense: evil", source))


def test_the_training_is_told() -> None:
    card = write_card("ccl", build_source())
    assert "# ccl\n" in card
    assert "It was trained with CCL." in card
    assert f"`{build_encoder().hash}`" in card
    assert "| recipe | ccl.small |" in card
    assert "| videos | 1234 |" in card
    assert "It learned from 1234 videos." in card
    assert '"depth": 10' in card


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    card = write_card("x", ExportSource(build_encoder(), Path("unused"), {}))
    assert "Nothing is known of how it was trained." in card
    assert "It was trained with" not in card
    assert "videos that are not described here" in card
    assert "## Results\n\nNone were given." in card
    assert read_front_matter(card)["tags"] == ["video", "r3d"]


def test_fresh_weights_are_not_called_trained() -> None:
    card = write_card("x", ExportSource(build_encoder(), Path("unused"), {"method": "none"}))
    assert "It was not trained: its weights are as they were drawn." in card
    assert "It has learned nothing." in card
    assert "trained with" not in card
    assert read_front_matter(card)["tags"] == ["video", "r3d"]


def test_a_training_that_was_cut_off_is_told() -> None:
    assert "Its training stopped at step 300 of 400." in write_card("x", build_source(num_steps=400))
    assert "stopped at" not in write_card("x", build_source(num_steps=300))


def test_results_are_a_table() -> None:
    card = write_card("ccl", build_source(), results=[RESULT])
    assert "| retrieval | video | recall, k = 1 | 0.1235 | clips_per_video 10 |" in card
    assert "None were given" not in card


def test_a_cell_cannot_break_its_table() -> None:
    card = write_card("ccl", build_source(), results=[dataclasses.replace(RESULT, measure="a|b\nc")])
    assert "| a\\|b c |" in card


def test_the_way_to_load_it_names_its_kind() -> None:
    encoder = write_card("my model", build_source())
    assert "unreel extract --encoder my_model " in encoder
    assert 'encoder = Encoder.load(Path("my_model"))' in encoder
    classifier = write_card("ucf", ExportSource(build_classifier(), Path("unused"), {}))
    assert 'classifier = Classifier.load(Path("ucf"))' in classifier
    assert "unreel predict --model ucf " in classifier


def test_the_python_of_a_card_compiles() -> None:
    for source in (build_source(), ExportSource(build_classifier(), Path("unused"), {})):
        (code,) = re.findall(r"```python\n(.*?)```", write_card("x y", source), re.DOTALL)
        compile(code, "card", "exec")


def test_a_classifier_names_classes_and_views() -> None:
    card = write_card("ucf", ExportSource(build_classifier(), Path("unused"), {}))
    assert read_front_matter(card)["pipeline_tag"] == "video-classification"
    assert "scores of 2 classes (climb, swim)" in card
    assert "the mean of the probabilities (softmax of the logits) over 10 clips, crops: center." in card


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            SPEC,
            "4 frames, 2 apart in the video: RGB, scaled to 24 x 32 pixels (height x width), the middle",
        ),
        (PARTS_SPEC, "one frame from each of 4 equal parts of 16 frames of the video"),
        (dataclasses.replace(PARTS_SPEC, span_frames=0), "one frame from each of 4 equal parts of the video"),
        (dataclasses.replace(SPEC, num_frames=1), "A clip is one frame: RGB"),
        (dataclasses.replace(SPEC, sampling="segments"), "one frame from each of 4 equal parts of the video"),
        (dataclasses.replace(SPEC, sampling="offset_clip"), "4 frames, 2 apart in the video"),
        (dataclasses.replace(SPEC, decode_width=0), "scaled to 24 pixels on the short side"),
        (dataclasses.replace(SPEC, decode_width=0, decode_height=0), "left at their size"),
        (dataclasses.replace(SPEC, mean=(0.1, 0.2, 0.3)), "less the mean [0.1, 0.2, 0.3]"),
    ],
)
def test_the_input_is_told_in_words(spec: InputSpec, words: str) -> None:
    assert words in describe_input(spec)


def test_a_word_of_others_is_no_mark_up() -> None:
    row = dataclasses.replace(RESULT, protocol="<script>[a](b)`\x1b[31m|")
    card = write_card("<b>x</b>", build_source(), results=[row])
    assert "<script>" not in card
    assert "# &lt;b&gt;x&lt;/b&gt;\n" in card
    assert "&lt;script&gt;\\[a\\](b)\\`?\\[31m\\|" in card


def test_steps_that_are_not_known_do_not_make_a_training_unfinished() -> None:
    source = ExportSource(build_encoder(), Path("unused"), {"method": "CCL", "num_steps": 300})
    assert "stopped at step" not in write_card("ccl", source)
