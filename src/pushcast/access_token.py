"""The API's access token: the configured one, else a random one that the state folder keeps.

The file is made complete under another name and then linked, so that two servers that start at once with one state
folder end up with the same token, and a reader never sees half of it.  Only the path is ever logged.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path

from pydantic import SecretStr

from pushcast.errors import ConfigError
from pushcast.log import logger

FILE_NAME = "access_token"
TOKEN_BYTES = 32
MAX_FILE_BYTES = 4096  # a token has at most 1024 characters; a larger file is not ours

_log = logger("api")


def obtain_access_token(configured: SecretStr | None, state_path: Path) -> str:
    """The token that requests must carry; made and kept in ``state_path`` when none is configured.

    :raises ConfigError: the state folder cannot be used, or holds no token where one should be.
    """
    if configured is not None:
        return configured.get_secret_value()
    path = state_path / FILE_NAME
    try:
        state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
            _log.info("api: a new access token lies in %s", path)
            return _read(path)
        token = _read(path)
    except OSError as error:
        raise ConfigError(
            f"state.path: found {json.dumps(str(state_path))}, which fails with '{error.strerror}', "
            "allowed: a folder that pushcast may make and write"
        ) from error
    _log.info("api: the access token is the one in %s", path)
    return token


def _create(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=path.parent)  # mkstemp's mode is 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another server was first: its token counts
    finally:
        os.unlink(draft)


def _read(path: Path) -> str:
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        content = file.read(MAX_FILE_BYTES + 1)
    if mode & 0o077:
        _log.warning("api: %s has mode %04o, other users may read it: chmod 600 is advised", path, mode)
    token = content.decode("utf-8", "replace").strip()
    if not token or len(content) > MAX_FILE_BYTES or not token.isprintable():
        raise ConfigError(
            f"{path}: found {len(content)} bytes that are no token, allowed: one line of printable characters "
            "(remove the file to get a new token)"
        )
    return token
