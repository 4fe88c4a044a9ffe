"""Installs what the lab needs from Debian's packages."""

from __future__ import annotations

import os
import shutil

from propolis_lab.errors import MissingError
from propolis_lab.programs import artefacts, java


def missing_packages() -> list[str]:
    """Debian packages of the programs that are not there."""
    packages = []
    try:
        java.find()
    except MissingError:
        packages.append(java.DEBIAN_PACKAGE)
    if shutil.which("mvn") is None:
        packages.append("maven")
    return packages


def install() -> list[str]:
    """Install what is missing; returns the packages. Raises LabError without root or if apt fails."""
    packages = missing_packages()
    if packages:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            raise MissingError(
                f"The lab needs {' '.join(packages)}", next=f"As root: apt-get install {' '.join(packages)}"
            )
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        wait = ("-o", "DPkg::Lock::Timeout=300")
        artefacts.run([apt, "update", "-qq", *wait], "Updating the list of packages", quiet)
        command = [apt, "install", "-y", "-qq", "--no-install-recommends", *wait, *packages]
        artefacts.run(command, f"Installing {' '.join(packages)}", quiet)
    return packages
