"""The whole demo, run by ``make demo``, and by a Hugging Face Space as it stands."""

import sys

from gradio_ui.launch import main

if __name__ == "__main__":
    sys.exit(main())
