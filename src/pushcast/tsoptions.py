"""How a transport stream is made, where a destination may want it otherwise: part of a FeedKey."""

from __future__ import annotations

from dataclasses import dataclass

NIT_PID_MAX = 0x1F  # up to here PIDs have a meaning of their own: ISO/IEC 13818-1 table 2-3, ETSI EN 300 468 5.1.3
NULL_PID = 0x1FFF
SERVICE_BYTES_MAX = 200  # of both names, in the SDT


@dataclass(frozen=True, slots=True)
class TsOptions:
    """Of one program.  Periods are the longest; ``decode_delay_ms`` is how far the PCR runs behind the DTS.

    ``video_pid`` and ``audio_pid`` are those of the first track of the kind, the others count up from there; without
    them PIDs count up from 0x100.  ``mux_bits_per_s``: a constant rate, with null packets; 0: what there is.
    """

    service_name: str = "pushcast"
    provider_name: str = "pushcast"
    service_id: int = 1  # program_number
    transport_stream_id: int = 1
    original_network_id: int = 0xFF01  # from the range for private use: ETSI TS 101 162
    pmt_pid: int = 0x1000
    video_pid: int = 0
    audio_pid: int = 0
    pcr_period_ms: int = 35
    tables_period_ms: int = 100  # of PAT and PMT
    sdt_period_ms: int = 1000
    decode_delay_ms: int = 300
    mux_bits_per_s: int = 0
