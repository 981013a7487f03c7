"""Rivals and pushcast side by side: the same clip, the same sinks, in turns on one machine.

    make bench-peers                    or: python -m bench.peers [--quick] ...      from the repository's root

What is compared
    rtmp   nginx-rtmp `push`, ffmpeg tee, ffmpeg one process per push (``ffmpeg-n``)
    udp    GStreamer multiudpsink, ffmpeg tee, ffmpeg-n (MPEG-TS, 1316-byte datagrams)
    udp-apart   GStreamer and ffmpeg tee once more, with receivers that take each datagram by itself
    srt    ffmpeg tee, ffmpeg-n (MPEG-TS, live mode, latency 120 ms)
    all    ``pushcast-T``: the whole server, pushes by REST; ``engine-T``: its source, feed and sender without server;
           ``floor-T``: a bare loop of sends.  T is the interval between two sends to a destination in ms.
The participants of one protocol and number of destinations run one right after the other, round after round, so that
each round gives paired ratios.

What is fair and what is not
    CPU is user and system time of the participant's whole process tree, the threads of libraries included.  Publisher
    and sinks are processes of their own and not in it; their CPU is listed for each run.
    On loopback a send also does the receiver's half of the network stack, so every figure holds that; the floors show
    how much it is.  The sinks look for new bytes at most once a millisecond, so that nobody pays much for waking them.
    Receivers of datagrams take those of one send together (UDP_GRO).  For one that does not, loopback cuts a send apart
    in the sender's time, half of what pushcast and the floor then take; elsewhere a network card or the far host does.
    udp-apart has such receivers, so that both are seen.
    nginx-rtmp and pushcast are servers: both are fed over RTMP by the same command (ffmpeg -re -stream_loop -1
    -c copy), and taking that in is part of their CPU.  nginx has one worker, since `push` lives in the worker that
    takes the stream, and chunks of 64 KiB, the cheapest setting found.  ffmpeg reads the clip itself, in real time,
    packets as they are.  GStreamer reads 120 s of the same clip (gst-launch cannot loop), demultiplexes and muxes it.
    The engine muxes frames from memory.  The floors send bytes that were muxed before.
    What ffmpeg plays, as publisher too, has its sound 80 ms late, so that pictures and sound leave it together.  Of
    the feeds tried that is the cheapest for nginx-rtmp, which passes on each message as it comes: where they arrive
    apart, as from the clip as it is, it takes a quarter to a third more (clips.py).  A lap is 10.08 s long there.
    The start is counted from what asks for the pushes: the first REST call with the stream live (pushcast), the launch
    of the publisher (nginx-rtmp, which pushes as soon as somebody publishes: some 0.3 s are the publisher's own) or
    the launch of the process (others).  First media byte: the first byte behind the answer to publish, or the first
    datagram.  Times of arrival are good to 1 ms.
    A participant that started slowly has a backlog to send.  The window opens when the sinks' rate has been within
    10 % of the clip's for 2 s; past a stated limit it opens anyway and the run is marked as not settled.
    "Full rate": at least 97 % of what the participant's muxer makes of the leanest stretch of the clip that is as long
    as the window.  Sinks count; that the right bytes arrive is for `pushcast sink` and the tests.
    Memory per push is the slope of PSS from one push on.  The kernel's socket buffers are in nobody's figure.
    Other load is what kept cores busy beyond participant, sinks, publisher and this bench.  A run with more than 0.3
    cores of it is marked and repeated once at the end, until 75 minutes are over.  Both are kept; the one with less
    other load counts.
    Combinations that are left out or run less often than the others are listed with the reason (plan.py).

Results: bench/results/peers-<commit>.json, written after each run
    commit, time, machine     as in facts.py; versions: of the rivals; clip: what is sent
    options                   window_s, rounds, protocols, destinations, participants
    limits                    [{protocol, participant, destinations, rounds, why}]: less often than asked, 0: left out
    nominal_bytes_per_s       {"protocol/muxer": number}: what a muxer makes of the clip
    again                     [{commit, time, machine, options}]: who was measured anew and replaces what was (--again)
    runs                      every run, in order of time:
      protocol, participant, destinations, round, repeat (true: the second try of a disturbed run)
      interval_ms             between two sends to a destination; null where the rival has no such setting
      at                      time of day; window_s: measured
      start_from              what the start is counted from; started: destinations that got a byte at all
      start_median_s, start_last_s    null when none started
      settled                 false: the window opened at the limit; settle_s: from the last start to the window
      cpu_s, user_s, system_s, cores          of the participant's tree in the window (user and system are samples)
      bytes, mbps             that arrived in the window, all destinations together
      cpu_ms_per_gbit         cpu_s of the bytes that arrived; null when none did
      cpu_us_per_push_s       CPU us per destination and second
      pss_bytes, rss_bytes, threads, processes        at the end of the window
      full_rate               destinations at full rate; slowest: the least destination's share of the clip's rate
      gap_ms                  the longest silence of any destination in the window; gap_median_ms: their median
      lost_packets            SRT: sequence numbers missing at the sink in the window, never sent again here
      sink_drops              UDP: datagrams that the kernel dropped at the sink in the window: the sink's fault
      errors                  what went wrong, in words; [] when nothing
      backlog_drops           packets that the kernel dropped on the way through loopback, anybody's
      sink_cores, publisher_cores, bench_cores, busy_cores, softirq_cores, steal_cores, other_cores
                              whole machine: busy is all that was not idle, softirq and steal by ticks
      disturbed               other_cores above 0.3
    summary.rows              [{protocol, destinations, participant, rounds, full_rate (the least of all rounds),
                              settled (in all), disturbed (rounds), lost_packets, sink_drops, backlog_drops (sums),
                              errors, and for each of METRICS in report.py {median, low, high}, or null}]
    summary.ratios            [{protocol, destinations, ours, rival, metric, rounds, median, low, high, each}]:
                              ours / rival of the same round
"""
