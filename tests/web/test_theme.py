"""Whatever colour an operator chooses, what stands in it or on it can be read (WCAG 2.2, 1.4.3)."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fedidoc.web import theme

CSS = (theme.__file__ or "").replace("theme.py", "static/fedidoc.css")
COLOURS = st.tuples(*[st.integers(0, 255)] * 3).map(theme.write_colour)


def schemes(accent: str) -> list[dict[str, str]]:
    """The custom properties for light and for dark."""
    light, _, dark = theme.stylesheet(accent).partition("@media")
    assert "prefers-color-scheme:dark" in dark
    return [dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", part)) for part in (light, dark)]


def ratio(one: str, other: str) -> float:
    return theme.contrast(theme.read_colour(one), theme.read_colour(other))


@given(COLOURS)
def test_every_accent_is_readable_in_light_and_dark(accent: str) -> None:
    for grounds, values in zip(
        (theme.LIGHT_GROUNDS, theme.DARK_GROUNDS), schemes(accent), strict=True
    ):
        assert ratio(values["accent-ink"], values["accent"]) >= 4.5
        assert ratio(values["accent-ink"], values["accent-deep"]) >= 4.5
        for ground in (*grounds, values["accent-soft"]):
            assert ratio(values["accent-text"], ground) >= 4.5, ground


def test_contrast_is_that_of_the_standard() -> None:
    assert round(ratio("#000000", "#ffffff"), 2) == 21
    assert round(ratio("#777777", "#ffffff"), 2) == 4.48
    assert ratio("#123456", "#123456") == 1


def tokens() -> list[dict[str, str]]:
    with open(CSS, encoding="utf-8") as file:
        css = file.read()
    light, dark = re.findall(r":root \{(.*?)\n *\}", css, re.S)[:2]
    return [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part)) for part in (light, dark)]


def test_the_grounds_here_are_those_of_the_stylesheet() -> None:
    light, dark = tokens()
    assert tuple(light[name] for name in ("paper", "sheet", "sunk")) == theme.LIGHT_GROUNDS
    assert tuple(dark[name] for name in ("paper", "sheet", "sunk")) == theme.DARK_GROUNDS


def test_inks_of_the_stylesheet_are_readable_on_every_ground() -> None:
    for values in tokens():
        for ground in ("paper", "sheet", "sunk"):
            for ink in ("ink", "ink-2", "good", "crimson", "amber"):
                assert ratio(values[ink], values[ground]) >= 4.5, (ink, ground)
            # Borders of fields tell where to write (1.4.11).
            assert ratio(values["edge"], values[ground]) >= 3, ground
        for sign in ("amber", "crimson"):
            for ink in (sign, "ink"):
                assert ratio(values[ink], values[f"{sign}-ground"]) >= 4.5, (ink, sign)


def test_the_stylesheet_is_small_and_asks_nobody_else() -> None:
    with open(CSS, encoding="utf-8") as file:
        css = file.read()
    assert len(css.encode()) < 30_000
    assert "url(" not in css
    assert "@import" not in css
