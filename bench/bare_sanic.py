"""A Sanic application that answers the requests of the benches with ready bytes: what a request costs before anything
is done.

python -m bench.bare_sanic --port N --answers FILE      a JSON object: application and action ("app:pushes") to body
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    options = parser.parse_args()
    answers = json.loads(options.answers.read_text())
    bodies = {target: json.dumps(answer, separators=(",", ":")).encode() for target, answer in answers.items()}
    app = Sanic("bare", configure_logging=False)

    async def answer(request: Request, vhost: str, target: str) -> HTTPResponse:
        return raw(bodies[target], content_type="application/json;charset=UTF-8")

    app.add_route(answer, "/v1/vhosts/<vhost>/apps/<target>", methods=["POST"])
    app.run("127.0.0.1", options.port, single_process=True, access_log=False, motd=False)


if __name__ == "__main__":
    main()
