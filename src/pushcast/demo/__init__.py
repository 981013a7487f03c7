"""``pushcast demo``: the whole product on one machine, with proof.

A server that plays a clip, one push for each protocol, and a verifying sink behind each push; every one is a process of
its own, spoken to as any user would: configuration, REST API, exit codes.
"""
