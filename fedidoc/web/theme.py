"""The instance's own colour, made readable: pure arithmetic of WCAG 2.2 contrast.

An operator chooses one colour. From it come, for light and dark alike: a ground for buttons with
the ink that is readable on it, and a tint of it that is readable as text on every page ground.
"""

from __future__ import annotations

import hashlib

Colour = tuple[int, int, int]

# The grounds of fedidoc.css that accented text stands on: paper, sheet, sunk.
LIGHT_GROUNDS = ("#faf8f3", "#ffffff", "#f1ede4")
DARK_GROUNDS = ("#151412", "#1d1b18", "#26231f")
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
# A little above 4.5:1, so that the accent's own pale ground behind a chosen item still passes.
_WANTED = 5.2


def read_colour(text: str) -> Colour:
    """`#rrggbb` as numbers."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def write_colour(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.2, 0 to 1)."""

    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = colour
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mix(colour: Colour, into: Colour, share: float) -> Colour:
    """`share` (0 to 1) of `into` in `colour`."""
    red, green, blue = (round(c + (i - c) * share) for c, i in zip(colour, into, strict=True))
    return red, green, blue


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever reads better; one of them always reaches 4.5:1."""
    return max(_WHITE, _BLACK, key=lambda ink: contrast(ink, ground))


def readable(colour: Colour, grounds: tuple[str, ...], towards: Colour) -> Colour:
    """`colour`, moved towards black or white until it reads on every ground."""
    for step in range(21):
        tried = mix(colour, towards, step / 20)
        if all(contrast(tried, read_colour(ground)) >= _WANTED for ground in grounds):
            return tried
    return towards


def stylesheet(accent: str) -> str:
    """The custom properties that fedidoc.css takes its accent from."""
    colour = read_colour(accent)
    light = _scheme(readable(colour, LIGHT_GROUNDS, _BLACK), colour, _WHITE, 0.91)
    # A dark accent would vanish as a button on dark paper, so the readable tint is the ground.
    tint = readable(colour, DARK_GROUNDS, _WHITE)
    dark = _scheme(tint, tint, read_colour(DARK_GROUNDS[0]), 0.85)
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _scheme(text: Colour, ground: Colour, paper: Colour, softness: float) -> str:
    ink = ink_on(ground)
    soft = mix(text, paper, softness)
    # Away from the ink, so that a button under the pointer reads better, not worse.
    deep = mix(ground, _WHITE if ink == _BLACK else _BLACK, 0.18)
    values = {
        "accent": ground,
        "accent-ink": ink,
        "accent-deep": deep,
        "accent-text": text,
        "accent-soft": soft,
    }
    return "".join(f"--{name}:{write_colour(value)};" for name, value in values.items())


def version(text: str | bytes) -> str:
    """A short digest for a URL that changes when the file does."""
    raw = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(raw).hexdigest()[:10]
