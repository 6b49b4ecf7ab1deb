"""The page says all that the run says, stands alone, and survives what is missing or hostile."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from detector.errors import UsageError
from detector.report import facility, page, report
from tests.detector.report.fake_run import Day, history, make_run

HOSTILE = "<script>alert('x')</script> & \"Söns\" 北站"


class Elements(HTMLParser):
    """All elements of a page with their attributes, and whether tags are balanced."""

    VOID = frozenset({"meta", "input", "image", "path", "rect", "circle", "line", "polygon", "polyline", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def said(html: str) -> str:
    """What a page says, without markup, with plain spaces."""
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))
    plain = re.sub(r"\s+", " ", text.replace("\u00a0", " ").replace("\u202f", " "))
    return re.sub(r" ([,.;:)])", r"\1", plain)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    facilities = {
        "tumangang": ("Tumangang border yard", history(24)),
        "quiet": (HOSTILE, history(12, last=7, most=9)),
        "new": ("New depot", history(2, last=6, most=9)),
    }
    rejected = [("in/a<b>.tif", "has no acquisition time", "Add it to a manifest & run again.")]
    by_eye = "facility_id,date,count,lo,hi\ntumangang,2016-03-01,14,12,16\ntumangang,2023-10-05,70,,\n"
    return make_run(folder / "run", facilities, rejected=rejected, by_eye=by_eye, pictures=2)


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return report(written).read_text(encoding="utf-8")


def test_page_stands_alone(html: str) -> None:
    elements = Elements(html)
    assert elements.open == []
    for tag, attrs in elements.found:
        assert tag not in {"script", "link", "iframe"}
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "xlink:href", "srcset"):
            if name in attrs:
                assert attrs[name].startswith(("#", "data:image/jpeg;base64,"))
    assert "url(" not in html and "@import" not in html
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_page_says_what_the_run_says(html: str, written: Path) -> None:
    plain = said(html)
    assert "73 railcars, 95 % interval 68–78, on 5 October 2023; the most seen on the 23 dates" in plain
    assert "Tumangang border yard" in plain and "New depot" in plain
    assert "in/a&lt;b&gt;.tif" in html and "Add it to a manifest &amp; run again." in html
    assert "5d" * 32 in plain and "240 rendered scenes of 60 facilities" in plain
    assert plain.count("image 30 % under cloud") == 1
    counts = pd.read_parquet(written / "counts.parquet")
    dates = counts.loc[counts["group"] == "railcar", ["facility_id", "date"]]
    totals = pd.read_parquet(written / "totals.parquet")
    sums = totals[(totals["scope"] == "all") & (totals["group"] == "railcar") & (totals["n_facilities"] > 1)]
    by_eye_alone = 1
    n_sums = min(len(sums), page.MOST_SUMS)
    assert html.count('<th scope="row" class="date">') == len(dates) + by_eye_alone + n_sums


def test_second_estimate_and_counts_by_eye_stand_beside_the_first(html: str) -> None:
    plain = said(html)
    assert "By length of trains 73 a second estimate, inside the interval" in plain
    assert "14 12–16 counted by eye" in plain
    assert "70 (56–84)" in plain  # the error that counting assumes where the CSV states none
    assert "All facilities together" in plain
    assert "How sure are we?" in plain and "240 rendered scenes of 60 facilities, not on photographs" in plain
    assert "Interval of 50 % 80 % 90 % 95 % held the truth on 55 % 84 % 93 % 96 %" in plain


def test_headings_go_down_one_level_at_a_time(html: str, tmp_path: Path) -> None:
    single = report(make_run(tmp_path / "run", {"a": ("A", history(9))}, pictures=0)).read_text(encoding="utf-8")
    for text in (html, single):
        levels = [int(tag[1]) for tag, _ in Elements(text).found if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))


def test_marks_of_trains_are_drawn_and_explained(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"a": ("A", history(3))}, pictures=1)
    detections = pd.read_parquet(run / "detections.parquet")
    detections.loc[:2, "flags"] = ["edge;double", "string_gap", "string_gap"]
    detections.to_parquet(run / "detections.parquet")
    html = report(run).read_text(encoding="utf-8")
    assert '<path class="boxes sign" d="M' in html
    assert "perhaps boxed twice" in html and "beside a gap of one car" in html


@pytest.mark.parametrize(("full", "brief"), [(1, 1), (1, 0)])
def test_large_run_says_what_it_leaves_out(
    written: Path, monkeypatch: pytest.MonkeyPatch, full: int, brief: int
) -> None:
    for name, value in (("MOST_FULL", full), ("MOST_BRIEF", brief), ("MOST_LINES", 1), ("LEAST_LINES", 5)):
        monkeypatch.setattr(page, name, value)
    html = report(written).read_text(encoding="utf-8")
    monkeypatch.undo()
    sections = [attrs["id"] for tag, attrs in Elements(html).found if tag == "section" and "id" in attrs]
    assert [name for name in sections if name.startswith("f")] == [f"f{n}" for n in range(full + brief)]
    assert html.count('<table class="dates">') == 1 + full
    plain = said(html)
    assert "20 more dates in counts.csv" in plain  # 24 of the run and one by eye, 5 lines
    assert ("12 more dates in counts.csv" in plain) == (brief == 1)
    assert (f"{2 - brief} other facilit" in plain) == (brief < 2)


def test_hostile_names_are_text(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(" in html and "北站" in html


def test_pictures_and_plots_have_words_for_those_who_do_not_see_them(html: str) -> None:
    svgs = [attrs for tag, attrs in Elements(html).found if tag == "svg"]
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") == "true" for attrs in svgs)
    assert html.count("data:image/jpeg;base64,") >= 8


def test_same_run_gives_the_same_page(html: str, written: Path) -> None:
    assert report(written).read_text(encoding="utf-8") == html
    assert [path.name for path in written.iterdir() if path.name.startswith(".")] == []


def test_page_keeps_to_its_limit(html: str, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = len(re.sub(r"data:image/jpeg;base64,[^\"]+", "", html).encode())
    monkeypatch.setattr(page, "LIMIT_BYTES", bare + 90_000)
    small = report(written)
    monkeypatch.undo()
    assert small.stat().st_size <= bare + 90_000
    assert "data:image/jpeg;base64," in small.read_text(encoding="utf-8")


def test_missing_or_changed_scene_becomes_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"a": ("A", history(6))}, pictures=3)
    images = sorted((tmp_path / "images").iterdir())
    images[-1].unlink()
    images[-2].write_bytes(images[-3].read_bytes())
    html = report(run).read_text(encoding="utf-8")
    assert "its file is no longer where it was counted" in html
    assert "its file has changed since it was counted" in html
    assert "data:image/jpeg;base64," in html


def test_surge_of_another_group_is_not_hidden(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"a": ("A", history(12, last=7))}, pictures=0)
    counts = pd.read_parquet(run / "counts.parquet")
    latest = (counts["group"] == "tarped") & (counts["date"] == counts["date"].max())
    counts.loc[latest, ["surge", "n_detected"]] = ["yes", 5]
    counts.to_parquet(run / "counts.parquet")
    html = report(run).read_text(encoding="utf-8")
    assert "Surge: tarp-covered loads" in html


def test_earlier_surge_leads_and_the_latest_date_follows(tmp_path: Path) -> None:
    days = history(12)
    days.append(Day(days[-1].date.replace(month=12), 6, 0))
    html = report(make_run(tmp_path / "run", {"a": ("A", days)}, pictures=0)).read_text(encoding="utf-8")
    assert html.index("73\u00a0railcars" if "73\u00a0railcars" in html else "73 railcars") < html.index("6 railcars")
    assert 'class="also"' in html


def test_run_that_counted_nothing_still_gives_a_page(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", {"a": ("A", history(2))}, rejected=[("x.tif", "is empty", "Remove it.")], pictures=0
    )
    counts = pd.read_parquet(run / "counts.parquet")
    counts.iloc[:0].to_parquet(run / "counts.parquet")
    totals = pd.read_parquet(run / "totals.parquet")
    totals.iloc[:0].to_parquet(run / "totals.parquet")
    html = report(run).read_text(encoding="utf-8")
    assert "Nothing was counted" in html and "is empty" in html


def test_folder_without_counts_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="railcars count"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "lead", "rest"),
    [
        (
            "73 railcars, 95 % interval 70–77, on 5 October 2023; the most seen on the 41 dates since 2018; a surge",
            "73 railcars",
            "A surge.",
        ),
        ("at least 31 railcars on 5 October 2023; 40 % of the facility was seen", "At least 31 railcars", None),
        ("18–115 railcars (95 % interval) on 5 October 2023", "18–115 railcars", ""),
        ("1 tarp-covered load, 95 % interval 0–3", "1 tarp-covered load", ""),
        ("nothing that starts with a count", "", ""),
    ],
)
def test_sentences_open_with_their_count_and_lose_nothing(verdict: str, lead: str, rest: str | None) -> None:
    parts = facility.sentence(verdict)
    assert parts[0] == lead
    assert rest is None or parts[2] == rest
    words_said = re.sub(r"[.;]", "", "".join(parts[:2]) + (f" {parts[2]}" if parts[2] else ""))
    assert words_said.casefold() == verdict.replace(";", "").casefold()
