"""How bytes move: disks, streams, threads, limits."""
