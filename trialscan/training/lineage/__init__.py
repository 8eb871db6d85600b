"""How a result came to be, and what came of a file: one chain of digests, walked from either end.

file ► snapshot ► experiment ► model ► mask ► row of scans.csv
"""

from trialscan.training.lineage.archive import Archive, read_archive, read_run
from trialscan.training.lineage.node import Node, as_text
from trialscan.training.lineage.walk import came_of, origin_of

__all__ = ["Archive", "Node", "as_text", "came_of", "origin_of", "read_archive", "read_run"]
