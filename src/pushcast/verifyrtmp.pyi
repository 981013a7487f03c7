"""RTMP stream checker, in C; its Python face is pushcast.verify.RtmpChecker."""

RTMP_ERRORS: tuple[str, ...]
