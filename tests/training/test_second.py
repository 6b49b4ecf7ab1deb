"""The second stage learns from what the first one finds on tiles, goes on where it stopped, and ends up beside it."""

# ruff: noqa: E402 - what needs torch is imported only where it is

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from torch.nn import functional

from detector.backends import RawBoxes
from detector.config import DetectConfig, class_table
from detector.crops import CROP_PX, crops, moved
from detector.detection.planning import Planner
from detector.errors import UsageError
from detector.geometry import corners_from_xywhr, iou_pairs
from detector.hashing import sha256_of
from detector.weights import Weights, load_weights
from tests.detector.fakes import PAINT, PaintBackend, fake_config, fake_weights
from training import second as command
from training.secondstage import weighing
from training.secondstage.candidates import UNSURE, Candidates, retold
from training.secondstage.fit import Fit
from training.secondstage.network import SecondNetwork, loss_of_ends
from training.secondstage.pictures import Looks
from training.secondstage.samples import CandidateTiles, Samples
from training.settings import SecondConfig, second_config
from training.tilefolder import edge_of, picture_of, tiles_of
from training.tiles import TileLabels

EDGE_PX = 128
CLASSES = class_table().names
FIELDS = ("tile", "xywhr", "scores", "target", "truth", "is_on")


def small_config(**changes: object) -> SecondConfig:
    return SecondConfig.model_validate(
        second_config().model_dump() | {"epochs": 2, "looks": 1, "batch": 4, "workers": 0, "pixels": 0.5, **changes}
    )


def write_tile(folder: Path, split: str, name: str, cars: list[tuple[float, float, float, str]], truth: bool) -> None:
    """A grey tile with painted cars (x, y, angle, class) and labels of them, or of none."""
    boxes = np.array([(x, y, 40.0, 9.0, angle) for x, y, angle, _ in cars]).reshape(-1, 5)
    image = Image.new("RGB", (EDGE_PX, EDGE_PX), (100, 100, 100))
    for corners, (*_, kind) in zip(corners_from_xywhr(boxes), cars, strict=True):
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=PAINT[kind])
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True, exist_ok=True)
    image.save(folder / "images" / split / f"{name}.png")
    classes = np.array([CLASSES.index(kind) for *_, kind in cars], dtype=np.int64)
    labels = TileLabels(classes, corners_from_xywhr(boxes)) if truth else TileLabels()
    (folder / "labels" / split / f"{name}.txt").write_text(labels.as_text(EDGE_PX))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles with cars, containers, and things that look like cars and are none."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    for split, many in (("train", 6), ("val", 2)):
        for number in range(many):
            cars = [
                (40.0, 40.0, rng.uniform(0, 3), "railcar"),
                (88.0, 88.0, rng.uniform(0, 3), "container"),
            ]
            write_tile(folder, split, f"yard{number}", cars, truth=True)
        write_tile(folder, split, "road", [(60.0, 60.0, 0.5, "railcar")], truth=False)
    (folder / "data.yaml").write_text(
        json.dumps({"train": "images/train", "val": "images/val", "names": dict(enumerate(CLASSES))})
    )
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return fake_weights(tmp_path / "weights")


@pytest.fixture
def found(cut: Path, weights: Weights) -> Candidates:
    planner = Planner(weights, fake_config().model_copy(update={"tile_px": EDGE_PX}), class_table())
    return Candidates.of(tiles_of(cut, "train"), PaintBackend(weights.spec), planner)


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(weights: Weights, config: DetectConfig) -> PaintBackend:
        del config
        return PaintBackend(weights.spec)

    monkeypatch.setattr(command, "open_backend", opened)


class TestCandidates:
    def test_each_box_knows_what_it_is_on(self, found: Candidates) -> None:
        names = [found.tiles[number].stem for number in found.tile]
        assert sorted(names) == ["road", *sorted(f"yard{n}" for n in range(6) for _ in "ab")]
        for name, target, is_on in zip(names, found.target, found.is_on, strict=True):
            assert (target == len(CLASSES)) == (name == "road")
            assert is_on == (name != "road")
        on = found.is_on
        assert (iou_pairs(found.xywhr[on], found.truth[on]) > 0.6).all()
        assert (found.xywhr[~on] == found.truth[~on]).all()

    def test_what_is_half_on_an_object_teaches_no_class(self, cut: Path, tmp_path: Path, weights: Weights) -> None:
        data = Path(shutil.copytree(cut, tmp_path / "tiles"))
        box = np.array([[60.0, 60.0, 40.0, 9.0, 0.5]])
        beside = moved(box, np.array([[0.0, 0.42, 0.0, 0.0, 0.0]]))  # IoU 0.58 / 1.42
        labels = TileLabels(np.array([0]), corners_from_xywhr(beside))
        (data / "labels" / "train" / "road.txt").write_text(labels.as_text(EDGE_PX))
        planner = Planner(weights, fake_config().model_copy(update={"tile_px": EDGE_PX}), class_table())
        found = Candidates.of([data / "images" / "train" / "road.png"], PaintBackend(weights.spec), planner)
        assert found.target.tolist() == [UNSURE]
        assert found.is_on.tolist() == [True]

    def test_they_are_kept_as_they_are(self, found: Candidates, tmp_path: Path) -> None:
        kept = tmp_path / "train" / "found.npz"
        found.save(kept, "these")
        again = Candidates.load(kept, found.tiles, "these")
        assert again is not None
        assert again.tiles == found.tiles
        for name in FIELDS:
            assert (getattr(again, name) == getattr(found, name)).all()
        assert Candidates.load(kept, found.tiles, "others") is None
        whole = kept.read_bytes()
        for damaged in (b"PK", whole[: len(whole) // 2]):
            kept.write_bytes(damaged)
            with pytest.raises(UsageError, match=r"found\.npz: cannot be read"):
                Candidates.load(kept, found.tiles, "these")

    def test_parts_make_the_whole(self, found: Candidates, cut: Path, weights: Weights) -> None:
        """Looks keep their numbers, whatever part they are in."""
        config, paths = small_config(pixels=1.0), tiles_of(cut, "train") * 2
        planner = Planner(weights, fake_config().model_copy(update={"tile_px": EDGE_PX}), class_table())
        whole, *parts = (
            Candidates.of(paths[some], PaintBackend(weights.spec), planner, Looks(config), some.start or 0)
            for some in (slice(None), slice(0, 3), slice(3, 4), slice(4, None))
        )
        joined = Candidates.joined(parts)
        assert joined.tiles == whole.tiles
        for name in FIELDS:
            assert (getattr(joined, name) == getattr(whole, name)).all()
        assert len(Candidates.joined([found])) == len(found)

    def test_tiles_that_are_none_are_named(self, tmp_path: Path) -> None:
        Image.new("RGB", (20, 30)).save(tmp_path / "oblong.png")
        with pytest.raises(UsageError, match=r"oblong\.png: is 20 x 30 px"):
            picture_of(tmp_path / "oblong.png")
        (tmp_path / "none.png").write_text("nothing")
        for read in (picture_of, edge_of):
            with pytest.raises(UsageError, match=r"none\.png: cannot be read"):
                read(tmp_path / "none.png")


class TestSamples:
    def test_offsets_lead_from_what_is_shown_to_the_object(self, found: Candidates) -> None:
        """Whatever is shifted, turned and mirrored, the painted car lies in the crop where the offsets say."""
        tiles = CandidateTiles(found, small_config(pixels=0.0, jitter=0.2))
        middle = np.array([CROP_PX[0] / 2, CROP_PX[1] / 2])
        looked_at = 0
        for epoch in range(4):
            for place in range(len(tiles)):
                samples = tiles.sampled(epoch, place)
                for row in np.flatnonzero(samples.is_on & (samples.target != UNSURE)):
                    red, _, blue = np.moveaxis(samples.crops[row].astype(int), 2, 0)
                    is_red = CLASSES[samples.target[row]] == "railcar"
                    y, x = np.nonzero((red - blue if is_red else blue - red) > 120)
                    shown = np.array([x.mean() + 0.5, y.mean() + 0.5]) - middle
                    expected = samples.offsets[row, :2] * samples.sides[row, 1]
                    assert shown == pytest.approx(expected, abs=1.2)
                    looked_at += 1
        assert looked_at > 30

    def test_boxes_that_have_left_their_object_teach_less(self, found: Candidates) -> None:
        target, is_on = retold(
            np.array([0, 1, 2, 5]), np.array([True, True, True, False]), np.array([0.9, 0.4, 0.1, 0])
        )
        assert target.tolist() == [0, UNSURE, UNSURE, 5]
        assert is_on.tolist() == [True, True, False, False]
        ends = CandidateTiles(found, small_config(pixels=0.0, jitter=0.0, wrong_ends=1.0))
        still = CandidateTiles(found, small_config(pixels=0.0, jitter=0.0, wrong_ends=0.0))
        one, other = (np.concatenate([tiles.sampled(0, n).sides for n in range(len(tiles))]) for tiles in (ends, still))
        assert (np.abs(one[:, 0] - other[:, 0]) <= 3 * other[:, 1] + 1e-3).all()  # an end lies elsewhere ...
        assert (one[:, 0] / other[:, 0] > 0.45).all()
        assert np.std(one[:, 0] - other[:, 0]) > 3
        assert one[:, 1] == pytest.approx(other[:, 1], rel=1e-5)  # ... and nothing else

    def test_equal_draws_are_equal(self, found: Candidates) -> None:
        one, other = (CandidateTiles(found, small_config(pixels=1.0)) for _ in "ab")
        other.sampled(0, 0)
        for name in Samples.__dataclass_fields__:
            assert (getattr(one.sampled(3, 1), name) == getattr(other.sampled(3, 1), name)).all()
        assert (one.sampled(3, 1).crops != one.sampled(4, 1).crops).any()

    def test_both_stages_see_the_same_pixels(self, cut: Path, weights: Weights) -> None:
        config = small_config(pixels=1.0, jitter=0.0, wrong_ends=0.0)
        shown: list[NDArray[np.uint8]] = []

        class Watching(PaintBackend):
            def stream(self, tiles: Iterable[tuple[int, NDArray[np.uint8]]]) -> Iterator[tuple[int, RawBoxes]]:
                kept = list(tiles)
                shown.extend(image for _, image in kept)
                clean = [(number, picture_of(paths[number])) for number, _ in kept]  # so that all paint is found
                return super().stream(iter(clean))

        paths = tiles_of(cut, "train")[:2] * 3
        planner = Planner(weights, fake_config().model_copy(update={"tile_px": EDGE_PX}), class_table())
        found = Candidates.of(paths, Watching(weights.spec), planner, Looks(config))
        assert len({image.tobytes() for image in shown}) > 2  # a tile is another in another look
        tiles = CandidateTiles(found, config)
        for place, number in enumerate(tiles.numbers):
            boxes = found.xywhr[tiles.rows[place]]
            for crop, expected in zip(tiles.sampled(4, place).crops, crops(shown[number], boxes), strict=True):
                turns = (expected, expected[::-1], expected[::-1, ::-1], expected[:, ::-1])
                assert any((crop == turned).all() for turned in turns)

    def test_looking_changes_nothing(self, found: Candidates) -> None:
        samples = CandidateTiles(found, None).sampled(0, 0)
        rows = found.tile == 0
        assert (samples.sides == found.xywhr[rows, 2:4].astype(np.float32)).all()
        assert (samples.target == found.target[rows]).all()


class TestNetwork:
    def example(self, lengths: list[float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        many = len(lengths)
        seen = torch.randint(0, 256, (many, CROP_PX[1], CROP_PX[0], 3), dtype=torch.uint8)
        sides = torch.tensor([[length, 9.0] for length in lengths])
        return seen, sides, torch.full((many, len(CLASSES)), 0.1)

    def test_it_begins_by_saying_what_the_first_stage_says(self) -> None:
        network = SecondNetwork(len(CLASSES)).eval()
        with torch.no_grad():
            logits, by = network(*self.example([12.0, 47.0, 92.0, 180.0]))
        assert (by.abs() < 1e-5).all()
        assert torch.softmax(logits, 1)[:, :-1].numpy() == pytest.approx(0.1, abs=1e-5)

    def test_an_end_is_where_its_place_is_likeliest(self) -> None:
        """The loss is least, and the offsets are those of the object, where all weight lies on the true ends."""
        network, width = SecondNetwork(len(CLASSES)), 9.0
        left, right = network.places[20], network.places[37]
        sides = torch.tensor([[30.0, width]])
        middle, length = (left + right) / 2, right - left
        longer = torch.log(length / 30.0) * 30.0 / width
        offsets = torch.tensor([[middle / width, 0.0, longer, 0.0, 0.0]])
        certain = torch.full((1, 2, len(network.places)), -30.0)
        certain[0, 0, 20] = certain[0, 1, 37] = 30.0
        assert loss_of_ends(certain, sides, offsets).item() < 1e-3
        assert loss_of_ends(certain.roll(1, 2), sides, offsets).item() > 10
        assert loss_of_ends(torch.zeros_like(certain), sides, offsets).item() == pytest.approx(
            2 * np.log(len(network.places)), rel=1e-5
        )

    def test_ends_outside_of_the_crop_teach_nothing(self) -> None:
        ends = torch.randn(1, 2, len(SecondNetwork(len(CLASSES)).places))
        far = torch.tensor([[0.0, 0.0, float(np.log(200 / 100) * 100 / 9), 0.0, 0.0]])
        assert loss_of_ends(ends, torch.tensor([[100.0, 9.0]]), far).item() == 0


class TestFit:
    def run(self, found: Candidates, out: Path, epochs: int, *, resume: bool = False) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        out.mkdir(exist_ok=True)
        config = small_config(epochs=epochs, warmup_steps=2, lr=0.005, save_minutes=1e-9, wrong_ends=0.0)
        fit = Fit(config, out, torch.device("cpu"), SecondNetwork(len(CLASSES)))
        if resume:
            fit.resume()
        return fit.run(found, found, lambda line: None)

    def test_it_learns_what_is_there(self, found: Candidates, tmp_path: Path) -> None:
        self.run(found, tmp_path / "run", 8)
        rows = np.genfromtxt(tmp_path / "run" / "results.csv", delimiter=",", names=True)
        assert rows["offsets"][-1] < 0.6 * rows["offsets"][0]
        assert rows["held_out_classes"][-1] < rows["held_out_classes"][0]
        assert rows["epoch"].tolist() == list(range(1, 9))

    def test_a_damaged_state_is_named(self, found: Candidates, tmp_path: Path) -> None:
        self.run(found, tmp_path / "run", 1)
        (tmp_path / "run" / "second.pt").write_bytes(b"none")
        with pytest.raises(UsageError, match=r"second\.pt: cannot be read"):
            self.run(found, tmp_path / "run", 2, resume=True)

    def test_stopped_after_its_last_step_it_goes_on(
        self, found: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.run(found, tmp_path / "whole", 1)
        with monkeypatch.context() as patched:
            patched.setattr(Fit, "_judged", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                self.run(found, tmp_path / "cut", 1)
        again = self.run(found, tmp_path / "cut", 1, resume=True)
        assert all(torch.equal(value, again[key]) for key, value in whole.items())
        assert (tmp_path / "cut" / "results.csv").read_text() == (tmp_path / "whole" / "results.csv").read_text()

    def test_a_loss_that_is_no_number_ends_it(self, found: Candidates, tmp_path: Path) -> None:
        scores = found.scores.copy()
        scores[:] = np.nan
        with pytest.raises(UsageError, match="the loss is no number after 0 steps"):
            self.run(replace(found, scores=scores), tmp_path / "run", 1)

    def test_a_tile_that_is_gone_is_named(self, found: Candidates, tmp_path: Path) -> None:
        tiles = tuple(tmp_path / tile.name for tile in found.tiles)
        with pytest.raises(UsageError, match=r"\.png: cannot be read"):
            self.run(replace(found, tiles=tiles), tmp_path / "run", 1)

    def test_nothing_held_out_is_not_judged(self, found: Candidates, tmp_path: Path) -> None:
        none = np.zeros(0, dtype=np.int64)
        empty = replace(found, **{name: getattr(found, name)[none] for name in FIELDS})
        (tmp_path / "run").mkdir()
        fit = Fit(small_config(epochs=1), tmp_path / "run", torch.device("cpu"), SecondNetwork(len(CLASSES)))
        fit.run(found, empty, lambda line: None)
        assert list(fit.rows[0]) == ["epoch", "classes", "offsets", "ends"]

    def test_interrupted_and_resumed_it_ends_where_it_would_have(
        self, found: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.run(found, tmp_path / "whole", 2)
        steps = Fit._step
        taken = 0

        def interrupted(self: Fit, samples: Samples, share: float) -> tuple[float, ...]:
            nonlocal taken
            taken += 1
            if taken == 6:  # in the middle of the second pass
                raise KeyboardInterrupt
            return steps(self, samples, share)

        monkeypatch.setattr(Fit, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.run(found, tmp_path / "cut", 2)
        monkeypatch.setattr(Fit, "_step", steps)
        torch.manual_seed(5)  # of no account
        again = self.run(found, tmp_path / "cut", 2, resume=True)
        for key, value in whole.items():
            assert torch.equal(value, again[key]), key


class TestWeighing:
    @pytest.fixture
    def network(self) -> SecondNetwork:
        """One with an opinion."""
        torch.manual_seed(4)
        network = SecondNetwork(len(CLASSES)).eval()
        torch.nn.init.normal_(network.classes.weight, std=3.0)
        return network

    def losses(self, network: SecondNetwork, found: Candidates) -> float:
        samples = Samples.joined([CandidateTiles(found, None).sampled(0, place) for place in range(7)])
        given = (torch.from_numpy(each) for each in (samples.crops, samples.sides, samples.scores))
        with torch.no_grad():
            logits = network(*given)[0]
        return float(functional.cross_entropy(logits, torch.from_numpy(samples.target), ignore_index=UNSURE))

    def test_the_truth_is_likelier_by_as_much_as_it_says(
        self, found: Candidates, network: SecondNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(weighing, "LEAST_BOXES", 10)
        before = self.losses(network, found)
        told = weighing.weigh(network, found)
        assert told["after"] < told["before"] == pytest.approx(before, abs=1e-3)
        assert told["after"] == pytest.approx(self.losses(network, found), abs=1e-3)
        assert weighing.weigh(network, found)["own"] == pytest.approx(1.0, abs=0.02)  # as good as can be

    def test_few_boxes_move_nothing(self, found: Candidates, network: SecondNetwork) -> None:
        before = self.losses(network, found)
        assert weighing.weigh(network, found) == {}
        assert self.losses(network, found) == before


class TestCommand:
    def test_it_imports_nothing_that_asks_the_network_before_it_is_silent(self) -> None:
        told = "import sys, training.second; print({'albumentations', 'ultralytics', 'torch'} & set(sys.modules))"
        assert subprocess.run([sys.executable, "-c", told], capture_output=True, check=True).stdout == b"set()\n"

    @pytest.mark.usefixtures("painted")
    def test_weights_get_a_second_stage(self, cut: Path, weights: Weights, tmp_path: Path) -> None:
        settings = tmp_path / "second.yaml"
        settings.write_text(json.dumps(small_config(looks=2, pixels=0.0).model_dump()))
        app = typer.Typer()
        app.command()(command.main)
        told = CliRunner().invoke(
            app,
            [
                f"--data={cut}", f"--weights={weights.sidecar}", f"--out={tmp_path / 'run'}", f"--config={settings}",
                f"--into={tmp_path / 'both'}", "--device=cpu",
            ],
        )  # fmt: skip
        assert told.exit_code == 0, told.output
        both = load_weights(tmp_path / "both" / "fake.json")
        assert both.has_second
        assert not load_weights(weights.sidecar).has_second
        assert "candidates-train: 26 boxes of the first stage in 14 looks at tiles" in told.output
        assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 3
        assert both.spec.training["second"]["tiles"] == 7

    @pytest.mark.usefixtures("painted")
    def test_a_run_is_not_replaced_unasked(self, cut: Path, weights: Weights, tmp_path: Path) -> None:
        command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu")
        with pytest.raises(UsageError, match="holds a run already"):
            command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu")
        other = Path(shutil.copytree(cut, tmp_path / "others"))
        (other / "labels" / "train" / "road.txt").write_text("0 .1 .1 .2 .1 .2 .2 .1 .2\n")
        with pytest.raises(UsageError, match="holds a run of other tiles"):
            command.fit(small_config(epochs=2), other, weights, tmp_path / "run", device="cpu", resume=True)
        with pytest.raises(UsageError, match="holds a run of other settings"):
            command.fit(small_config(jitter=0.1), cut, weights, tmp_path / "run", device="cpu", resume=True)
        command.fit(small_config(epochs=2), cut, weights, tmp_path / "run", device="cpu", resume=True)
        assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 3

    @pytest.mark.usefixtures("painted")
    def test_too_few_boxes_are_said_and_more_tiles_help(self, cut: Path, weights: Weights, tmp_path: Path) -> None:
        data, config = Path(shutil.copytree(cut, tmp_path / "tiles")), small_config(batch=14, epochs=1)
        with pytest.raises(UsageError, match="finds 13 boxes, too few"):
            command.fit(config, data, weights, tmp_path / "run", device="cpu")
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            folder = data / kind / "train"
            shutil.copy(folder / f"yard0.{suffix}", folder / f"more.{suffix}")
        assert command.fit(config, data, weights, tmp_path / "run", device="cpu").has_second

    @pytest.mark.usefixtures("painted")
    def test_what_the_first_stage_has_found_is_not_looked_for_again(
        self, cut: Path, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(command, "BLOCK", 3)
        looked: list[int] = []
        of = Candidates.of.__func__  # type: ignore[attr-defined]

        def stopped(cls: type[Candidates], tiles: list[Path], *rest: object) -> Candidates:
            if len(looked) == 2:
                looked.append(0)
                raise KeyboardInterrupt
            looked.append(len(tiles))
            found: Candidates = of(cls, tiles, *rest)
            return found

        monkeypatch.setattr(Candidates, "of", classmethod(stopped))
        with pytest.raises(KeyboardInterrupt):
            command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu")
        command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu")
        assert looked == [3, 3, 0, 1, 3]  # 7 tiles, of which 6 were done, and 3 held out
        monkeypatch.setattr(command, "VERSION", 0)  # another network
        (tmp_path / "run" / "second.pt").unlink()
        command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu")
        assert looked == [3, 3, 0, 1, 3]
        (tmp_path / "run" / "second.pt").unlink()
        command.fit(small_config(epochs=1, pixels=0.7), cut, weights, tmp_path / "run", device="cpu")
        assert looked == [3, 3, 0, 1, 3, 3, 3, 1]  # those held out are looked at as they are

    @pytest.mark.usefixtures("painted")
    def test_the_description_tells_of_both_stages(self, cut: Path, weights: Weights, tmp_path: Path) -> None:
        named = weights.spec.model_copy(update={"naming": {"tarped_railcar": 1.4}})
        weights.sidecar.write_text(named.model_dump_json())
        fitted = command.fit(small_config(epochs=1), cut, weights, tmp_path / "run", device="cpu", into=weights.folder)
        assert fitted.spec.naming == {}
        assert fitted.spec.training["second"]["boxes"] == 13
        assert fitted.spec.training["second"]["held_out_iou"] > 0.5

    @pytest.mark.usefixtures("painted")
    def test_other_weights_of_that_name_are_not_replaced(self, cut: Path, weights: Weights, tmp_path: Path) -> None:
        other = fake_weights(tmp_path / "both")
        other.onnx.write_bytes(b"another")
        text = other.spec.model_copy(update={"sha256": {"onnx": sha256_of(other.onnx)}}).model_dump_json()
        other.sidecar.write_text(text)
        with pytest.raises(UsageError, match="other weights of that name"):
            command.fit(small_config(), cut, weights, tmp_path / "run", device="cpu", into=other.folder)
        gone = weights.spec.model_copy(update={"sha256": {**weights.spec.sha256, "safetensors": "0" * 64}})
        with pytest.raises(UsageError, match=r"fake\.safetensors: missing"):
            command.fit(
                small_config(), cut, Weights(gone, weights.folder), tmp_path / "run", device="cpu", into=tmp_path / "c"
            )

    @pytest.mark.parametrize("device", ["cpu,cpu", "", "gpu", "97"])
    def test_devices_that_are_none(self, cut: Path, weights: Weights, tmp_path: Path, device: str) -> None:
        with pytest.raises(UsageError, match="device"):
            command.fit(small_config(), cut, weights, tmp_path / "run", device=device)
