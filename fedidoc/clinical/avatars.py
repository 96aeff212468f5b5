"""A pseudonym's picture: a pattern made of its public key, the same everywhere. Pure.

Nobody chooses it, so that it says nothing of anybody: half of a five by five pattern, mirrored, in
one of the colours that stand out on light and on dark.
"""

from __future__ import annotations

import colorsys
import hashlib
import io

from PIL import Image

SIDE = 240
_CELLS = 5


def draw(key: bytes) -> bytes:
    """A square PNG of `SIDE` pixels for a public key, whatever its encoding."""
    digest = hashlib.sha256(b"fedidoc avatar\0" + key).digest()
    red, green, blue = colorsys.hls_to_rgb(digest[0] / 256, 0.45, 0.55)
    ink = (round(red * 255), round(green * 255), round(blue * 255))
    small = Image.new("RGB", (_CELLS + 1, _CELLS + 1), (240, 240, 236))
    bits = int.from_bytes(digest[1:])
    for x in range((_CELLS + 1) // 2):
        for y in range(_CELLS):
            bits, odd = divmod(bits, 2)
            if odd:
                small.putpixel((x, y), ink)
                small.putpixel((_CELLS - 1 - x, y), ink)
    cell = SIDE // (_CELLS + 1)
    picture = Image.new("RGB", (SIDE, SIDE), (240, 240, 236))
    pattern = small.crop((0, 0, _CELLS, _CELLS)).resize(
        (_CELLS * cell, _CELLS * cell), Image.Resampling.NEAREST
    )
    picture.paste(pattern, (cell // 2, cell // 2))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
