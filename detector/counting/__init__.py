"""From scored detections to counts with intervals and verdicts: pure functions, arrays in, arrays out.

Usable with any detector: scores and, where known, metadata in; counts, intervals, sums and verdicts out. `calibrate`
learns from labelled scenes, `estimate` counts a scene, `total` adds counts, `assess` and `decide` judge one against its
history. docs/counting.md works an example.
"""

from detector.counting.background import Counts
from detector.counting.calibration import Model, fit_model
from detector.counting.combine import agreeing, combine_repeats
from detector.counting.coverage import Share, Usual, hidden_draws, publishable, visible_share
from detector.counting.inflation import LEVELS
from detector.counting.interval import Calibration, Estimate, calibrate, estimate, insured
from detector.counting.posterior import Joint
from detector.counting.samples import METADATA, Labelled, Sample, density
from detector.counting.strings import Strings, find_strings
from detector.counting.surge import Rules, Verdict, assess, decide
from detector.counting.total import total

__all__ = [
    "LEVELS",
    "METADATA",
    "Calibration",
    "Counts",
    "Estimate",
    "Joint",
    "Labelled",
    "Model",
    "Rules",
    "Sample",
    "Share",
    "Strings",
    "Usual",
    "Verdict",
    "agreeing",
    "assess",
    "calibrate",
    "combine_repeats",
    "decide",
    "density",
    "estimate",
    "find_strings",
    "fit_model",
    "hidden_draws",
    "insured",
    "publishable",
    "total",
    "visible_share",
]
