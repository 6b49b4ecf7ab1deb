"""Which facility an image shows, as its file name tells."""

import re
from pathlib import Path

_DATE = r"(?:19|20)\d\d(?P<gap>[-_.]?)(?:0[1-9]|1[0-2])(?P=gap)(?:0[1-9]|[12]\d|3[01])"
_VENDOR_DATE = r"\d\d(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d"  # 18OCT05, as in WorldView deliveries
_HOUR, _SIXTIETH = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_TIME = rf"(?:[T_-]?{_HOUR}[-:]?{_SIXTIETH}[-:]?{_SIXTIETH}|T{_HOUR}[-:]?{_SIXTIETH})Z?"
_MOMENT = re.compile(rf"(?<!\d)(?:{_DATE}|{_VENDOR_DATE})(?:{_TIME})?(?!\d)", re.IGNORECASE)
_SEPARATORS = "_-. "
_PART = re.compile(r"(?:[_\-. ]+(?:[A-Za-z]{0,2}\d+)+)+$")  # P001, R1C2, 003: of one picture, cut into files
_CUT = "/"  # in no file name


def facility_of(image: Path) -> str:
    """The facility that an image shows: its file name without the date and time, wherever in it they stand.

    Numbers of parts after a date go too: two parts of a picture may show one yard. Where nothing else is in the name,
    it is that of the folder.

    Law: of the images of one folder, those whose names differ only in date and time are of one facility; a name without
    a date is its own.
    """
    parts = _MOMENT.sub(_CUT, image.stem).split(_CUT)
    if len(parts) == 1:
        return image.stem
    parts[-1] = _PART.sub("", parts[-1])
    kept = (part.strip(_SEPARATORS) for part in parts)
    return "_".join(part for part in kept if part) or image.absolute().parent.name
