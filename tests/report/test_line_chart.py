import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.report.line_chart import COLORS, NUM_BUCKETS, Series, draw_lines, find_drawable, thin

SVG = "{http://www.w3.org/2000/svg}"


def parse(text: str) -> ET.Element:
    return ET.fromstring(text)


def draw(*series: Series, **changes: object) -> ET.Element:
    return parse(draw_lines(series, "loss", **changes))  # type: ignore[arg-type]


def curves(drawing: ET.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in drawing.iter(f"{SVG}polyline")
    ]


def words(drawing: ET.Element) -> list[str]:
    return [text.text or "" for text in drawing.iter(f"{SVG}text")]


def test_a_curve_goes_from_left_to_right_and_high_is_up() -> None:
    ((first, middle, last),) = curves(draw(Series("a", [0, 5, 10], [1.0, 3.0, 2.0])))
    assert first[0] < middle[0] < last[0]
    assert middle[1] < last[1] < first[1]
    assert middle[0] - first[0] == pytest.approx(last[0] - middle[0])


def test_every_series_has_a_colour_and_a_name() -> None:
    drawing = draw(Series("cacl", [1, 2], [1.0, 2.0]), Series("moco", [1, 2], [2.0, 1.0]))
    assert [line.attrib["stroke"] for line in drawing.iter(f"{SVG}polyline")] == list(COLORS[:2])
    assert words(drawing)[-2:] == ["cacl", "moco"]


def test_a_series_keeps_the_colour_that_it_asks_for() -> None:
    drawing = draw(Series("moco", [1, 2], [2.0, 1.0], color=len(COLORS) + 1))
    (line,) = drawing.iter(f"{SVG}polyline")
    assert line.attrib["stroke"] == COLORS[1]


def test_without_a_legend_the_names_are_not_shown() -> None:
    assert "cacl" not in words(draw(Series("cacl", [1, 2], [1.0, 2.0]), has_legend=False))


def test_nan_and_infinity_leave_gaps_that_the_legend_counts() -> None:
    series = Series("a", range(6), [1.0, 2.0, math.nan, 3.0, math.inf, 2.0])
    drawing = draw(series)
    assert [len(curve) for curve in curves(drawing)] == [2]
    assert len(list(drawing.iter(f"{SVG}circle"))) == 2
    assert words(drawing)[-1] == "a (2 of 6 are no finite numbers)"
    assert series.num_gaps == 2


def test_a_single_point_is_a_dot() -> None:
    drawing = draw(Series("a", [3], [1.0]))
    assert curves(drawing) == []
    assert len(list(drawing.iter(f"{SVG}circle"))) == 1


def test_without_numbers_the_drawing_says_so() -> None:
    assert "no numbers yet" in words(draw())
    assert words(draw(Series("a", [], []))).count("a (no numbers)") == 1
    assert "no numbers yet" in words(draw(Series("a", [1], [math.nan])))


def test_shares_are_in_percent() -> None:
    drawing = draw(Series("a", [1, 2], [0.0, 1.0]), is_share=True)
    assert {"0", "20", "100", "%"} <= set(words(drawing))


def test_it_is_described_in_words() -> None:
    drawing = draw(Series("cacl", [10, 20, 30], [2.0, math.nan, 0.5]), Series("moco", [], []))
    assert drawing.attrib["role"] == "img"
    title, description = drawing.find(f"{SVG}title"), drawing.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "loss"
    assert description is not None
    assert description.text == "cacl: from 2 at 10 to 0.5 at 30, between 0.5 and 2. moco: no numbers."


def test_names_from_files_are_text_and_nothing_else() -> None:
    text = draw_lines([Series('<script>alert("1")</script>\x07', [1], [1.0])], "<b>&")
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
    assert parse(text) is not None


def test_a_long_name_is_cut() -> None:
    assert max(map(len, words(draw(Series("x" * 500, [1], [1.0]))))) < 60


def test_it_can_stand_in_a_page_of_the_strictest_policy() -> None:
    """Neither script nor style, neither inline nor loaded; only the name of the format is an address."""
    text = draw_lines([Series("a", [1, 2], [1.0, 2.0])], "loss", y_label="loss")
    assert not re.search(r"<style|<script|style=|\son\w+=|href|url\(", text)
    assert text.count("http") == 1
    assert "currentColor" in text


def test_the_same_numbers_give_the_same_text() -> None:
    series = [Series("a", list(range(3000)), [math.sin(step) for step in range(3000)])]
    assert draw_lines(series, "x") == draw_lines(series, "x")


def test_a_short_curve_is_drawn_whole() -> None:
    x = list(range(2 * NUM_BUCKETS))
    assert thin(x, x) == [(value, value) for value in x]
    assert not Series("a", x, x).is_thinned


def test_of_a_long_curve_the_spikes_stay() -> None:
    values = [0.0] * 100_000
    values[31_415], values[92_653] = 7.0, -3.0
    points = thin(range(len(values)), values)
    assert (31_415, 7.0) in points
    assert (92_653, -3.0) in points
    assert points[0] == (0, 0.0)
    assert points[-1] == (99_999, 0.0)
    assert len(points) <= 2 * NUM_BUCKETS + 2
    assert points == sorted(points)
    assert Series("a", range(len(values)), values).is_thinned


def test_of_a_long_curve_the_gaps_stay() -> None:
    values = [1.0] * 10_000
    values[5_000] = math.nan
    assert sum(math.isnan(y) for _, y in thin(range(10_000), values)) == 1
    drawing = draw(Series("a", range(10_000), values))
    assert len(curves(drawing)) == 2


def test_the_drawing_stays_small() -> None:
    series = [Series(f"run {number}", range(50_000), [float(number)] * 50_000) for number in range(8)]
    assert len(draw_lines(series, "loss")) < 80_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e31])
def test_what_has_no_place_is_not_drawn(value: float) -> None:
    assert find_drawable([value, 1.0]).tolist() == [False, True]
    assert parse(draw_lines([Series("a", [1, 2], [value, 1.0])], "x")) is not None


@given(st.lists(st.floats(width=64), max_size=30))
def test_any_numbers_give_a_drawing_within_its_frame(values: list[float]) -> None:
    drawing = draw(Series("a", range(len(values)), values))
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    for curve in curves(drawing):
        for x, y in curve:
            assert 0 <= x <= width
            assert 0 <= y <= height
