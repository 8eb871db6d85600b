"""Which known lesions those of a visit continue: linked by tolerance, then without the residual error they show."""

from collections.abc import Sequence

import numpy as np

from trialscan.lesions.correspondence import Link, link_lesions
from trialscan.lesions.placement import Cloud, PlacedVisit
from trialscan.lesions.residual import residual_error
from trialscan.lesions.rows import Track
from trialscan.lesions.tolerance import pair_tolerance, settled_tolerance


def link_known(
    present: Sequence[Track], gone: Sequence[Track], placed: PlacedVisit, least: float, shown: float | None
) -> list[Link]:
    """Links of a visit's lesions with those present before; what stays unlinked, with those that had resolved.

    `earlier` of a link is a place in `present` followed by `gone`. `least` is the least tolerance of the patient,
    `shown` the displacement that the lesions present show.
    """
    every = range(len(placed.clouds))
    links = _settled(present, placed, least, _within_tolerance(present, placed, every, least, shown))
    fresh = sorted(set(every) - {link.later for link in links})
    returns = _within_tolerance(gone, placed, fresh, least, shown)
    return [*links, *(Link(link.earlier + len(present), link.later) for link in returns)]


def _within_tolerance(
    tracks: Sequence[Track], placed: PlacedVisit, lesions: Sequence[int], least: float, shown: float | None
) -> list[Link]:
    reach = np.array([pair_tolerance(track.seen, placed, least, shown) for track in tracks])
    found = link_lesions([track.cloud for track in tracks], [placed.clouds[lesion] for lesion in lesions], reach)
    return [Link(link.earlier, lesions[link.later]) for link in found]


def _settled(tracks: Sequence[Track], placed: PlacedVisit, least: float, links: Sequence[Link]) -> list[Link]:
    """The links once more, the earlier lesions moved by the residual error, with the tolerance that it leaves.

    Lesions last seen at a visit that shows no residual error stay, with the least tolerance. Those that then stand
    alone on both sides keep the link they had.
    """
    clouds: list[Cloud] = [track.cloud for track in tracks]
    reach = np.array([settled_tolerance(track.seen, placed, least, least) for track in tracks])
    for seen in {track.seen.visit.visit: track.seen for track in tracks}.values():
        own = [position for position, track in enumerate(tracks) if track.seen is seen]
        residual = residual_error([clouds[position] for position in own], placed.clouds, least)
        if residual is not None:
            reach[own] = settled_tolerance(seen, placed, least, residual.left_p95)
            for position in own:
                clouds[position] = residual.moved(clouds[position])
    found = link_lesions(clouds, placed.clouds, reach)
    earlier, later = {link.earlier for link in found}, {link.later for link in found}
    return [*found, *(link for link in links if link.earlier not in earlier and link.later not in later)]
