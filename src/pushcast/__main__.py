"""``python -m pushcast`` and the console script."""

from pushcast.cli import main

if __name__ == "__main__":
    main()
