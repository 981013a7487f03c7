"""What the API speaks for: the parts of the server that its routes use."""

from __future__ import annotations

from dataclasses import dataclass

from pushcast.access import Access
from pushcast.api.cors import Cors
from pushcast.audit import AuditLog
from pushcast.desired import Desired
from pushcast.egress.fanout import FanOut
from pushcast.events import Events
from pushcast.ingest.pull import Pulls
from pushcast.statistics import Statistics
from pushcast.stream import Registry


@dataclass(frozen=True, slots=True)
class Services:
    """``strict``: a duplicate id is 400, as OvenMediaEngine has it; ``mask_keys``: nobody is shown a key."""

    registry: Registry
    desired: Desired
    fanout: FanOut
    events: Events
    statistics: Statistics
    pulls: Pulls
    access: Access
    audit: AuditLog
    cors: Cors
    strict: bool = False
    mask_keys: bool = False
