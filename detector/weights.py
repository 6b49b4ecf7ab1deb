"""Weights on disk: what a detector is, and the proof that its files are the ones described."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from detector.config import ClassTable, Settings, class_table, first_fault
from detector.errors import WeightsError
from detector.hashing import sha256_of
from detector.resources import resource
from detector.store import replacing, write_text

FileKind = Literal["onnx", "safetensors", "int8.xml", "int8.bin", "second.onnx"]
_QUANTISE = "Run `python -m training.quantise`, or set another precision."
_RESTORE = "Restore the file from the release, or export the weights again with `make export`."


@dataclass(frozen=True)
class Judged:
    """What N boxes are taken for.

    Attributes:
        best: (N,) index of the likeliest class.
        family: (N,) index of its merge family, inside which boxes compete.
        related: (N, C) which classes are of that family.
        score: (N,) probability that something of that family stands there, whatever its class.
    """

    best: NDArray[np.int64]
    family: NDArray[np.int64]
    related: NDArray[np.bool_]
    score: NDArray[np.float64]


class ModelSpec(Settings):
    """The sidecar `weights/<name>.json`: how to feed the network, read its outputs and check its files.

    Attributes:
        name: name of the weights; the files are `<name>.<kind>` beside the sidecar: the network (`onnx`), the state
            to fine-tune from (`safetensors`), the network in 8 bit (`int8.xml`, `int8.bin`), the second stage
            (`second.onnx`).
        architecture: name of the network's definition, for fine-tuning.
        definition: its layers, in Ultralytics' words, where Ultralytics ships no definition of that name.
        classes: class names in the order of the network's class outputs.
        imgsz: edge of a square tile, in model pixels.
        gsd_m: ground sampling distance of a model pixel, in metres.
        strides: strides of the head's levels, in the order in which their anchors are laid out.
        reg_max: bins of the distance distribution on each side of a box.
        score_floor: detections below this score are never kept.
        operating_threshold: by merge family, detections at or above this score are marked `detected`.
        naming: by class, the factor of its score where a box is named within a group; 1 where none is given.
        sha256: SHA-256 of each file, by kind.
        training: what they were trained on and measured at, free form.
    """

    name: str = Field(min_length=1)
    architecture: str
    definition: dict[str, Any] | None = None
    classes: tuple[str, ...] = Field(min_length=1)
    imgsz: int = Field(ge=64, multiple_of=32)
    gsd_m: float = Field(gt=0)
    strides: tuple[int, ...] = (8, 16, 32)
    reg_max: int = Field(ge=1)
    score_floor: float = Field(gt=0, lt=1)
    operating_threshold: dict[str, float]
    naming: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    sha256: dict[FileKind, str]
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "onnx" not in self.sha256:
            raise ValueError("sha256 lacks the entry 'onnx'")
        for family, threshold in self.operating_threshold.items():
            if not self.score_floor <= threshold < 1:
                raise ValueError(
                    f"operating_threshold of {family} is {threshold}, not between score_floor {self.score_floor} and 1"
                )
        if unknown := set(self.naming) - set(self.classes):
            raise ValueError(f"naming has classes that the weights do not know: {sorted(unknown)}")
        return self

    @property
    def identity(self) -> str:
        """What tells weights from others in ledgers, calibrations and reports: the SHA-256 of the ONNX file.

        With a second stage, that of the hexadecimal hashes of both networks, joined in order.
        """
        first, second = self.sha256["onnx"], self.sha256.get("second.onnx")
        return first if second is None else sha256(f"{first}{second}".encode()).hexdigest()

    @property
    def n_classes(self) -> int:
        """Number of class outputs."""
        return len(self.classes)

    def families(self, table: ClassTable) -> tuple[int, ...]:
        """Merge family of each class output, as an index into `table.families`."""
        families = list(table.families)
        return tuple(families.index(table.family_of(name)) for name in self.classes)

    def judged(self, scores: NDArray[np.floating], table: ClassTable) -> Judged:
        """What boxes with class probabilities (N, C) are taken for.

        The network gives each class a probability of its own. Where it cannot tell a railcar from a locomotive, that
        something stands there is as sure as where the class is plain: the score is the probability that not all
        classes of the family are wrong, were they independent. What it brings is told in docs/method.md.

        Laws: the score is at least that of the best class, and equal where no other class of its family has any; it
        grows with each of these, lies in [0, 1], and does not depend on other families.
        """
        family = np.array(self.families(table), dtype=np.int64)
        best = np.asarray(scores.argmax(axis=1), dtype=np.int64)
        related = family == family[best][:, None]
        missed = np.prod(1 - scores.astype(np.float64), axis=1, where=related)
        return Judged(best, family[best], related, np.asarray(1 - missed, dtype=np.float64))

    def named(self, scores: NDArray[np.floating], table: ClassTable) -> NDArray[np.int64]:
        """(N,) index of the class that boxes with scores (N, C) are called.

        The likeliest class says of which group a box is. Within the group `naming` decides too: a class that is hard to
        tell from a commoner one would hardly ever be the likeliest. No total of that group depends on it.
        """
        factor = np.array([self.naming.get(name, 1.0) for name in self.classes])
        groups = list(table.groups)
        group = np.array([-1 if (of := table.group_of(name)) is None else groups.index(of) for name in self.classes])
        inside = group[None, :] == group[scores.argmax(axis=1)][:, None]
        return np.asarray(np.where(inside, scores * factor, -1.0).argmax(axis=1), dtype=np.int64)

    def thresholds(self, table: ClassTable) -> tuple[float, ...]:
        """Operating threshold of each class output, that of its family."""
        return tuple(self.operating_threshold[table.family_of(name)] for name in self.classes)


@dataclass(frozen=True)
class Weights:
    """Weights whose ONNX file has been checked against its description."""

    spec: ModelSpec
    folder: Path

    @property
    def digest(self) -> str:
        """See `ModelSpec.identity`."""
        return self.spec.identity

    @property
    def sidecar(self) -> Path:
        """Their description."""
        return self.folder / f"{self.spec.name}.json"

    @property
    def onnx(self) -> Path:
        """The network that every backend runs."""
        return self.folder / f"{self.spec.name}.onnx"

    def on_tiles(self, edge_px: int) -> Self:
        """The same networks on square tiles of another size, in model pixels."""
        return replace(self, spec=self.spec.model_copy(update={"imgsz": edge_px}))

    def safetensors(self) -> Path:
        """The state to fine-tune from, checked.

        Raises:
            WeightsError: the file is missing or is not the one described.
        """
        return self._checked("safetensors", "Choose weights that do.")

    @property
    def has_int8(self) -> bool:
        """Whether they come with a network in 8 bit."""
        return "int8.xml" in self.spec.sha256

    def int8(self) -> Path:
        """The network in 8 bit as OpenVINO reads it, checked; `python -m training.quantise` makes it.

        Raises:
            WeightsError: a file of it is missing or is not the one described.
        """
        self._checked("int8.bin", _QUANTISE)
        return self._checked("int8.xml", _QUANTISE)

    @property
    def has_second(self) -> bool:
        """Whether they come with a second stage."""
        return "second.onnx" in self.spec.sha256

    def second(self) -> Path:
        """The network of the second stage, checked; `python -m training.second` makes it.

        Raises:
            WeightsError: there is none, it is missing or is not the one described.
        """
        return self._checked("second.onnx", "Train one with `python -m training.second`.")

    def networks(self) -> dict[str, bytes]:
        """The files that backends run, by name, as they travel to another machine.

        Raises:
            WeightsError: a file is missing or is not the one described.
        """
        coded = self.int8() if self.has_int8 else None
        files = [self.onnx, *([coded, coded.with_suffix(".bin")] if coded else [])]
        files += [self.second()] if self.has_second else []
        return {file.name: file.read_bytes() for file in files}

    def _checked(self, kind: FileKind, cure: str) -> Path:
        if kind not in self.spec.sha256:
            raise WeightsError(f"{self.spec.name} ships no {kind}.", cure)
        path = self.folder / f"{self.spec.name}.{kind}"
        _check(path, self.spec.sha256[kind])
        return path


def load_weights(source: str | Path | None = None) -> Weights:
    """Load a sidecar and check its ONNX file.

    Args:
        source: path of a `<name>.json` (or of the `.onnx` beside it), or the name of shipped weights; by
            default the only weights shipped.

    Raises:
        WeightsError: not found, malformed, of another class table, or of another SHA-256 than described.
    """
    sidecar = _sidecar(source)
    try:
        spec = ModelSpec.model_validate_json(sidecar.read_bytes())
    except OSError as error:
        raise WeightsError(f"{sidecar}: cannot be read ({error.strerror}).", _RESTORE) from error
    except ValidationError as error:
        raise WeightsError(f"{sidecar}: {first_fault(error)}.", _RESTORE) from error
    if spec.name != sidecar.stem:
        raise WeightsError(f"{sidecar}: describes weights named {spec.name!r}.", "Give both the same name.")
    table = class_table()
    if unknown := set(spec.classes) - set(table.names):
        raise WeightsError(
            f"{sidecar}: classes {sorted(unknown)} are not in configs/classes.yaml.",
            "Use weights trained on this class table.",
        )
    if set(spec.operating_threshold) != set(table.families):
        raise WeightsError(
            f"{sidecar}: operating_threshold is of {sorted(spec.operating_threshold)}, not {sorted(table.families)}.",
            "Give one for each of the families in configs/classes.yaml.",
        )
    weights = Weights(spec=spec, folder=sidecar.parent)
    _check(weights.onnx, spec.sha256["onnx"])
    if weights.has_second:
        weights.second()
    return weights


def install(files: Iterable[Path], spec: ModelSpec, folder: Path) -> None:
    """Put files of weights into a folder, and their description last, since it is what makes them valid."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        with replacing(folder / file.name) as scratch:
            scratch.write_bytes(file.read_bytes())
    write_text(folder / f"{spec.name}.json", spec.model_dump_json(indent=1) + "\n")


def _sidecar(source: str | Path | None) -> Path:
    if source is not None:
        path = Path(source)
        if path.suffix in {".json", ".onnx", ".safetensors"}:
            return path.with_suffix(".json")
    try:
        folder = resource("weights")
    except FileNotFoundError as error:
        raise WeightsError(
            "This installation carries no weights.", "Reinstall railcars, or give --weights PATH."
        ) from error
    shipped = sorted(path.stem for path in folder.glob("*.onnx") if path.suffixes[-2:] != [".second", ".onnx"])
    if source is not None and str(source) not in shipped:
        raise WeightsError(
            f"No weights named {str(source)!r}; shipped: {', '.join(shipped) or 'none'}.",
            "Give one of these names, or the path of a .json sidecar.",
        )
    if source is None and len(shipped) != 1:
        raise WeightsError(
            f"There are {len(shipped)} shipped weights ({', '.join(shipped) or 'none'}) to choose from.",
            "Name one with --weights." if shipped else "Run `make train`, or give --weights PATH.",
        )
    return folder / f"{source if source is not None else shipped[0]}.json"


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise WeightsError(f"{path}: is missing.", _RESTORE)
    if (found := sha256_of(path)) != expected:
        raise WeightsError(f"{path}: SHA-256 is {found}, not {expected} as described beside it.", _RESTORE)
