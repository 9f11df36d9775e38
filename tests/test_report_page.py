"""The progress report in a real browser, with every kata of the repository. Skipped where there is no Chromium."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dojo.commands.report import record_of
from dojo.curriculum.katas import Catalog
from dojo.grading import State, grade, not_started
from dojo.learner.progress import Progress
from dojo.report.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the path")

DESKTOP, PHONE = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def catalog():
    return Catalog()


@pytest.fixture(scope="module")
def page(catalog, tmp_path_factory):
    """The report of a learner who has mastered a kata, failed one, solved one, and left the others alone."""
    results = [
        not_started(kata, framework, catalog.root) for kata in catalog.katas.values() for framework in kata.frameworks
    ]
    for index, result in enumerate(results[:3]):
        tests = [test for level in result.levels for test in level.tests]
        for test in tests:
            test.state, test.message = State.PASSED, ""
        results[index] = grade(result.track, result.slug, result.framework, tests)
    broken = results[1].levels[2].tests[0]
    broken.state, broken.message = State.FAILED, "x <y> & z"
    last = results[2].levels[-1]
    last.beyond, last.tests[0].state, last.title = True, State.FAILED, 'a <b> & "c"'
    progress = Progress(hints={results[1].slug: {"3": 2}}, given_up={results[3].slug: "2026-01-05T10:00:00+00:00"})
    for day, result in zip(("2026-01-02", "2026-01-09"), results, strict=False):
        progress.remember(result, "")
        progress.entry(result.slug, result.framework).history[0]["at"] = f"{day}T12:00:00+00:00"
    card = {"kata": results[0].slug, "framework": "torch", "score": 3, "total": 7, "levels": 2, "all_levels": 5}
    progress.interviews.append(
        card | {"at": "2026-01-09T18:00:00+00:00", "seconds": 1500, "minutes": 45, "runs": 9, "hints": 1}
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(path, results, catalog, record_of(progress))
    return path


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def show(chromium, page):
    """show(scheme, size): the page in a light or dark scheme, on a screen of that size."""

    def show(scheme="light", size=DESKTOP):
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        chromium.get(page.as_uri())
        return chromium

    return show


def test_every_kata_stands_in_it_with_its_states(show, catalog):
    browser = show()
    rows = browser.find_elements(By.CSS_SELECTOR, "section tbody th[scope=row]")
    text = " ".join(row.text for row in rows)
    assert len(rows) == len(catalog.katas)
    assert all(slug in text for slug in catalog.katas)
    states = [link.text for link in browser.find_elements(By.CSS_SELECTOR, "a.state")]
    assert len(states) == sum(len(kata.frameworks) for kata in catalog.katas.values())
    assert [state.split(",")[0] for state in states if "not started" not in state] == ["passed", "failed", "passed"]
    assert [standing.text for standing in browser.find_elements(By.CSS_SELECTOR, ".standing")] == ["mastered", "solved"]


def test_words_of_a_kata_stay_words(show):
    title = show().find_element(By.CSS_SELECTOR, ".levels b ~ i").get_attribute("title")
    assert title.endswith('a <b> & "c": failed')


def test_it_asks_for_nothing_but_itself(show, page):
    browser = show()
    browser.get_log("performance")
    browser.refresh()
    asked = [entry["message"] for entry in browser.get_log("performance") if 'requestWillBeSent"' in entry["message"]]
    assert asked, "the log of requests is empty: nothing would be found"
    assert all(page.name in message for message in asked)
    assert browser.get_log("browser") == []


def test_each_link_leads_to_a_file(show):
    links = show().find_elements(By.CSS_SELECTOR, "a.state")
    paths = [Path(unquote(urlsplit(link.get_attribute("href")).path)) for link in links]
    assert all(path.is_file() for path in paths)


def test_dark_and_light_are_told_apart(show):
    def colours(scheme):
        style = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        return [sum(map(int, colour[4:-1].split(","))) for colour in show(scheme).execute_script(style)]

    paper, ink = colours("light")
    assert paper > ink + 400
    paper, ink = colours("dark")
    assert ink > paper + 400


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_sticks_out_of_the_screen(show, size):
    browser = show(size=size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert browser.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(show, scheme, size):
    found = Axe().run(show(scheme, size))
    assert len(found["passes"]) > 10, "the audit looked at nothing"
    broken = [f"{rule['id']}: {node['html'][:120]}" for rule in found["violations"] for node in rule["nodes"]]
    assert not broken, "\n".join(broken[:10])


def test_the_keyboard_alone_reaches_the_katas(show):
    browser = show()

    def press(key):
        browser.switch_to.active_element.send_keys(key)
        return browser.switch_to.active_element

    skip = press(Keys.TAB)
    assert skip.text == "Skip to the katas"
    assert skip.is_displayed()
    press(Keys.ENTER)
    assert browser.current_url.endswith("#tracks")
    reached = [press(Keys.TAB) for _ in range(3)]
    assert "state" in reached[-1].get_attribute("class")
    assert browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", reached[-1]) != "none"
