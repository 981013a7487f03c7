"""A Sanic application that answers every POST with the same bytes: what a request costs before anything is done.

python -m bench.bare_sanic --port N --answer FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer", type=Path, required=True)
    options = parser.parse_args()
    body = options.answer.read_bytes()
    app = Sanic("bare", configure_logging=False)

    async def answer(request: Request, vhost: str, target: str) -> HTTPResponse:
        return raw(body, content_type="application/json;charset=UTF-8")

    app.add_route(answer, "/v1/vhosts/<vhost>/apps/<target>", methods=["POST"])
    app.run("127.0.0.1", options.port, single_process=True, access_log=False, motd=False)


if __name__ == "__main__":
    main()
