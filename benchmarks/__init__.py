"""How fast this is, beside Nova 34's report client: ``python -m benchmarks`` measures and prints.

The way of a run: ``placement`` starts a real Placement (``postgres`` its database); ``scenarios`` walks both
clients through the same work (``work``), each in a process of its own (``peers``, ``nova_peer``,
``our_peer``); ``tables`` and ``goals`` say what came of it. ``processes`` and ``tree`` measure the rest.
"""
