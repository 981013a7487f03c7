"""Pushes over bad paths: how long until their state tells the truth, until they heal, and what the receiver lacks.

A server plays one stream to a hundred receivers beside it and, over a path for each protocol, to one receiver each on
hosts of their own.  Every trouble is put on all those paths at once, on a network that is made for it:

    this host --- relay_ip.c ---> router --- veth ---> the receiver's host
             delay, order, cuts         loss (nftables),
                                        rate (tc tbf), resets (nftables)

``network`` makes hosts and paths, ``troubles`` is the list of what happens to them, ``receivers`` is what listens
there, ``run`` is one trouble from the first frame to the last, ``watch`` reads from its samples when the truth was
told, ``verdict`` holds the lines and ``page`` writes docs/reliability.md.
"""
