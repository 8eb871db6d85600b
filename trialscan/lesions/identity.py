"""Names that last: which lesion of a visit carries on which earlier one, through merges and splits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trialscan.lesions.correspondence import Link


@dataclass(frozen=True)
class Step:
    """All lesions that are linked with one another between two visits, by position in either sequence."""

    earlier: tuple[int, ...]
    later: tuple[int, ...]


def steps(links: Sequence[Link], earlier: int, later: int) -> tuple[Step, ...]:
    """Split the graph between `earlier` and `later` lesions into its connected parts; unlinked lesions stand alone."""
    rows = [link.earlier for link in links]
    columns = [earlier + link.later for link in links]
    parts = _components(rows, columns, earlier + later)
    return tuple(
        Step(
            tuple(node for node in range(earlier) if parts[node] == part),
            tuple(node - earlier for node in range(earlier, earlier + later) if parts[node] == part),
        )
        for part in range(max(parts, default=-1) + 1)
    )


def heirs(links: Sequence[Link], earlier_size: Sequence[float], later_size: Sequence[float]) -> dict[int, int]:
    """Decide which later lesion keeps which earlier one's name, as {later: earlier}.

    A lesion may carry on only the largest of those it continues, and of several that may carry on the same one the
    largest does. Ties go to the first.
    """
    main: dict[int, int] = {}
    for link in sorted(links):
        held = main.get(link.later)
        if held is None or earlier_size[link.earlier] > earlier_size[held]:
            main[link.later] = link.earlier
    kept: dict[int, int] = {}
    for later in sorted(main, key=lambda lesion: (-later_size[lesion], lesion)):
        if main[later] not in kept.values():
            kept[later] = main[later]
    return kept


def families(lesion_ids: Sequence[str], descent: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Name the family of each lesion: "F01" onwards, in the order of the lesions given.

    `descent` holds pairs (lesion, predecessor); whoever is joined by them, however far apart, is of one family.
    """
    position = {lesion_id: index for index, lesion_id in enumerate(lesion_ids)}
    pairs = [(position[child], position[parent]) for child, parent in descent]
    parts = _components([a for a, _ in pairs], [b for _, b in pairs], len(lesion_ids))
    order = {part: rank for rank, part in enumerate(dict.fromkeys(parts), start=1)}
    return {lesion_id: f"F{order[part]:02d}" for lesion_id, part in zip(lesion_ids, parts, strict=True)}


def _components(rows: Sequence[int], columns: Sequence[int], nodes: int) -> list[int]:
    """The number, from 0, of the connected part each node belongs to."""
    if nodes == 0:
        return []
    ends = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    graph = coo_array((np.ones(len(rows), np.int64), ends), shape=(nodes, nodes))
    parts: list[int] = connected_components(graph, directed=False)[1].tolist()
    return parts
