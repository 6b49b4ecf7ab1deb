"""The core runs on a CPU without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.detector.fakes import facilities_file, paint, yard

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from detector import cli
sys.argv = ["railcars", "run", "{0}/images", "--facilities", "{0}/f.geojson", "--out", "{0}/run", "--quiet"]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
assert not {{"torch", "ultralytics"}} & set(sys.modules), "torch was imported"
"""


@pytest.mark.integration
def test_neither_import_nor_run_imports_torch(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    paint(tmp_path / "images" / "yard_20230105.tif", yard()[:5])
    facilities_file(tmp_path / "f.geojson", {"yard": (-40, -40, 40, 40)})
    subprocess.run([sys.executable, "-c", SCRIPT.format(tmp_path)], cwd=ROOT, check=True)
    assert (tmp_path / "run" / "report.html").exists()
