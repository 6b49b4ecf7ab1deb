"""What is drawn of each date's count of one group: once, whatever it is compared with."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from detector.counting.combine import agreeing, combine_repeats
from detector.counting.inflation import LEVELS
from detector.counting.interval import Estimate, ends, from_draws, from_many_draws, insured
from detector.counting.posterior import Draws, Joint, Scenes, column_sums, objects_among
from detector.counting.samples import Bools, Floats
from detector.tally.calibration_file import Counter
from detector.tally.footprints import Footprints
from detector.tally.sightings import Part, Sighting, View

_CUT_DRAWS = 300  # for counts in another date's footprint
_AT_ONCE = 20  # sightings: what is drawn of them fits into a processor's cache


@dataclass(frozen=True)
class _Drawn:
    """A sighting's count, and what was drawn of the views that it is made of.

    Attributes:
        estimate: the count.
        used: which of the sighting's views, the best one first: those that are inside of the calibration as it is, and
            agree with it.
        objects: what was drawn of these.
    """

    estimate: Estimate
    used: tuple[int, ...]
    objects: "tuple[_Objects, ...]"

    @property
    def is_plain(self) -> bool:
        """Of one view, inside the domain of the calibration."""
        return len(self.objects) == 1 and not self.objects[0].outside


@dataclass(frozen=True)
class _Objects:
    """What was drawn of one view.

    Attributes:
        used: (V,) detections of the view that can be of the group.
        draws: of these, the first few.
        found: (n,) true ones among them.
        at_z: (n,) standard normals of its cuts.
        outside: in what the view is unlike those of the calibration.
    """

    used: Bools
    draws: Draws
    found: Floats
    at_z: Floats
    outside: tuple[str, ...]


@dataclass
class SceneNormals:
    """Standard normals that all counts of a scene share, drawn once for all groups; kept for one facility at a time."""

    _known: dict[tuple[str, int, int], Floats] = field(default_factory=dict)
    _at: str = ""

    def of(self, sighting: Sighting, n_draws: int, seed: int) -> Floats:
        """(n_draws, 2 + K) numbers that depend on the minute of acquisition and on the seed alone.

        Facilities seen at once are seen in one scene. Not on the scene's name or its cut into files, so that neither
        moves a count. Where files tell no hour, all scenes of a day are taken for one: their sum is then wider.
        """
        if sighting.facility_id != self._at:
            self._at = sighting.facility_id
            self._known.clear()
        minute = f"{sighting.views[0].acquired:%Y-%m-%dT%H:%M}"
        key = minute, n_draws, seed
        if key not in self._known:
            rng = _rng(seed, f"scene|{minute}")
            self._known[key] = Joint.scene_normals(n_draws, rng)
        return self._known[key]


@dataclass
class Tally:
    """Estimates of one group, each made once: equal sightings, equal counts, whatever else is in the run.

    Attributes:
        group, classes: its name and members.
        counter: how its detections become counts.
        n_draws, seed: predictive draws.
        repeat_rho: correlation of the errors of two scenes of the same cars.
        on_rail: whether all its members stand on tracks.
        footprints, scenes: may be shared by the groups of a run.
    """

    group: str
    classes: tuple[str, ...]
    counter: Counter
    n_draws: int
    seed: int
    repeat_rho: float
    on_rail: bool
    footprints: Footprints = field(default_factory=Footprints)
    scenes: SceneNormals = field(default_factory=SceneNormals)
    _known: dict[date, _Drawn] = field(default_factory=dict)
    _at: str = ""
    _drawn_scenes: Scenes | None = None

    def rng(self, sighting: Sighting, purpose: str = "") -> np.random.Generator:
        """Random numbers that depend on the sighting, the group, the purpose and the seed alone."""
        return _rng(self.seed, f"{sighting.facility_id}|{sighting.date}|{self.group}|{purpose}")

    def look_at(self, sightings: Sequence[Sighting]) -> None:
        """Make the estimates of several sightings of one facility together, which is sooner than one by one.

        Kept for one facility at a time, since only its own dates are compared.
        """
        if sightings and sightings[0].facility_id != self._at:
            self._at = sightings[0].facility_id
            self._known.clear()
        new = [sighting for sighting in sightings if sighting.date not in self._known]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            self._known.update(zip((sighting.date for sighting in some), self._draw(some), strict=True))

    def whole(self, sighting: Sighting) -> Estimate:
        """The count of all that is visible."""
        return self._drawn(sighting).estimate

    def wholes(self, sightings: Sequence[Sighting]) -> Floats:
        """(S, 3) the count of all that is visible at each, and its 95 % interval."""
        self.look_at(sightings)
        return _ends_of([self._known[sighting.date].estimate for sighting in sightings])

    def cuts(self, sightings: Sequence[Sighting], parts: Sequence[tuple[Part, ...]]) -> Floats:
        """(S, 3) the count of what stands in parts of the views of each, and its 95 % interval.

        Law: from the same draws as `whole`, so that its draws are never more, and the same where nothing is cut.
        """
        self.look_at(sightings)
        drawn = [self._known[sighting.date] for sighting in sightings]
        out = np.empty((len(drawn), 3))
        plain = np.array([one.is_plain for one in drawn], dtype=bool)
        if plain.any():
            pairs = [
                (one.objects[0], part[one.used[0]]) for one, part in zip(drawn, parts, strict=True) if one.is_plain
            ]
            there = np.array([column_sums(one.draws.is_true[part.inside[one.used]]) for one, part in pairs])
            found, missed, at_z = (
                np.array(rows)
                for rows in zip(*((one.found, one.draws.missed, one.at_z) for one, _ in pairs), strict=True)
            )
            kept = np.array([[part.kept] for _, part in pairs])
            count, low, high = ends(objects_among(there, found, missed, kept, at_z), self.counter.inflation)
            level = LEVELS.index(0.95)
            out[plain] = np.column_stack([count, low[:, level], high[:, level]])
        others = np.flatnonzero(~plain).tolist()
        out[others] = _ends_of([self._cut(drawn[i], parts[i]) for i in others])
        return out

    def outside(self, sighting: Sighting) -> tuple[str, ...]:
        """In what its views are unlike those of the calibration."""
        return tuple(name for one in self._drawn(sighting).objects for name in one.outside)

    def n_left_out(self, sighting: Sighting) -> int:
        """Views of the same minute that take no part: they show too different a number, or are outside."""
        return len(sighting.views) - len(self._drawn(sighting).used)

    def _drawn(self, sighting: Sighting) -> _Drawn:
        self.look_at([sighting])
        return self._known[sighting.date]

    def _cut(self, drawn: _Drawn, parts: tuple[Part, ...]) -> Estimate:
        estimates = []
        for one, part in zip(drawn.objects, [parts[i] for i in drawn.used], strict=True):
            plain = from_draws(one.draws.among(part.inside[one.used], part.kept, one.at_z), self.counter.inflation)
            estimates.append(self._told(plain, is_outside=bool(one.outside)))
        return combine_repeats(estimates, self.repeat_rho)

    def _draw(self, sightings: Sequence[Sighting]) -> list[_Drawn]:
        if self._drawn_scenes is None:
            self._drawn_scenes = Scenes.of(self.counter.model, Joint.normals(self.n_draws, self._shared("parameters")))
        few = min(self.n_draws, _CUT_DRAWS)
        samples, scenes, rngs, at_z = [], [], [], []
        for sighting in sightings:
            rng, cut_rng, scene = (
                self.rng(sighting),
                self.rng(sighting, "cut"),
                self.scenes.of(sighting, self.n_draws, self.seed),
            )
            for view in sighting.views:
                samples.append(view.sample(self.classes))
                scenes.append(scene)
                rngs.append(rng)
                at_z.append(cut_rng.standard_normal(few))
        draws = self._drawn_scenes.draw(samples, scenes, rngs)
        views = [view for sighting in sightings for view in sighting.views]
        counts = from_many_draws(np.array([each.counts for each in draws]), self.counter.inflation)
        found = []
        outsides = self._outsides(views)
        for view, drawn, plain, normals, outside in zip(views, draws, counts, at_z, outsides, strict=True):
            first = drawn.first(few)
            estimate = self._told(plain, is_outside=bool(outside))
            found.append((estimate, _Objects(view.may_be(self.classes), first, first.found, normals, outside)))
        each = iter(found)
        return [self._of_date([next(each) for _ in sighting.views]) for sighting in sightings]

    def _outsides(self, views: Sequence[View]) -> list[tuple[str, ...]]:
        """In what each is unlike those of the calibration."""
        domain = self.counter.domain
        if domain is None or not domain.is_beyond(np.vstack([view.looks for view in views])).any():
            return [()] * len(views)
        return [view.outside(domain) for view in views]

    def _of_date(self, views: Sequence[tuple[Estimate, _Objects]]) -> _Drawn:
        """The count of views of the same minute, the best one first: of those that say the same.

        A view outside of the calibration says nothing beside a best one inside.
        """
        best_outside = views[0][1].outside
        able = [i for i, (_, objects) in enumerate(views) if best_outside or not objects.outside]
        agree = [able[i] for i in agreeing([views[i][0] for i in able], self.repeat_rho)]
        estimates, objects = zip(*(views[i] for i in agree), strict=True)
        combined = combine_repeats(estimates, self.repeat_rho)
        return _Drawn(combined, tuple(agree), tuple(objects))

    def _told(self, plain: Estimate, *, is_outside: bool) -> Estimate:
        """The count of one view; with the insurance factor where the view is outside of the calibration."""
        return insured(plain, self._shared("insured")) if is_outside else plain

    def _shared(self, what: str) -> np.random.Generator:
        """Random numbers that depend on what is shared and on the seed alone."""
        return _rng(self.seed, what)


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _ends_of(estimates: Sequence[Estimate]) -> Floats:
    """(S, 3) counts and their 95 % intervals."""
    rows = [(estimate.count, estimate.low[0.95], estimate.high[0.95]) for estimate in estimates]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)
