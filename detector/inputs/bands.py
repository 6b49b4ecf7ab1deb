"""Which bands of a file are the picture: one (pan) or three (red, green, blue)."""

import re
from collections.abc import Sequence

from detector.inputs.masks import mask_bands

COLOURS = ("red", "green", "blue")
CURE = "State them in a YAML file, `bands: [3, 2, 1]` or `bands: [1]`, and give it with --settings."

# Bands in files that name none: one-based red, green, blue by the number of bands.
KNOWN_ORDERS = {
    3: (1, 2, 3),
    4: (1, 2, 3),  # red, green, blue, near infrared
    8: (5, 3, 2),  # WorldView: coastal, blue, green, yellow, red, red edge, two near infrared
}


class BandsUnclear(Exception):
    """The bands of the picture cannot be told; the message says why, `cure` what to do."""

    def __init__(self, reason: str, cure: str = CURE) -> None:
        super().__init__(reason)
        self.cure = cure


def choose_bands(
    interpretation: Sequence[str], descriptions: Sequence[str | None], override: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """One-based indexes of the band(s) to use.

    In order: `override`; band descriptions; colour interpretation; a single band as pan; the known orders. Names
    go first, since writers of TIFF call the first three of 8 bit red, green and blue whatever they hold.

    Args:
        interpretation: GDAL's colour interpretation of each band ("red", "gray", "alpha", "undefined", ...).
        descriptions: name of each band, or None.
        override: the user's choice.

    Raises:
        BandsUnclear: none of these gives the bands.
    """
    count = len(interpretation)
    if override is not None:
        if len(override) not in {1, 3} or not all(1 <= band <= count for band in override):
            asked = ",".join(map(str, override))
            raise BandsUnclear(f"bands {asked} asked for, but it has {count}; one or three are needed")
        return override
    if "palette" in interpretation:
        raise BandsUnclear("its colours are a palette", "Expand it with gdal_translate -expand rgb.")
    for names in ([_colour(text) for text in descriptions], list(interpretation)):
        if all(names.count(colour) == 1 for colour in COLOURS):
            return tuple(names.index(colour) + 1 for colour in COLOURS)
    masks = mask_bands(descriptions)
    picture = [band for band in range(1, count + 1) if interpretation[band - 1] != "alpha" and band not in masks]
    if len(picture) == 1:
        return (picture[0],)
    if len(picture) not in KNOWN_ORDERS:
        raise BandsUnclear(f"{len(picture)} bands, neither pan nor known as red, green and blue")
    return tuple(picture[band - 1] for band in KNOWN_ORDERS[len(picture)])


def _colour(description: str | None) -> str:
    """The colour that a band's description names, or an empty string ("red edge" is none)."""
    letters = re.sub(r"[^a-z]", "", (description or "").lower()).removeprefix("band").removesuffix("band")
    return {"r": "red", "g": "green", "b": "blue"}.get(letters, letters if letters in COLOURS else "")
