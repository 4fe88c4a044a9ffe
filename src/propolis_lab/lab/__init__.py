"""A lab: a TheHive deployment of real servers under a root folder of its own."""

from propolis_lab.lab.lab import Lab
from propolis_lab.lab.options import Options

__all__ = ["Lab", "Options"]
