import math
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from unreel.search.filters import NO_FILTER, Filter
from unreel.web.page_state import LARGEST_TOP_K, PAGE_SIZE, SearchState, list_pages, read_count
from unreel.web.problems import Problem


def read(text: str) -> SearchState:
    return SearchState.read(QueryParams(text))


def test_an_address_without_parameters_lists_every_video() -> None:
    state = read("")
    assert state == SearchState()
    assert state.filter == NO_FILTER
    assert not state.has_query
    assert state.address == "/"


def test_every_parameter_is_read() -> None:
    state = read(
        "video=v1&start_sec=1.5&end_sec=3&unit=clip&top_k=48&label=jump&label=run&split=test&group=film"
        "&min_sec=2&max_sec=9.5&path_prefix=2024/&page=3"
    )
    assert state.has_query
    assert (state.video, state.start_sec, state.end_sec, state.unit) == ("v1", 1.5, 3.0, "clip")
    assert (state.top_k, state.page) == (48, 3)
    assert state.filter == Filter(("jump", "run"), ("test",), ("film",), 2.0, 9.5, "2024/")


def test_empty_fields_of_a_form_are_as_good_as_absent() -> None:
    assert read("video=&unit=&label=&label=+&min_sec=&max_sec=+&path_prefix=&page=&top_k=") == SearchState()


def test_the_same_label_twice_counts_once() -> None:
    assert read("label=a&label=b&label=a").labels == ("a", "b")


text = st.text('aé /?&=+%#"', max_size=4).map(str.strip)
values = st.lists(text.filter(bool), max_size=3, unique=True).map(tuple)


@given(
    st.builds(
        SearchState,
        video=text,
        query=text,
        start_sec=st.none() | st.floats(0, 10),
        end_sec=st.none() | st.floats(10, 1e6),
        unit=st.sampled_from(["video", "clip"]),
        top_k=st.integers(1, LARGEST_TOP_K),
        page=st.integers(1, 10**9),
        labels=values,
        splits=values,
        groups=values,
        min_sec=st.none() | st.floats(0, 5),
        max_sec=st.none() | st.floats(5, 1e6),
        path_prefix=text,
    )
)
def test_an_address_says_all_of_its_state(state: SearchState) -> None:
    again = read(state.address.removeprefix("/").removeprefix("?"))
    for name, value in vars(state).items():
        if state.query and name in ("start_sec", "end_sec"):
            assert getattr(again, name) is None  # the stretch of a file was chosen when it was sent
        elif isinstance(value, float):
            assert getattr(again, name) == pytest.approx(value, rel=1e-9, abs=1e-9)
        else:
            assert getattr(again, name) == value
    assert read(again.address.removeprefix("/").removeprefix("?")) == again


def test_an_address_leaves_out_what_is_at_its_default() -> None:
    assert read("video=v&unit=video&top_k=24&page=1").address == "/?video=v"
    assert parse_qsl(read("label=a&label=b").change(unit="clip")[2:]) == [
        ("unit", "clip"),
        ("label", "a"),
        ("label", "b"),
    ]


def test_the_query_goes_and_the_filters_stay_and_the_other_way_round() -> None:
    state = read("video=v&start_sec=1&label=a&max_sec=5&unit=clip&top_k=48&page=2")
    assert read(state.without_query[2:]) == read("label=a&max_sec=5&unit=clip")
    assert read(state.without_filters[2:]) == read("video=v&start_sec=1&unit=clip&top_k=48")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("unit=frame", "unit must be video or clip, got 'frame'"),
        ("min_sec=abc", "min_sec must be 0 or more seconds, got 'abc'"),
        ("max_sec=-1", "max_sec must be 0 or more seconds, got '-1'"),
        ("start_sec=nan", "start_sec must be 0 or more seconds, got 'nan'"),
        ("end_sec=inf", "end_sec must be 0 or more seconds, got 'inf'"),
        ("min_sec=5&max_sec=4", "min_sec must not be above max_sec, got 5 and 4"),
        ("start_sec=5&end_sec=4", "start_sec must not be above end_sec, got 5 and 4"),
        ("top_k=0", "top_k must be a number from 1 to 240, got '0'"),
        ("top_k=241", "top_k must be a number from 1 to 240, got '241'"),
        ("page=x", "page must be a number from 1 to 1000000000, got 'x'"),
        ("page=²", "page must be a number from 1 to 1000000000, got '²'"),
        ("page=" + "9" * 5000, "page must be a number"),
        ("&".join(f"label={n}" for n in range(101)), "label may be given 100 times, got 101"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(address: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        read(address)
    assert caught.value.status == 422
    assert message in caught.value.message


def test_seconds_may_have_a_comma() -> None:
    assert read("min_sec=1,5").min_sec == 1.5


def test_a_count_has_a_default() -> None:
    assert read_count(QueryParams(""), "page", 7, 9) == 7
    assert read_count(QueryParams("page=9"), "page", 7, 9) == 9


def test_an_upper_limit_that_is_absent_lets_long_videos_pass() -> None:
    assert read("min_sec=2").filter.max_sec == math.inf


def test_pages_lead_to_their_neighbours() -> None:
    total = 2 * PAGE_SIZE + 1
    assert list_pages(1, total, "/?label=a") == {
        "number": 1,
        "last": 3,
        "previous": "",
        "next": "/?label=a&page=2",
    }
    assert list_pages(2, total, "/") == {"number": 2, "last": 3, "previous": "/", "next": "/?page=3"}
    assert list_pages(3, total, "/")["next"] == ""
    assert list_pages(1, 0, "/") == {"number": 1, "last": 1, "previous": "", "next": ""}


def test_a_page_behind_the_last_one_leads_back_to_it() -> None:
    assert list_pages(9, PAGE_SIZE + 1, "/")["previous"] == "/?page=2"
