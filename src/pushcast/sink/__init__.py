"""``pushcast sink``: receivers that check every byte that pushes send them.

``command`` is the command line, ``receive`` the loop around a sink, ``report`` what is told; ``udp``, ``tcp`` and
``srt`` open sockets, ``rtmp`` answers the commands of publishers.  The receiving and checking itself is in the
extensions sinks, sinktcp, sinkrtmp and sinksrt.
"""
