"""Under the thread sanitizer this process has its runtime preloaded; the peers that it starts do without."""

from __future__ import annotations

import os

os.environ.pop("LD_PRELOAD", None)
