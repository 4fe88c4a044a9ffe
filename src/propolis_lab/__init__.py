"""Real servers and a TheHive stand-in on this machine: for tests, the demo and the curious.

Never imported by `propolis`.
"""
