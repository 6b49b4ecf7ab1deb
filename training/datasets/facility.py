"""Which facility an image shows, as its file name tells."""

import re
from pathlib import Path

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_COMPACT_DATE = f"{_YEAR}{_MONTH}{_DAY}"
_PARTED_DATE = f"{_YEAR}(?P<gap>[-_.]){_MONTH}(?P=gap){_DAY}"
_VENDOR_DATE = r"\d\d(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d"  # 18OCT05, as in WorldView deliveries
_HOUR, _SIXTIETH = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_SECONDS = rf"[T_-]?{_HOUR}[-:_.]?{_SIXTIETH}[-:_.]?{_SIXTIETH}(?:[.,]\d+)?"
_TIME = rf"(?:{_SECONDS}|T{_HOUR}[-:_.]?{_SIXTIETH})Z?"
_MOMENT = re.compile(
    rf"(?<!\d)(?:{_COMPACT_DATE}(?:{_TIME}|{_HOUR}{_SIXTIETH}Z?)?|(?:{_PARTED_DATE}|{_VENDOR_DATE})(?:{_TIME})?)(?!\d)",
    re.IGNORECASE,
)
_SEPARATORS = "_-. "
_NUMBERS = re.compile(r"(?:[_\-. ]+(?:[A-Za-z]{0,2}\d+)+)+$")  # P001, R1C2, 003: of one picture, cut into files
_PRODUCT = r"(?<![A-Za-z])(?:PAN|MUL|MS|PS|RGB|TCI|visual|analytic|ortho|copy)(?![A-Za-z\d])"
# _tile1, _row1_col2, (1), _PAN: parts, products and copies of one picture.
_PARTS = re.compile(rf"(?:[_\-. (]*(?:[A-Za-z]*\d+(?!\d)|{_PRODUCT})\)?)+$", re.IGNORECASE)
_CUT = "/"  # in no file name


def facility_of(image: Path) -> str:
    """The facility that an image shows: its file name without the date and time, wherever in it they stand.

    Numbers of parts after a date go too: two parts of a picture may show one yard. Where something stands before the
    date, so do words with a number behind a date (tile1, row1_col2), words of products (PAN, RGB) and copies. Where
    nothing else is in the name, it is that of the folder.

    Law: of the images of one folder, those whose names differ only in date and time are of one facility; a name without
    a date is its own.
    """
    parts = _MOMENT.sub(_CUT, image.stem).split(_CUT)
    if len(parts) == 1:
        return image.stem
    is_named = any(part.strip(_SEPARATORS) for part in parts[:-1])
    parts[-1] = (_PARTS if is_named else _NUMBERS).sub("", parts[-1])
    kept = (part.strip(_SEPARATORS) for part in parts)
    return "_".join(part for part in kept if part) or image.absolute().parent.name
