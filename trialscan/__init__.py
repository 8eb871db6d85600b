"""trialscan: from a manifest of scans to lesion trajectories, a comparison of arms and a report for every patient."""

__version__ = "0.1.0"
