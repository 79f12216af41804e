import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.page_reading import Page
from tests.web.served import Served
from tests.web.served import open_client as open_any_client
from tests.web.test_page_runs import write_run
from unreel.search.index_info import IndexInfo
from unreel.search.index_store import IndexStore
from unreel.web import pages
from unreel.web.pages import write_clock, write_plain, write_sentence
from unreel.web.settings import ServeSettings

HTML = {"Accept": "text/html,application/xhtml+xml"}
STATIC = Path(pages.__file__).parent / "static"


@contextmanager
def open_client(settings: ServeSettings) -> Iterator[httpx.Client]:
    """Give a browser's client of an application that runs in this process."""
    with open_any_client(settings) as client:
        client.headers.update(HTML)
        yield client


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first run")
    write_run(folder / "group" / "second", rate=0.2, encoder_hash="b" * 16)
    return folder


@pytest.fixture(scope="module")
def visitor(served: Served, runs: Path) -> Iterator[httpx.Client]:
    """Give a browser's client of a server with runs."""
    with open_client(served.settings(runs=runs)) as client:
        yield client


def look(client: httpx.Client, address: str, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return Page(answer.text)


def list_addresses(served: Served) -> list[str]:
    video = served.video_ids[0]
    return [
        "/",
        f"/?video={video}",
        f"/?video={video}&unit=clip&label=speed1&start_sec=0.1&end_sec=0.4&min_sec=0.1&max_sec=9",
        "/?path_prefix=none",
        f"/videos/{video}",
        "/map",
        "/map?method=tsne",
        "/runs",
        "/runs/first%20run",
        "/runs/group/second",
        "/compare?run=first+run&run=group/second",
        "/api",
    ]


def test_every_page_is_well_formed_labelled_and_leads_nowhere_else(
    visitor: httpx.Client, served: Served
) -> None:
    for address in list_addresses(served):
        page = look(visitor, address)
        assert page.faults == [], address
        assert page.all("html", lang="en")
        assert len(page.all("main", id="main")) == 1
        assert len(page.all("h1")) == 1, address
        assert page.links("#main")
        assert len(page.all("nav", aria_label="Pages")) == 1


def test_the_page_that_is_shown_is_marked(visitor: httpx.Client) -> None:
    for address in ("/", "/map", "/runs", "/api"):
        page = look(visitor, address)
        assert [own["href"] for own in page.all("a", aria_current="page")] == [address]


def test_links_of_the_pages_lead_to_pages(visitor: httpx.Client, served: Served) -> None:
    links = {link for address in list_addresses(served) for link in look(visitor, address).links("/")}
    links = {link for link in links if not link.startswith("/media/")}
    assert len(links) > 20
    for link in sorted(links)[:60]:
        assert visitor.get(link).status_code == 200, link


def test_files_of_the_pages_are_there_and_of_the_right_kind(visitor: httpx.Client) -> None:
    page = look(visitor, "/")
    addresses = [own["href"] for own in page.all("link")] + [own["src"] for own in page.all("script")]
    kinds = {visitor.get(address).headers["content-type"].partition(";")[0] for address in addresses}
    assert kinds == {"image/svg+xml", "text/css", "text/javascript"}
    assert all(re.search(r"\?v=\d", address) for address in addresses)


def test_files_of_the_pages_are_sent_again_only_when_they_have_changed(visitor: httpx.Client) -> None:
    first = visitor.get("/static/unreel.css")
    assert first.headers["cache-control"] == "no-cache"
    again = visitor.get("/static/unreel.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_scripts_are_short_and_load_nothing_from_elsewhere() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.iterdir()}
    assert sum(text.count("\n") for name, text in texts.items() if name.endswith(".js")) < 400
    for name, text in texts.items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert "@import" not in text
    assert "prefers-reduced-motion" in texts["unreel.css"]
    assert ":focus-visible" in texts["unreel.css"]


def test_static_files_are_not_a_way_out(visitor: httpx.Client) -> None:
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2fpages.py", "/static//etc"):
        assert visitor.get(path).status_code in (400, 404), path


def test_what_is_not_there_is_told_by_a_page_to_browsers_and_as_json_to_programs(
    visitor: httpx.Client,
) -> None:
    for address in ("/nothing", "/videos/nothing", "/runs/nothing"):
        page = look(visitor, address, 404)
        assert "Not found" in page.words
        assert page.faults == []
        assert "error" in visitor.get(address, headers={"Accept": "application/json"}).json()
    for address in ("/api/nothing", "/api/videos/nothing", "/media/nothing", "/thumbnails/nothing"):
        answer = visitor.get(address)
        assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_page_repeats_what_it_cannot_show_as_text_only(visitor: httpx.Client) -> None:
    page = look(visitor, "/videos/%3Cscript%3Ealert(1)", 404)
    assert "<script>alert(1)" in page.words
    assert page.faults == []


def test_names_with_markup_are_shown_as_they_are(served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    shutil.copytree(served.index.parent, folder)
    store = IndexStore.open(folder / served.index.name)
    evil = "<img src=x onerror=alert(1)>\"'" + "x" * 300
    store.update_metadata([(served.video_ids[0], evil, "a&b", "\N{RIGHT-TO-LEFT OVERRIDE}group")])
    with open_client(served.settings(index=store.path)) as client:
        for address in ("/", f"/videos/{served.video_ids[0]}", "/map", f"/?video={served.video_ids[1]}"):
            page = look(client, address)
            assert page.faults == [], address
            assert not page.all("img", src="x")
        assert evil.split(maxsplit=1)[0] in look(client, f"/videos/{served.video_ids[0]}").words
        found = look(client, str(httpx.URL("/", params={"label": evil})))
        assert "1 video" in found.words
        assert found.all("input", name="label", value=evil)


def test_the_list_of_runs_can_be_compared_without_a_script(visitor: httpx.Client) -> None:
    page = look(visitor, "/runs")
    assert {own["value"] for own in page.all("input", name="run")} == {"first run", "group/second"}
    assert {"/runs/first%20run", "/runs/group/second"} <= set(page.links("/runs/"))
    assert "finished, 3 steps" in page.words
    assert "25.0" in page.words
    assert page.all("form", action="/compare", method="get")


def test_a_run_shows_curves_results_and_settings(visitor: httpx.Client) -> None:
    page = look(visitor, "/runs/first%20run")
    assert len(page.all("svg", class_="chart")) == 2
    assert "train.rate" in page.words
    assert "pixels" in page.words
    assert "<script>" in page.words  # a setting's value


def test_runs_side_by_side_show_what_differs(visitor: httpx.Client) -> None:
    page = look(visitor, "/compare?run=first+run&run=group/second")
    assert "Settings that differ" in page.words
    assert "train.rate 0.1 0.2" in page.words
    assert "train.steps" not in page.words


@pytest.mark.parametrize("query", ["", "?run=first+run", "?run=first+run&run=first+run"])
def test_one_run_cannot_be_compared(visitor: httpx.Client, query: str) -> None:
    assert "2 to 8 runs can be compared" in look(visitor, f"/compare{query}", 422).words


def test_without_runs_the_page_says_how_to_show_some(client: httpx.Client, served: Served) -> None:
    page = Page(client.get("/runs", headers=HTML).text)
    assert f"unreel serve --index {served.index} --runs runs" in page.words


def test_a_folder_without_a_run_says_what_makes_one(served: Served, tmp_path: Path) -> None:
    with open_client(served.settings(runs=tmp_path)) as client:
        assert "There is no run in" in look(client, "/runs").words


def test_the_page_of_the_api_names_every_endpoint(visitor: httpx.Client) -> None:
    page = look(visitor, "/api")
    schema = visitor.get("/api/openapi.json").json()
    for path in schema["paths"]:
        assert path in page.words
    assert not {"/", "/map", "/runs", "/api"} & schema["paths"].keys()


def test_an_index_that_is_gone_is_told_by_a_page(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "empty.index"
    IndexStore.create(path, IndexInfo(**vars(IndexStore.open(served.index).info)))
    with open_client(served.settings(index=path)) as client:
        look(client, "/")
        path.unlink()
        answer = client.get("/")
        page = Page(answer.text)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "The index cannot be read" in page.words
        assert page.faults == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (2.94, "0:02.9"), (59.96, "1:00"), (61, "1:01"), (3661.5, "1:01:01.5"), (-1, "0:00")],
)
def test_times_are_written_as_players_do(seconds: float, text: str) -> None:
    assert write_clock(seconds) == text


def test_fields_hold_plain_numbers() -> None:
    assert [write_plain(value) for value in (0.0, 1.5, 2.0, 1.234, 10.0)] == ["", "1.5", "2", "1.23", "10"]


def test_messages_become_sentences() -> None:
    assert [write_sentence(text) for text in ("it fails", "Why?", "")] == ["It fails.", "Why?", ""]
