"""MPEG-TS stream checker, in C; its Python face is pushcast.verify.TsChecker."""

TS_ERRORS: tuple[str, ...]
