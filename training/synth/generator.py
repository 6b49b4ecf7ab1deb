"""What made a folder of scenes: a profile and the renderer's source. Scenes of two generators are never mixed."""

import hashlib
import json
from pathlib import Path

from detector.errors import UsageError
from detector.hashing import sha256_of
from detector.store import write_text
from training.synth.profile import Profile

STAMP = "generator.json"


def generator_digest(profile: Profile) -> str:
    """SHA-256 of the profile and the renderer's source."""
    source = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256("".join([profile.digest(), *(sha256_of(path) for path in source)]).encode()).hexdigest()


def claim(folder: Path, profile: Profile) -> None:
    """Note in a folder what makes its scenes.

    Raises:
        UsageError: it holds scenes that another profile or another version of the renderer made.
    """
    stamp = folder / STAMP
    mine = json.dumps({"profile": profile.name, "sha256": generator_digest(profile)}) + "\n"
    if any(folder.glob("*.tif")) and not (stamp.exists() and stamp.read_text() == mine):
        raise UsageError(
            f"{folder}: holds scenes of another profile, or of another version of the renderer.",
            "Delete it to render it anew, or give another folder.",
        )
    write_text(stamp, mine)
