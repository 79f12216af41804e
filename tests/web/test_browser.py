"""The pages in a real browser, Chromium without a window, with a real server behind them."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.web.collection import Collection, build_collection, empty_index
from tests.web.served import run_server
from tests.web.test_page_runs import write_run
from unreel.web.problems import Problem
from unreel.web.query_service import QueryService
from unreel.web.settings import ServeSettings

pytestmark = pytest.mark.browser

PATIENCE_SEC = 20.0


class Visitor:
    """A browser that looks at one server, and remembers what it was told and asked for."""

    def __init__(self, driver: webdriver.Chrome, home: str) -> None:
        self.driver, self.home = driver, home

    def go(self, address: str) -> None:
        self.driver.get(self.home + address)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def ask(self, address: str) -> Any:
        return self.run("return fetch(arguments[0]).then((reply) => reply.json())", address)

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is true; elements that are being replaced count as not yet."""
        end, last = time.monotonic() + PATIENCE_SEC, None
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except Exception as error:  # a stale element
                last = error
            time.sleep(0.05)
        raise AssertionError(f"waited too long at {self.driver.current_url}: {last}")

    def wait_for_text(self, selector: str, text: str) -> None:
        self.wait(lambda: text in self.one(selector).text)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def list_complaints(self) -> list[str]:
        return [own["message"] for own in self.driver.get_log("browser") if own["level"] != "INFO"]

    def list_addresses(self) -> list[str]:
        """Return what was asked for since the last call."""
        messages = [json.loads(own["message"])["message"] for own in self.driver.get_log("performance")]
        return [
            own["params"]["request"]["url"]
            for own in messages
            if own["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return build_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="module")
def home(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runs = tmp_path_factory.mktemp("runs")
    write_run(runs / "first")
    write_run(runs / "second", rate=0.2, encoder_hash="b" * 16)
    with run_server(ServeSettings(index=collection.index, runs=runs, device="cpu")) as address:
        yield address


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=ChromeService(str(shutil.which("chromedriver"))))
    yield driver
    driver.quit()


@pytest.fixture
def visitor(driver: webdriver.Chrome, home: str) -> Iterator[Visitor]:
    """Give a browser; a test ends without a complaint of the console and without a request elsewhere."""
    visitor = Visitor(driver, home)
    driver.get("about:blank")
    visitor.list_complaints()
    visitor.list_addresses()
    yield visitor
    assert visitor.list_complaints() == []
    own = (home, "blob:", "data:", "about:")
    assert [address for address in visitor.list_addresses() if not address.startswith(own)] == []


def list_pages(visitor: Visitor) -> list[str]:
    visitor.go("/")
    video = visitor.ask("/api/videos")["videos"][0]["video_id"]
    runs = ["/runs", "/runs/first", "/compare?run=first&run=second"]
    return ["/", f"/?video={video}&unit=clip", f"/videos/{video}", "/map", *runs, "/api"]


def find_late_hit(visitor: Visitor) -> WebElement:
    """Return a player of a hit that starts later than its video, once there is one."""

    def find() -> WebElement | None:
        players = visitor.all("#results .player")
        late = [player for player in players if float(str(player.get_attribute("data-start"))) > 0.5]
        return late[0] if late else None

    player: WebElement = visitor.wait(find)
    return player


def is_playing(visitor: Visitor, player: WebElement) -> bool:
    script = "const film = arguments[0].querySelector('video'); return !film.paused && film.readyState > 2"
    return bool(visitor.run(script, player))


def now(visitor: Visitor, player: WebElement) -> float:
    return float(visitor.run("return arguments[0].querySelector('video').currentTime", player))


def choose(visitor: Visitor, path: Path) -> None:
    visitor.one("#file").send_keys(str(path))
    visitor.wait(lambda: visitor.one("#query .button").is_displayed())


def test_every_page_is_quiet_and_fits_a_phone_and_a_desk(visitor: Visitor) -> None:
    for address in list_pages(visitor):
        for width in (390, 1280):
            size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
            visitor.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            visitor.go(address)
            assert visitor.run("return document.documentElement.scrollWidth <= innerWidth"), (address, width)
            assert visitor.run("return document.activeElement === document.body"), address
    visitor.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_file_is_shown_sent_and_found_and_the_way_back_works(
    visitor: Visitor, collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "my film.mp4"
    shutil.copy(collection.videos / "0003_meadow_down.mp4", path)
    visitor.go("/")
    choose(visitor, path)
    assert str(visitor.run("return document.querySelector('#query video').src")).startswith("blob:")
    visitor.one("#query .button").click()
    visitor.wait_for_text("#found", "Like my film.mp4")
    first = visitor.one("#results .card")
    assert "0003_meadow_down.mp4" in first.text
    assert "1.000" in first.text
    assert "?query=" in visitor.driver.current_url
    assert "Like my film.mp4" in visitor.one("#state p").text  # read out
    visitor.driver.back()
    visitor.wait_for_text("#found", "All videos")
    assert visitor.all("#query video") == []
    visitor.driver.forward()
    visitor.wait_for_text("#found", "Like my film.mp4")
    assert str(visitor.run("return document.querySelector('#query video').src")).startswith("blob:")


def test_a_part_of_a_file_is_searched_with(visitor: Visitor, collection: Collection) -> None:
    visitor.go("/")
    choose(visitor, collection.videos / "0005_meadow_counterclockwise.mp4")
    visitor.wait(lambda: visitor.one("#query .handles").is_displayed())
    visitor.run("document.querySelector('#query video').currentTime = 0.8")
    visitor.wait(lambda: visitor.run("return !document.querySelector('#query video').seeking"))
    visitor.one("#query .set[data-for=start_sec]").click()
    assert visitor.one("#start_sec").get_attribute("value") == "0.8"
    handle = visitor.one("#query [data-for=end_sec][type=range]")
    visitor.run("arguments[0].value = 1.6; arguments[0].dispatchEvent(new Event('input'))", handle)
    assert visitor.one("#end_sec").get_attribute("value") == "1.6"
    visitor.one("#query .button").click()
    visitor.wait_for_text("#found", "Like 0005")
    assert visitor.one("#start_sec").get_attribute("value") == "0.8"
    query = visitor.driver.current_url.partition("query=")[2]
    found = visitor.ask(f"/api/search?query={query}")["query"]
    assert (found["start_sec"], found["end_sec"]) == (0.8, 1.6)
    visitor.one("#filters [name=unit][value=clip]").find_element(By.XPATH, "..").click()
    visitor.wait_for_text("#told", "moments")
    assert visitor.one("#start_sec").get_attribute("value") == "0.8"


def test_a_hit_plays_from_its_second(visitor: Visitor) -> None:
    visitor.go("/")
    video = visitor.ask("/api/videos")["videos"][2]["video_id"]
    visitor.go(f"/?unit=clip&video={video}")
    player = find_late_hit(visitor)
    start = float(str(player.get_attribute("data-start")))
    player.find_element(By.CSS_SELECTOR, ".play").click()
    visitor.wait(lambda: is_playing(visitor, player) or now(visitor, player) > start)
    assert start - 0.05 <= now(visitor, player) < start + 2
    assert not visitor.run("return arguments[0].querySelector('video').muted", player)
    assert not player.find_element(By.CSS_SELECTOR, ".play").is_displayed()


def test_more_like_this_and_moments_lead_on(visitor: Visitor) -> None:
    visitor.go("/")
    card = visitor.all("#results .card")[4]
    name = card.find_element(By.CSS_SELECTOR, "h3").text
    card.find_element(By.CSS_SELECTOR, ".more").click()
    visitor.wait_for_text("#found", f"Like {name}")
    assert visitor.one("#query [name=video]").get_attribute("value") in visitor.driver.current_url
    visitor.one("#results .card h3 a").click()
    visitor.wait(lambda: "/videos/" in visitor.driver.current_url)
    moment = visitor.all("a.moment")[2]
    moment.click()
    player = visitor.one(".watch .player")
    start = float(str(moment.get_attribute("data-start")))
    visitor.wait(lambda: now(visitor, player) > start)


def test_filters_act_at_once_and_live_in_the_address(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.one("#filters [name=group][value=harbour]").click()
    visitor.wait_for_text("#found", "Videos that match")
    assert "group=harbour" in visitor.driver.current_url
    total = visitor.ask("/api/videos?group=harbour")["total"]
    assert f"{total} videos" in visitor.one("#told").text
    field = visitor.one("#filters [name=label]:not([type])")
    field.send_keys("left", Keys.TAB)
    visitor.wait(lambda: "label=left" in visitor.driver.current_url)
    visitor.wait(lambda: visitor.one("#filters [name=label][value=left]").is_selected())
    visitor.driver.refresh()
    assert visitor.one("#filters [name=group][value=harbour]").is_selected()
    visitor.one("#filters .clear").click()
    visitor.wait_for_text("#found", "All videos")


def test_the_theme_follows_the_system_until_it_is_chosen(visitor: Visitor) -> None:
    def is_dark() -> bool:
        color = str(visitor.run("return getComputedStyle(document.body).backgroundColor"))
        return sum(int(part) for part in color[4:-1].split(",")) < 200

    features = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    visitor.go("/")
    assert not is_dark()
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    assert is_dark()
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    button = visitor.one(".theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert is_dark()
    assert button.get_attribute("aria-pressed") == "true"
    visitor.go("/map")
    assert is_dark()
    visitor.one(".theme").click()
    assert not is_dark()
    visitor.run("localStorage.clear()")


def test_the_map_shows_what_is_pointed_at(visitor: Visitor) -> None:
    visitor.go("/map")
    visitor.wait(lambda: visitor.one("#map .wait").text == "")
    points = visitor.ask("/api/map?method=pca")["points"]
    by_path = {point["path"]: point for point in points}
    point = by_path["videos/0003_meadow_down.mp4"]
    canvas = visitor.one("#map canvas")
    width, height = canvas.size["width"], canvas.size["height"]
    scale = 0.92 * min(width, height)
    place = [round((point[axis] - 0.5) * scale) for axis in ("x", "y")]
    ActionChains(visitor.driver).move_to_element_with_offset(canvas, *place).perform()
    visitor.wait(lambda: visitor.one("#map .tip").is_displayed())
    name = visitor.one("#map .tip .name").text
    assert visitor.one("#map .tip .tag").text == by_path[name]["label"]
    film = visitor.one("#map .tip video")
    assert by_path[name]["id"] in str(film.get_attribute("poster"))
    visitor.wait(lambda: visitor.run("return arguments[0].currentTime > 0 && arguments[0].muted", film))
    ActionChains(visitor.driver).move_to_element_with_offset(canvas, *place).click().perform()
    visitor.wait(lambda: by_path[name]["id"] in visitor.driver.current_url)


def test_the_map_is_walked_with_the_keys(visitor: Visitor) -> None:
    visitor.go("/map?method=tsne")
    visitor.wait(lambda: visitor.one("#map .wait").text == "")
    visitor.run("document.querySelector('.links a:last-child').focus()")
    visitor.press(Keys.TAB)
    assert visitor.run("return document.activeElement.tagName") == "CANVAS"
    visitor.wait(lambda: visitor.one("#map .tip").is_displayed())
    names = set()
    for key in ("+", "+", Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_UP, "-", "0"):
        visitor.press(key)
        names.add(visitor.one("#map .tip .name").text)
    assert len(names) > 1
    visitor.press(Keys.ENTER)
    visitor.wait(lambda: "/videos/" in visitor.driver.current_url)


def test_a_label_of_the_legend_stands_out(visitor: Visitor) -> None:
    visitor.go("/map")
    visitor.wait(lambda: visitor.one("#map .wait").text == "")
    before = visitor.run("return document.querySelector('#map canvas').toDataURL()")
    button = visitor.one(".legend button")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert visitor.run("return document.querySelector('#map canvas').toDataURL()") != before
    button.click()
    assert visitor.run("return document.querySelector('#map canvas').toDataURL()") == before


def test_a_video_that_browsers_do_not_play_is_prepared_and_plays(visitor: Visitor) -> None:
    visitor.go("/?label=old")
    player = visitor.one("#results .player")
    assert player.get_attribute("data-playable") == "0"
    player.find_element(By.CSS_SELECTOR, ".play").click()
    visitor.wait(lambda: now(visitor, player) > 0.1)
    assert (
        str(visitor.run("return arguments[0].querySelector('video').src", player))
        .partition("#")[0]
        .endswith("/converted")
    )
    assert not player.find_element(By.CSS_SELECTOR, ".note").is_displayed()


def test_a_video_that_left_says_so(visitor: Visitor, collection: Collection) -> None:
    visitor.go("/?path_prefix=videos/0011")
    path = next(collection.videos.glob("0011*"))
    path.rename(path.with_suffix(".away"))
    try:
        player = visitor.one("#results .player")
        player.find_element(By.CSS_SELECTOR, ".play").click()
        note = player.find_element(By.CSS_SELECTOR, ".note")
        visitor.wait(note.is_displayed)
        assert "the file of this video cannot be read" in note.text.lower()
    finally:
        path.with_suffix(".away").rename(path)
    complaints = visitor.list_complaints()
    assert complaints
    assert all("404" in complaint for complaint in complaints)


def test_a_file_that_is_no_video_is_refused_in_words(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("dear reader")
    visitor.go("/")
    choose(visitor, tmp_path / "letter.mp4")
    visitor.wait_for_text("#query .note", "cannot show the file")
    visitor.one("#query .button").click()
    visitor.wait_for_text("#problem", "Try again")
    assert "not a media file" in visitor.one("#problem p").text
    assert visitor.one("#problem").get_attribute("role") == "alert"
    assert all("415" in complaint for complaint in visitor.list_complaints())


def test_a_server_that_is_busy_is_asked_again(
    visitor: Visitor, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, calls = QueryService.receive, []

    async def refuse_once(self: QueryService, request: Any) -> Any:
        calls.append(request)
        if len(calls) == 1:
            raise Problem(429, "busy", "too many are waiting", "try again", retry_after_sec=1)
        return await receive(self, request)

    monkeypatch.setattr(QueryService, "receive", refuse_once)
    visitor.go("/")
    choose(visitor, collection.videos / "0003_meadow_down.mp4")
    visitor.one("#query .button").click()
    visitor.wait_for_text("#problem", "too many are waiting")
    button = visitor.one("#problem button")
    assert not button.is_enabled()
    visitor.wait(button.is_enabled)
    button.click()
    visitor.wait_for_text("#found", "Like 0003")
    assert visitor.one("#problem").text == ""
    assert all("429" in complaint for complaint in visitor.list_complaints())


def test_all_can_be_done_with_the_keys(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.press(Keys.TAB)
    assert visitor.run("return document.activeElement.className") == "skip"
    seen = []
    for _ in range(40):
        visitor.press(Keys.TAB)
        seen.append(
            visitor.run(
                "const at = document.activeElement, own = at.closest('.drop, .chip, .switch label') ?? at;"
                "return [at.name || at.id || at.className || at.tagName,"
                " [own, at].some((part) => getComputedStyle(part).outlineStyle !== 'none')]"
            )
        )
        if seen[-1][0] == "more":
            break
    names = [name for name, _ in seen]
    assert {"file", "theme", "play", "more", "unit", "label", "path_prefix"} <= set(names)
    assert [name for name, has_ring in seen if not has_ring] == []
    visitor.press(Keys.ENTER)
    visitor.wait_for_text("#found", "Like 0000")
    visitor.wait(lambda: visitor.run("return document.activeElement.id") == "found")
    visitor.run("document.querySelector('#group-1').focus()")
    visitor.press(Keys.SPACE)
    visitor.wait(lambda: "group=" in visitor.driver.current_url)
    visitor.wait(lambda: visitor.run("return document.activeElement.id") == "group-1")
    identity = visitor.ask("/api/videos")["videos"][1]["video_id"]
    visitor.run("document.querySelector('.byid input').focus()")
    visitor.press(identity, Keys.ENTER)
    visitor.wait_for_text("#found", "Like 0001")


def test_an_expired_search_and_a_video_that_is_not_here_are_told(visitor: Visitor) -> None:
    for address, text in (
        ("/?query=forgotten", "This search has expired"),
        ("/?video=x", "This video is not here"),
    ):
        visitor.go(address)
        assert visitor.one("#found").text == text
    assert all("404" in complaint for complaint in visitor.list_complaints())
    visitor.one(".empty a").click()
    visitor.wait_for_text("#found", "All videos")


def test_an_empty_collection_says_what_to_do(
    driver: webdriver.Chrome, collection: Collection, tmp_path: Path
) -> None:
    index = empty_index(tmp_path / "empty.index", collection.index)
    with run_server(ServeSettings(index=index, device="cpu")) as address:
        visitor = Visitor(driver, address)
        visitor.go("/")
        assert "unreel index --encoder" in visitor.one(".empty code").text
        visitor.go("/map")
        visitor.wait_for_text("#map .wait", "There is no video in this index yet.")
        visitor.go("/runs")
        assert "unreel serve" in visitor.one(".empty code").text
        assert visitor.list_complaints() == []


def test_without_scripts_all_but_files_can_be_searched_with(visitor: Visitor) -> None:
    visitor.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visitor.go("/")
        assert not visitor.one(".drop").is_displayed()
        visitor.one(".filters summary").click()
        visitor.one("#filters [name=group][value=harbour]").click()
        visitor.one("#filters .button").click()
        visitor.wait_for_text("#found", "Videos that match")
        visitor.one("#results .more").click()
        visitor.wait_for_text("#found", "Like")
        visitor.go("/map")
        visitor.one("#table summary").click()
        visitor.one("#table tbody a").click()
        visitor.wait(lambda: "/videos/" in visitor.driver.current_url)
    finally:
        visitor.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_file_can_be_dropped(visitor: Visitor, collection: Collection) -> None:
    visitor.go("/")
    area = visitor.one(".drop").rect
    path = str(collection.videos / "0001_meadow_right.mp4")
    event = {
        "x": area["x"] + area["width"] / 2,
        "y": area["y"] + area["height"] / 2,
        "data": {"items": [], "files": [path], "dragOperationsMask": 1},
    }
    for kind in ("dragEnter", "dragOver", "drop"):
        visitor.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **event})
    visitor.wait_for_text("#query .of", "0001_meadow_right.mp4")
    assert visitor.driver.current_url == f"{visitor.home}/"
    assert visitor.run("return document.activeElement.id") == "go"


def test_a_look_under_the_mouse_is_silent_and_ends(visitor: Visitor) -> None:
    visitor.go("/")
    video = visitor.ask("/api/videos")["videos"][2]["video_id"]
    visitor.go(f"/?video={video}")
    player = find_late_hit(visitor)
    start = float(str(player.get_attribute("data-start")))
    ActionChains(visitor.driver).move_to_element(player).perform()
    visitor.wait(lambda: now(visitor, player) > start)
    assert visitor.run("return arguments[0].querySelector('video').muted", player)
    assert player.find_element(By.CSS_SELECTOR, ".play").is_displayed()
    ActionChains(visitor.driver).move_to_element(visitor.one(".brand")).perform()
    visitor.wait(lambda: visitor.run("return arguments[0].querySelector('video').paused", player))


def test_nothing_moves_by_itself_where_motion_is_not_wanted(visitor: Visitor) -> None:
    features = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        visitor.go("/")
        player = visitor.one("#results .player")
        ActionChains(visitor.driver).move_to_element(player).perform()
        time.sleep(0.5)
        assert visitor.run("return arguments[0].querySelector('video').paused", player)
        visitor.go("/map")
        visitor.wait(lambda: visitor.one("#map .wait").text == "")
        visitor.run("document.querySelector('#map canvas').focus({focusVisible: true})")
        visitor.press("+")
        visitor.wait(lambda: visitor.one("#map .tip").is_displayed())
        assert visitor.one("#map .tip video").get_attribute("poster")
        assert not visitor.one("#map .tip video").get_attribute("src")
    finally:
        visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
