"""Units: the nodes that light blocks and attention are made of, with their costs and modules.

``nodes`` are part of the plan, ``cost`` holds their rules and ``build`` their builders; the two
are loaded when a plan first holds such a node.
"""
