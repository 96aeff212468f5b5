"""Signing in by a certified OpenID provider that runs here, by hand in Chromium.

The provider (npm `oidc-provider`) has a log-in page of its own, sends the browser back, and tells
this instance when somebody is logged out there. With scripts and without, on a narrow screen.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.foreign.conftest import absent
from tests.installed import Away, alone, install_node_package
from tests.instance import free_port
from tests.processes.site import Site, watch

pytestmark = [pytest.mark.browser, pytest.mark.foreign]

_SOURCE = Path(__file__).parents[1] / "foreign" / "openid"
_HOST = "127.0.0.3"  # cookies know no ports: the provider has a host of its own
_SECRET = "a secret/of+40 & characters, so that it is encoded"
_NAME = "St. Olaf Login"

GRACE: dict[str, Any] = {
    "preferred_username": "grace.hopper@st-olaf.example",
    "name": "Grace Hopper",
    "email": "g.hopper@st-olaf.example",
    "job": {"title": "Consultant"},
    "taxonomy": "207RC0000X",
    "licensed_in": "US-NY",
    "licence": "NY-234567",
    "npi": "1234567893",
    "groups": ["staff"],
}


@dataclass
class Provider:
    """A running provider; `provider.people(login={claims})` says who there is."""

    port: int

    @property
    def issuer(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def people(self, **people: dict[str, Any]) -> None:
        body = json.dumps(people).encode()
        with urllib.request.urlopen(f"{self.issuer}/control/people", body, timeout=10):
            pass


@dataclass
class House:
    """One instance and its provider; `restart` with other settings."""

    site: Site
    provider: Provider

    def restart(self, **settings: str) -> None:
        self.site.stop()
        config = self.site.folder / "config.toml"
        text = re.sub(r"\n\[identity_provider\].*", "", config.read_text(), flags=re.S)
        rules = {
            "issuer": json.dumps(self.provider.issuer),
            "client_id": '"fedidoc"',
            "client_secret": json.dumps(_SECRET),
            "name": json.dumps(_NAME),
            "verifies": "true",
            "claim_profession": '"job.title"',
            "claim_specialty": '"taxonomy"',
            "claim_jurisdiction": '"licensed_in"',
            "claim_licence": '"licence"',
            "claim_npi": '"npi"',
            "professions": '{ "Consultant" = "physician", "Registrar" = "resident" }',
            "groups": '{ "fedidoc-admins" = "admin" }',
            **settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in rules.items())
        config.write_text(f"{text}\n[identity_provider]\n{lines}")
        self.site.start()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    try:
        with alone():
            node, home = install_node_package(_SOURCE, "oidc-provider")
    except Away as reason:
        absent(str(reason))
        raise
    folder = tmp_path_factory.mktemp("sso")
    site = Site(folder / "hospital", "127.0.0.1", name="St. Olaf Hospital").init()
    port = free_port(_HOST)
    log = folder / "provider.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [node, "provider.mjs", _HOST, str(port), site.url], cwd=home, stdout=file, stderr=file
        )
    try:
        watch(lambda: "listening" in log.read_text() or _still_runs(process, log))
        made = House(site, Provider(port))
        made.provider.people(grace=GRACE)
        with site:
            made.restart()
            yield made
    finally:
        process.terminate()
        process.wait(10)


def _still_runs(process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return False


@contextmanager
def visit(browser: Browser, house: House, *, scripts: bool = True) -> Iterator[Visitor]:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, java_script_enabled=scripts
    )
    context.set_default_timeout(15_000)
    try:
        yield Visitor(context.new_page(), house)
    finally:
        context.close()


class Visitor:
    """Somebody with a browser of their own, on a narrow screen."""

    def __init__(self, page: Page, house: House) -> None:
        self.page = page
        self.house = house
        self.blocked: list[str] = []
        page.on("console", lambda said: self.blocked.append(said.text))

    def go(self, path: str) -> None:
        self.page.goto(self.house.site.url + path)

    def sign_in(self, login: str, start: str = "/log-in") -> None:
        """From the button through the provider's own page and back."""
        self.go(start)
        self.narrow()
        self.page.get_by_role("link", name=f"Log in with {_NAME}").click()
        self.at_the_provider(login)

    def at_the_provider(self, login: str) -> None:
        expect(self.page).to_have_url(re.compile(re.escape(self.house.provider.issuer)))
        self.page.locator("[name=login]").fill(login)
        self.page.locator("[name=password]").fill("any")
        self.page.locator("button[type=submit]").click()
        self.page.wait_for_url(f"{self.house.site.url}/**")

    @property
    def text(self) -> str:
        return self.page.get_by_role("main").inner_text()

    def narrow(self) -> None:
        """Nothing is wider than the screen."""
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, f"{self.page.url} is {wide} px wide"

    def is_signed_in(self) -> bool:
        self.go("/settings")
        return self.page.url == f"{self.house.site.url}/settings"

    def violations(self) -> list[str]:
        return [text for text in self.blocked if "Content Security Policy" in text]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_physician_signs_in_and_holds_a_credential_in_one_step(
    chromium: Browser, house: House, scripts: bool
) -> None:
    login = "grace" if scripts else "ada"
    house.provider.people(
        ada={
            **GRACE, "preferred_username": "ada", "name": "Ada Lovelace", "npi": None,
            "email": "ada@st-olaf.example", "licence": None,
        }
    )  # fmt: skip
    with visit(chromium, house, scripts=scripts) as person:
        person.sign_in(login)
        assert "Your account is made, and you are verified" in person.text
        username = "grace_hopper" if scripts else "ada"
        shown = house.site.command("member", "show", username)[0]
        assert (shown["verified"], shown["assurance"], shown["role"]) == (
            True, "employer", "physician",
        )  # fmt: skip
        document = house.site.value(
            "SELECT credentials.document FROM credentials JOIN actors"
            " ON actors.id = credentials.actor_id WHERE actors.username = ?"
            " AND credentials.revoked IS NULL",
            username,
        )
        credential = json.loads(document)
        assert credential["id"] == shown["credential"]
        subject = credential["credentialSubject"]
        assert subject["id"] == shown["actor"]
        assert (subject["profession"], subject["jurisdiction"]) == ("physician", "US-NY")
        assert subject["specialty"]["code"] == "207RC0000X"
        for never in ("NY-234567", "1234567893", "g.hopper"):
            assert never not in json.dumps(credential)
        assert person.is_signed_in()
        if scripts:
            person.narrow()
        assert not person.violations()


def test_logging_out_ends_the_providers_session_too(chromium: Browser, house: House) -> None:
    with visit(chromium, house) as person:
        person.sign_in("grace")
        # The provider knows them still: no second log-in there.
        person.page.context.clear_cookies(name="session")
        person.go("/log-in")
        person.page.get_by_role("link", name=f"Log in with {_NAME}").click()
        person.page.wait_for_url(f"{house.site.url}/**")
        assert person.is_signed_in()
        person.page.locator("main").get_by_role("button", name="Log out").click()
        # The page goes on by itself; the provider asks once.
        expect(person.page).to_have_url(re.compile(re.escape(house.provider.issuer)))
        person.page.get_by_role("button", name=re.compile("Yes")).click()
        person.page.wait_for_url(f"{house.site.url}/log-in/provider/left**")
        assert f"You are logged out of {_NAME} too" in person.text
        person.narrow()
        assert not person.is_signed_in()
        person.sign_in("grace")
        assert not person.violations()


def test_a_logout_at_the_provider_ends_the_session_here(chromium: Browser, house: House) -> None:
    with visit(chromium, house) as person, visit(chromium, house) as elsewhere:
        person.sign_in("grace")
        elsewhere.sign_in("grace")
        person.page.goto(f"{house.provider.issuer}/session/end")
        person.page.get_by_role("button", name=re.compile("Yes")).click()
        watch(lambda: not person.is_signed_in())
        assert elsewhere.is_signed_in(), "only the session that ended at the provider ends here"


def test_a_member_links_a_login(chromium: Browser, house: House) -> None:
    password = house.site.member("osler", "--verified-by", "test")["password"]
    house.provider.people(
        william={
            **GRACE, "preferred_username": "william", "name": "William Osler",
            "email": "osler@example.org", "npi": None, "licence": None,
        }
    )  # fmt: skip
    with visit(chromium, house) as person:
        # The same e-mail address is no reason to let anybody in.
        person.sign_in("william")
        assert "An account here has your e-mail address already" in person.text
        person.narrow()
        person.page.context.clear_cookies()
        person.go("/log-in")
        person.page.locator("[name=username]").fill("osler")
        person.page.locator("[name=password]").fill(password)
        person.page.get_by_role("button", name="Log in", exact=True).click()
        person.go("/settings")
        person.narrow()
        person.page.locator("[name=login_password]").fill(password)
        person.page.get_by_role("button", name="Link the login").click()
        person.page.get_by_role("link", name=f"Go on to {_NAME}").click()
        person.at_the_provider("william")
        assert "Your login is linked" in person.text
        assert house.site.command("member", "show", "osler")[0]["assurance"] == "employer"
        person.page.context.clear_cookies()
        person.sign_in("william")
        person.go("/settings")
        assert "@osler" in person.page.content()
        assert not person.violations()


def test_the_group_of_admins_is_followed(chromium: Browser, house: House) -> None:
    def come(groups: list[str]) -> bool:
        house.provider.people(
            rita={
                **GRACE, "preferred_username": "rita", "name": "Rita Levi", "npi": None,
                "email": "rita@st-olaf.example", "licence": None, "groups": groups,
            }
        )  # fmt: skip
        with visit(chromium, house) as person:
            person.sign_in("rita")
            person.go("/admin/reviews")
            return "There is nothing here" not in person.text

    assert [come(["fedidoc-admins"]), come([]), come(["fedidoc-admins"])] == [True, False, True]


def test_what_changes_at_the_provider_changes_the_credential(
    chromium: Browser, house: House
) -> None:
    def come(**changes: Any) -> dict[str, Any]:
        house.provider.people(
            rosa={
                **GRACE, "preferred_username": "rosa", "name": "Rosa Franklin", "npi": None,
                "email": "rosa@st-olaf.example", "licence": None, **changes,
            }
        )  # fmt: skip
        with visit(chromium, house) as person:
            person.sign_in("rosa")
        return house.site.command("member", "show", "rosa")[0]

    first = come(job={"title": "Registrar"})
    second = come()
    assert (first["role"], second["role"]) == ("resident", "physician")
    assert first["credential"] != second["credential"]
    third = come(job={"title": "Porter"})
    assert (third["verified"], third["standing"]) == (False, "new")


def test_cancelling_at_the_provider_leads_to_a_page(chromium: Browser, house: House) -> None:
    with visit(chromium, house) as person:
        person.go("/log-in")
        person.page.get_by_role("link", name=f"Log in with {_NAME}").click()
        person.page.get_by_role("link", name=re.compile("Cancel")).click()
        person.page.wait_for_url(f"{house.site.url}/**")
        assert "cancelled" in person.text
        person.narrow()


def test_a_link_of_the_operators_lets_in_when_there_is_no_other_way(
    chromium: Browser, house: House
) -> None:
    house.site.member("steward", "--admin")
    house.restart(only="true")
    try:
        with visit(chromium, house, scripts=False) as person:
            person.go("/log-in")
            assert person.page.locator("main [name=password]").count() == 0
            person.sign_in("grace")
            assert person.is_signed_in()
        url = house.site.command("member", "enter", "steward")[0]["url"]
        with visit(chromium, house) as steward:
            steward.page.goto(url)
            steward.narrow()
            steward.page.get_by_role("button", name="Come in").click()
            assert steward.is_signed_in()
            steward.go("/admin/reviews")
            assert "There is nothing here" not in steward.text
        token = house.site.command("token", "create", "grace_hopper")[0]["token"]
        asked = urllib.request.Request(
            f"{house.site.url}/api/v1/accounts/verify_credentials",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(asked) as response:
            assert json.load(response)["username"] == "grace_hopper"
    finally:
        house.restart()


def test_the_doctor_asks_the_provider(house: House) -> None:
    def says() -> str:
        found = house.site.run("--config", str(house.site.folder / "config.toml"), "doctor")
        return next(line for line in found.stdout.splitlines() if "sign-in" in line)

    assert "signed with RS256, PS256" in says()
    house.restart(issuer=json.dumps(house.provider.issuer + "/"))
    try:
        assert says().startswith("FAIL")
        assert "copy the issuer to the letter" in says() or "no discovery document" in says()
    finally:
        house.restart()


def test_nothing_of_anybody_is_in_the_log(house: House) -> None:
    """After all the tests before it."""
    log = house.site.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line["room"] == "sign_in" for line in lines)
    for never in (
        "grace", "hopper", "Hopper", "1234567893", "NY-234567", "st-olaf.example", "eyJ", "code=",
        "state=", _SECRET,
    ):  # fmt: skip
        assert never not in log, never
