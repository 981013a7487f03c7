"""``python -m pushcast`` and the console script."""

import os

# numpy is used for arrays only: its linear algebra library would start a thread for each core, which spins.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pushcast.cli import main

if __name__ == "__main__":
    main()
