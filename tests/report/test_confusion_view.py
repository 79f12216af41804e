import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.report.run_folders import recognition, retrieval
from unreel.report.confusion_view import LARGEST_MATRIX, MOST_PAIRS, draw_confusion, view_confusion
from unreel.report.evaluation_files import Evaluation, parse_evaluation

SVG = "{http://www.w3.org/2000/svg}"


def evaluation(values: dict[str, Any]) -> Evaluation:
    (found,) = parse_evaluation(Path("x.json"), values)
    return found


def many(num_classes: int) -> dict[str, dict[str, int]]:
    """Every class is right twice and taken for the next one as often as its number says."""
    return {
        f"class {number}": {f"class {number}": 2, f"class {(number + 1) % num_classes}": number}
        for number in range(num_classes)
    }


def test_a_result_without_confusion_has_no_view() -> None:
    assert view_confusion(evaluation(retrieval()), "x") is None


def test_few_classes_are_drawn_with_their_counts() -> None:
    view = view_confusion(evaluation(recognition()), "run: Recognition")
    assert view is not None
    assert (view.num_classes, view.num_pairs, view.pairs) == (2, 1, ())
    drawing = ET.fromstring(view.drawing)
    texts = [text.text for text in drawing.iter(f"{SVG}text")]
    assert texts == ["up", "up", "down", "down", "2", "1", "1"]
    assert len(list(drawing.iter(f"{SVG}rect"))) == 4


def test_a_cell_is_the_fuller_the_larger_its_share_of_the_row() -> None:
    """Row a: 3 of 4 right, 1 for b; row b: 1 of 1 right."""
    drawing = ET.fromstring(draw_confusion({"a": {"a": 3, "b": 1}, "b": {"b": 1}}, ["a", "b"], "x"))
    fills = [float(cell.attrib["fill-opacity"]) for cell in drawing.iter(f"{SVG}rect")]
    assert fills == [0.49, 0.19, 0.04, 0.64]
    framed = [("stroke" in cell.attrib) for cell in drawing.iter(f"{SVG}rect")]
    assert framed == [True, False, False, True]


def test_rows_are_true_classes_and_columns_predicted_ones() -> None:
    drawing = ET.fromstring(draw_confusion({"a": {"b": 7}}, ["a", "b"], "x"))
    (count,) = [text for text in drawing.iter(f"{SVG}text") if text.text == "7"]
    right = [text for text in drawing.iter(f"{SVG}text") if text.attrib.get("text-anchor") == "end"]
    assert float(count.attrib["y"]) == float(right[0].attrib["y"])
    assert float(count.attrib["x"]) > float(right[0].attrib["x"]) + 26


def test_of_many_classes_the_pairs_that_are_confused_most_are_listed() -> None:
    view = view_confusion(evaluation(recognition(confusion=many(LARGEST_MATRIX + 1))), "x")
    assert view is not None
    assert view.drawing == ""
    assert view.num_classes == LARGEST_MATRIX + 1
    assert view.num_pairs == LARGEST_MATRIX
    assert len(view.pairs) == MOST_PAIRS
    first = view.pairs[0]
    assert (first.true, first.told, first.count, first.queries) == ("class 30", "class 0", 30, 32)
    assert [pair.count for pair in view.pairs] == sorted((pair.count for pair in view.pairs), reverse=True)
    assert view_confusion(evaluation(recognition(confusion=many(LARGEST_MATRIX))), "x").drawing  # type: ignore[union-attr]


def test_names_from_files_are_text_and_nothing_else() -> None:
    name = "<script>alert(1)</script>\x07" + "x" * 100
    drawing = draw_confusion({name: {name: 1}}, [name], name)
    assert "<script" not in drawing
    assert ET.fromstring(drawing) is not None
    assert "style=" not in drawing
    view = view_confusion(
        evaluation(recognition(confusion={name: {f"{number}\x07": 1 for number in range(40)}})), name
    )
    assert view is not None
    assert "\x07" not in view.title + view.pairs[0].true + view.pairs[0].told
