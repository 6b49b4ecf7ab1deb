"""Class names as the network numbers them, and which class a label of a public data set means."""

from functools import lru_cache

from detector.config import class_table

IGNORE = "ignore"


@lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """Class names in the order of the network's outputs."""
    return class_table().names


def class_index(name: str) -> int:
    """Number of the network output of class `name`.

    Raises:
        ValueError: no class has this name.
    """
    names = class_names()
    if name not in names:
        raise ValueError(f"class must be one of {', '.join(names)}. Received: {name!r}.")
    return names.index(name)


def class_of_xview(type_id: int) -> str | None:
    """Our class for a `type_id` of xView: a class name, `IGNORE` (neither right nor wrong), or None (other things)."""
    return class_table().xview.get(type_id)
