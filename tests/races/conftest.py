"""Under the thread sanitizer this process has its runtime preloaded; the peers that it starts do without."""

from __future__ import annotations

import os

import pytest
from certificates import Certificates

os.environ.pop("LD_PRELOAD", None)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
