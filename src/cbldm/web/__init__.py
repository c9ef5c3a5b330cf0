"""The web app: files in, settings shown and corrected, results on the page.

Only `app` and `page` need Gradio; the rest is plain Python. Nothing may call home, which is said here, before Gradio
and what it brings are imported.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
