"""How many failed logins an address may make: a token bucket for each, and a bounded number of buckets.

The limit is not what stands between a guesser and the API.  A token has 256 bits when pushcast makes it, and at least
16 characters when somebody else does; no rate of guessing finds one.  What the limit protects is the event loop, the
log and the audit log from a client with a wrong token in a loop: who notes failures need note only those below it.

So the right token always passes, and only what failed is counted (access.py).  To refuse an address whatever it shows
would let one broken client lock out everybody behind the same router, and a guesser would have gained nothing by an
answer that says no in either case.

Invariants: a failure costs O(1); memory is bounded, the address that failed longest ago is forgotten first.  Who holds
more addresses than are remembered starts with a full bucket each time, which costs them a connection for each guess.

It knows no clock and does not decide what counts as a failure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from pushcast.errors import RequestError

# Somebody who mistypes a token, or a page that asks for ten things at once with an old one, stays below it.
AT_ONCE = 10
INTERVAL_S = 1.0
# Some 200 bytes each.  More addresses than this that fail at once are no users.
ADDRESSES = 4096


class TooManyLogins(RequestError):
    """429: this address has failed too often; ``retry_after_s`` is for the header Retry-After."""

    code = "too_many_logins"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many failed logins, try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class LoginLimit:
    """``at_once`` failures pass at once, then one every ``interval_s``, for each address."""

    def __init__(self, at_once: int = AT_ONCE, interval_s: float = INTERVAL_S, addresses: int = ADDRESSES) -> None:
        self._interval_s = interval_s
        self._slack_s = (at_once - 1) * interval_s
        self._addresses = addresses
        # When each bucket will be full again: this one number says how full it is now.
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def fail(self, remote: str, now: float) -> int:
        """Count a failure of this address: 0 while it is within the limit, else the seconds until it is again.

        ``remote`` is the address of the socket's peer, never what a header says it is.  ``now`` is monotonic.
        """
        key = _bucket(remote)
        full_at = max(self._full_at.get(key, now), now)
        wait_s = full_at - now - self._slack_s
        self._full_at[key] = full_at if wait_s > 0 else full_at + self._interval_s
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._addresses:
            self._full_at.popitem(last=False)
        return max(0, math.ceil(wait_s))


def _bucket(remote: str) -> bytes:
    """Whose failures are counted together: one IPv4 address, or the /64 that an IPv6 host may choose from."""
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote.encode(errors="replace")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed[:8]
