import httpx
import pytest

from tests.web.page_reading import Page
from tests.web.served import wait_for
from unreel.web.page_map import FORMS, NUM_COLOURS, NUM_LABELS, list_legend


def look(client: httpx.Client, address: str, status: int = 200) -> Page:
    answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def wait_for_map(client: httpx.Client, method: str) -> list[dict[str, object]]:
    wait_for(lambda: client.get(f"/api/map?method={method}").json()["state"] == "ready", 60)
    return list(client.get(f"/api/map?method={method}").json()["points"])


def test_the_map_is_a_table_too(client: httpx.Client) -> None:
    points = wait_for_map(client, "pca")
    page = look(client, "/map")
    assert page.links("/videos/") == [f"/videos/{point['id']}" for point in points]
    assert f"{points[0]['x']:.3f}" in page.words
    assert "12 videos" in page.words
    assert page.all("canvas", tabindex="0")


def test_the_way_of_the_map_is_chosen_by_links(client: httpx.Client) -> None:
    page = look(client, "/map?method=tsne")
    assert [own["href"] for own in page.all("a", aria_current="true")] == ["/map?method=tsne"]
    assert page.all("div", id="map", data_method="tsne")
    assert [own["href"] for own in look(client, "/map?method=other").all("a", aria_current="true")] == [
        "/map?method=pca"
    ]


def test_the_legend_names_every_label_with_its_number(client: httpx.Client) -> None:
    page = look(client, "/map")
    assert [own["data-label"] for own in page.all("button") if "data-label" in own] == [
        "speed0",
        "speed1",
        "speed2",
    ]
    assert "speed0 4" in page.words
    # One mark per label and one for all others: the script counts on it.
    assert len(page.all("path", fill="currentColor", d=FORMS[0])) >= 2


def test_a_page_of_the_table_that_makes_no_sense_is_refused(client: httpx.Client) -> None:
    assert "Page must be a number from 1 to 1000000, got 'x'" in look(client, "/map?page=x", 422).words


def test_no_two_labels_share_both_colour_and_form() -> None:
    legend = list_legend({f"label {number}": 1 for number in range(100)})
    assert len(legend) == NUM_LABELS
    assert len({(entry["ink"], entry["form"]) for entry in legend}) == NUM_LABELS
    assert {entry["ink"] for entry in legend} == set(range(NUM_COLOURS))


def test_frequent_labels_come_first() -> None:
    legend = list_legend({"rare": 1, "b": 5, "a": 5})
    assert [(entry["label"], entry["videos"]) for entry in legend] == [("a", 5), ("b", 5), ("rare", 1)]


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_about_as_large_as_each_other(form: str) -> None:
    assert form.startswith("M")
    assert form.endswith("Z")
