"""Property-based tests of the nodes' ``execute``: whatever comes in, a clear error or a right result.

Runs inside of the host's surroundings (``runner.py``); ``tests/host/test_node_properties.py`` starts it. ``giving``
draws inputs, fine and broken ones, and knows which is which; ``subjects`` has one case for each node; ``judging`` calls
the node and compares.
"""
