"""A lab: a TheHive deployment of real servers under a root folder of its own, on one host or on several."""

from propolis_lab.lab.cluster import Cluster
from propolis_lab.lab.lab import Lab
from propolis_lab.lab.options import Options

__all__ = ["Cluster", "Lab", "Options"]
