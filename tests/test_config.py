from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fedidoc import config
from fedidoc.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "config.example.toml"


def make(**sections: dict[str, Any]) -> config.Config:
    sections.setdefault("instance", {}).setdefault("domain", "st-olaf.example")
    return config.parse(sections, {}, Path("/srv/fedidoc"))


def test_the_example_explains_every_key_with_its_default() -> None:
    example = tomllib.loads(EXAMPLE.read_text())
    shown = {
        (section, key): value
        for section, part in example.items()
        # Of a named section the example shows one or more, which together have every key.
        for keys in (part.values() if section in config.NAMED else [part])
        for key, value in keys.items()
    }
    settings = config.keys()
    known = {(section, key): default for section, key, default in settings}
    assert shown.keys() == known.keys()
    for place, default in known.items():
        expected = list(default) if isinstance(default, tuple) else default
        # The example's named sections are examples; what is left out there is told in words.
        if expected is not None and place[0] not in config.NAMED:
            assert shown[place] == expected, place


def test_every_key_of_the_example_has_words_before_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"[a-z_]+ = ", line)]
    settings = config.keys()
    assert {lines[number].split(" ")[0] for number in keys} == {key for _, key, _ in settings}
    explained = {"host"}  # `port` stands right below it, in one sentence with it
    for number in keys:
        before = lines[number - 1]
        assert before.startswith("# ") or before.split(" ")[0] in explained | {"tls_certificate"}


def test_the_example_is_a_working_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE.read_text())
    loaded = config.load(path, {})
    assert loaded.base_url == "https://st-olaf.example"
    assert loaded.media_folder == tmp_path / "media"


def test_the_environment_wins_over_the_file() -> None:
    loaded = config.parse(
        {"instance": {"domain": "a.example"}, "server": {"port": 1}},
        {
            "FEDIDOC_INSTANCE_DOMAIN": "b.example",
            "FEDIDOC_SERVER_PORT": "8443",
            "FEDIDOC_FEDERATION_ALLOW_PLAIN_HTTP": "true",
            "FEDIDOC_FEDERATION_PRIVATE_NETWORKS": "10.0.0.0/8, 192.168.0.0/16",
            "FEDIDOC_SECRETS_KEY": "k",
        },
        Path(),
    )
    assert loaded.domain == "b.example"
    assert loaded.server.port == 8443
    assert loaded.federation.allow_plain_http is True
    assert loaded.federation.private_networks == ("10.0.0.0/8", "192.168.0.0/16")
    assert "k" not in repr(loaded.secrets).removeprefix("Secrets")


@pytest.mark.parametrize(
    ("domain", "plain", "base"),
    [
        ("127.0.0.1:8401", True, "http://127.0.0.1:8401"),
        ("hospital.localhost:8401", True, "http://hospital.localhost:8401"),
        ("[::1]:8401", True, "http://[::1]:8401"),
        ("127.0.0.1:8401", False, "https://127.0.0.1:8401"),
        # Plain HTTP is for loopback alone, whatever the setting says.
        ("st-olaf.example", True, "https://st-olaf.example"),
        ("localhost.example", True, "https://localhost.example"),
        ("10.0.0.1", True, "https://10.0.0.1"),
    ],
)
def test_plain_http_is_for_loopback_only(domain: str, plain: bool, base: str) -> None:
    made = make(instance={"domain": domain}, federation={"allow_plain_http": plain})
    assert made.base_url == base


def test_a_relative_database_lies_beside_the_configuration() -> None:
    assert make().database_url == "sqlite:////srv/fedidoc/fedidoc.db"
    assert make(database={"url": "sqlite:////x.db"}).database_url == "sqlite:////x.db"
    url = "postgresql://fedidoc@db/fedidoc"
    assert make(database={"url": url}).database_url == url


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"instance": {}}, r"\[instance\] domain is missing"),
    ({"instance": {"domain": "https://a.example"}}, "domain"),
    ({"instance": {"domain": "A.example"}}, "domain"),
    ({"instance": {"domain": "a.example/"}}, "domain"),
    ({"instance": {"domain": "a.example\n"}}, "domain"),
    ({"instance": {"domain": "-a.example"}}, "domain"),
    ({"instance": {"domain": "a.example", "acent": "#000000"}}, "acent"),
    ({"instance": {"domain": "a.example", "accent": "red"}}, "accent"),
    ({"instance": {"domain": "a.example", "kind": "club"}}, "kind"),
    ({"instances": {"domain": "a.example"}}, "instances"),
    ({"instance": {"domain": "a.example"}, "server": {"port": 0}}, "port"),
    ({"instance": {"domain": "a.example"}, "server": {"port": "80"}}, "whole number"),
    ({"instance": {"domain": "a.example"}, "server": {"port": True}}, "whole number"),
    ({"instance": {"domain": "a.example"}, "server": {"tls_key": "k"}}, "tls_key"),
    ({"instance": {"domain": "a.example"}, "server": {"trusted_proxies": ["x"]}}, "networks"),
    ({"instance": {"domain": "a.example"}, "server": []}, r"\[server\]"),
    ({"instance": {"domain": "a.example"}, "database": {"url": "mysql://x"}}, "url"),
    ({"instance": {"domain": "a.example"}, "federation": {"concurrency": 0}}, "concurrency"),
    ({"instance": {"domain": "a.example"}, "federation": {"allow_plain_http": 1}}, "true or false"),
    (
        {"instance": {"domain": "a.example"}, "federation": {"private_networks": ["10.0.0.1/8"]}},
        "n",
    ),
    ({"instance": {"domain": "a.example"}, "credentials": {"valid_days": 396}}, "13 months"),
    ({"instance": {"domain": "a.example"}, "membership": {"session_days": 0}}, "session_days"),
    ({"instance": {"domain": "a.example"}, "membership": {"roles": "physician"}}, "list"),
    ({"instance": {"domain": "a.example"}, "log": {"level": "loud"}}, "level"),
    ({"instance": {"domain": "a.example"}, "media": {"max_bytes": 0}}, "max_bytes"),
    *(
        ({"instance": {"domain": "a.example"}, "evidence": rules}, words)
        for rules, words in [
            ({"email_domains": ["stolaf.example"]}, "mail server"),
            ({"email_link_hours": 0}, "email_link_hours"),
            ({"document_max_bytes": (1 << 26) + 1}, "document_max_bytes"),
            ({"vouches_needed": -1}, "vouches_needed"),
        ]
    ),
    *(
        ({"instance": {"domain": "a.example"}, "mail": mail}, words)
        for mail, words in [
            ({"host": "mail.example"}, "sender go together"),
            ({"sender": "a@b.example"}, "sender go together"),
            ({"host": "mail.example:25", "sender": "a@b.example"}, "without a port"),
            ({"host": "mail.example", "sender": "A <a@b.example>"}, "bare"),
            ({"host": "mail.example", "sender": "a@b.example\nBcc: c"}, "bare"),
            ({"host": "mail.example", "sender": "a@b.example", "security": "none"}, "this machine"),
            ({"host": "mail.example", "sender": "a@b.example", "security": "ssl"}, "starttls"),
            ({"host": "mail.example", "sender": "a@b.example", "username": "u"}, "password"),
            ({"port": 0}, "port"),
        ]
    ),
]


@pytest.mark.parametrize(("raw", "words"), WRONG)
def test_what_is_wrong_is_named(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.parse(raw, {}, Path())


@pytest.mark.parametrize(
    ("name", "value"),
    [("FEDIDOC_SERVER_PORT", "80x"), ("FEDIDOC_FEDERATION_ALLOW_PLAIN_HTTP", "maybe")],
)
def test_a_wrong_variable_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        config.parse({"instance": {"domain": "a.example"}}, {name: value}, Path())


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fedidoc init"):
        config.load(tmp_path / "none.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("[instance\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(broken, {})
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(broken, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path, {})


@pytest.mark.parametrize(
    ("authority", "loopback"),
    [
        ("localhost", True),
        ("localhost:80", True),
        ("a.localhost", True),
        ("127.8.9.1:8080", True),
        ("[::1]:80", True),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(authority: str, loopback: bool) -> None:
    assert config.is_loopback(authority) is loopback
