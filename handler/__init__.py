"""What goes into the model archive: from image bytes to a verdict.

Self-contained: nothing here imports from the rest of the project, so the
archive runs in any TorchServe that has its requirements.
"""

import sys

# OpenVINO keeps its books in the home folder and reports its use to an analytics service, unless
# the package that does so can't be imported.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

# Said wherever a verdict is shown.
RESEARCH_ONLY = (
    "Research software, not a medical device. It must not be used for diagnosis or treatment."
)

# The model's name, here and in TorchServe.
MODEL_NAME = "breakhis"

# Files of a model's folder that the manifest does not name.
MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"
EVALUATION = "evaluation.json"
# Folder of the plots that the card shows.
PLOTS = "plots"
