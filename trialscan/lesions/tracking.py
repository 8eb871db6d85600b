"""Follow every lesion of a patient over any number of visits, in the baseline's coordinates."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from trialscan.errors import LesionError
from trialscan.lesions.components import minimum_voxels
from trialscan.lesions.correspondence import Link
from trialscan.lesions.error import Measured, above_minimum
from trialscan.lesions.history import Change, History, LesionRow, VisitFindings
from trialscan.lesions.identity import Step, heirs, steps
from trialscan.lesions.kinship import with_families
from trialscan.lesions.linking import link_known
from trialscan.lesions.placement import PlacedVisit, place
from trialscan.lesions.rows import Call, Track, linked_call, seen_row, unlinked_rows, unseen_row
from trialscan.lesions.tolerance import field_margin, least_tolerance, lesion_displacement, pair_tolerance
from trialscan.lesions.traces import trace_call, trace_of
from trialscan.lesions.trajectory import courses, trajectory
from trialscan.study.sections import LesionSettings

TRACE_SHARE = 0.25
UNSURE = "the model's probability lies just under its threshold"


def track_patient(visits: Sequence[VisitFindings], settings: LesionSettings) -> History:
    """Link the lesions of one patient's visits and call the change of each.

    Visits may come in any order; they are taken by study day. Every visit is compared with what was last assessed,
    across missing, failed and unaligned visits, whose known lesions are listed as not assessed.

    Raises
    ------
    LesionError
        Two visits share a name, more than one is the baseline, or a visit contradicts its status.
    """
    ordered = sorted(visits, key=lambda visit: (visit.study_day, visit.visit))
    _check(ordered)
    tracker = _Tracker(settings, least_tolerance(ordered, settings))
    rows = [row for visit in ordered for row in tracker.advance(visit)]
    linked = tuple(placed.visit.visit for placed in tracker.assessed)
    related = with_families(rows, ordered)
    return History(related, trajectory(ordered, related, linked, settings), courses(ordered, related, settings))


def _check(visits: Sequence[VisitFindings]) -> None:
    names = [visit.visit for visit in visits]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise LesionError("visits", f"{repeated} more than once", "each visit once")
    baselines = [visit.visit for visit in visits if visit.is_baseline]
    if len(baselines) > 1:
        raise LesionError("visits", f"{baselines} all as baseline", "one baseline at most")
    for visit in visits:
        if (visit.findings is None) == (visit.status == "ok"):
            held = "none" if visit.findings is None else "some"
            raise LesionError(f"visit {visit.visit}", f"status {visit.status} and findings: {held}", "findings when ok")
        if visit.is_baseline and visit.alignment is not None:
            raise LesionError(f"visit {visit.visit}", "a baseline with an alignment", "none: its coordinates are used")


def _unlinked_reason(visit: VisitFindings) -> str:
    """Why a visit has no place in baseline coordinates; empty when it has one."""
    if visit.status != "ok":
        return f"scan {visit.status}"
    if visit.is_baseline:
        return ""
    if visit.alignment is None:
        return "not linked: no alignment to the baseline"
    return "not linked: alignment failed" if visit.alignment.status == "fail" else ""


class _Tracker:
    """The known lesions of a patient, carried from visit to visit."""

    def __init__(self, settings: LesionSettings, least: float) -> None:
        self.settings = settings
        self.least = least
        self.tracks: dict[int, Track] = {}
        self.named = 0
        self.assessed: list[PlacedVisit] = []

    def advance(self, visit: VisitFindings) -> list[LesionRow]:
        """Take the next visit and return its rows, by lesion_id."""
        reason = _unlinked_reason(visit)
        if visit.findings is not None and not reason:
            return self._link(place(visit, visit.findings))
        unassessed = Call(Change.NOT_ASSESSED, None, reason)
        rows = [unseen_row(track, visit, unassessed) for track in self._known(resolved=False)]
        return rows if visit.findings is None else rows + unlinked_rows(visit, visit.findings, reason, self.settings)

    def _known(self, *, resolved: bool) -> list[Track]:
        return [track for _, track in sorted(self.tracks.items()) if track.resolved == resolved]

    def _link(self, placed: PlacedVisit) -> list[LesionRow]:
        """Link a visit with the lesions present before; what stays unlinked, with those that had resolved."""
        present, gone = self._known(resolved=False), self._known(resolved=True)
        shown = lesion_displacement([track.cloud for track in present], placed.clouds, self.least)
        links = link_known(present, gone, placed, self.least, shown)
        known = present + gone
        named = self._name(known, links, placed)
        rows = [row for step in steps(links, len(known), len(named)) for row in self._rows(step, known, links, named)]
        rows += self._absent(known, links, placed, shown)
        self.assessed.append(placed)
        return sorted(rows, key=lambda row: int(row.lesion_id[1:]))

    def _name(self, known: Sequence[Track], links: Sequence[Link], placed: PlacedVisit) -> list[Track]:
        """Give every lesion of the visit its lasting name; the names that others continue are no longer followed."""
        kept = heirs(links, [track.cloud.size for track in known], [cloud.size for cloud in placed.clouds])
        named = []
        for position, (lesion, cloud) in enumerate(zip(placed.findings.lesions, placed.clouds, strict=True)):
            if position not in kept:
                self.named += 1
            number = known[kept[position]].number if position in kept else self.named
            named.append(Track(number, lesion, cloud, placed))
        for link in links:
            self.tracks.pop(known[link.earlier].number, None)
        self.tracks.update((track.number, track) for track in named)
        return named

    def _rows(
        self, step: Step, known: Sequence[Track], links: Sequence[Link], named: Sequence[Track]
    ) -> list[LesionRow]:
        """The rows of the lesions that a step leads to."""
        if not step.earlier:
            return [self._seen(named[lesion], self._first_call(named[lesion]), ()) for lesion in step.later]
        before = [known[track] for track in step.earlier]
        after = [named[lesion] for lesion in step.later]
        rows = []
        for lesion in step.later:
            sources = [link.earlier for link in links if link.later == lesion]
            split = any(link.earlier in sources and link.later != lesion for link in links)
            call = self._return_call(before, named[lesion]) or linked_call(
                before, after, merged=len(sources) > 1, split=split, settings=self.settings
            )
            rows.append(self._seen(named[lesion], call, [known[source] for source in sources]))
        return rows

    def _seen(self, track: Track, call: Call, predecessors: Sequence[Track]) -> LesionRow:
        return seen_row(track, call, predecessors, self.settings)

    def _first_call(self, track: Track) -> Call:
        """The call on a lesion that continues none: new only where an earlier scan had looked and shown nothing."""
        if not self.assessed:
            return Call(None)
        covering = [earlier for earlier in self.assessed if earlier.covers(track.cloud, self.least)]
        if not covering:
            return Call(Change.NOT_ASSESSED, None, "place not covered by any earlier scan")
        latest = covering[-1]
        trace = self._trace(latest, track, pair_tolerance(latest, track.seen, self.least))
        if trace:
            call = trace_call([trace], [track.measured], self.settings)
            return replace(call, note=f"{call.note} at {latest.visit.visit}")
        if self._doubtful(latest, track, pair_tolerance(latest, track.seen, self.least)):
            return Call(Change.INDETERMINATE, None, f"{UNSURE} at {latest.visit.visit}")
        note = "" if latest is self.assessed[-1] else f"place last seen at {latest.visit.visit}"
        return Call(Change.NEW, None, note, above_minimum(track.measured, self.settings))

    def _return_call(self, before: Sequence[Track], track: Track) -> Call | None:
        """The call on lesions that had been found gone: new again."""
        if not any(earlier.resolved for earlier in before):
            return None
        last = max((earlier.seen.visit for earlier in before), key=lambda visit: (visit.study_day, visit.visit))
        probability = above_minimum(track.measured, self.settings)
        return Call(Change.NEW, None, f"returned, last seen at {last.visit}", probability)

    def _trace(self, placed: PlacedVisit, track: Track, reach: float) -> Measured | None:
        """What a scan shows of a lesion below the minimum size; None when less than a quarter of the minimum."""
        voxels = placed.trace_voxels(track.cloud, reach)
        least = TRACE_SHARE * minimum_voxels(placed.findings.labels, self.settings)
        return trace_of(track.lesion, placed, voxels) if voxels and voxels >= least else None

    def _doubtful(self, placed: PlacedVisit, track: Track, reach: float) -> bool:
        """Whether a scan shows, at a lesion's place, a spot that its model was unsure of and did not outline."""
        least = TRACE_SHARE * minimum_voxels(placed.findings.labels, self.settings)
        return placed.doubtful_voxels(track.cloud, reach) >= max(1.0, least)

    def _absent(
        self, known: Sequence[Track], links: Iterable[Link], placed: PlacedVisit, shown: float | None
    ) -> list[LesionRow]:
        """The rows of lesions that were present and continue in none: resolved only where this scan has looked."""
        continued = {link.earlier for link in links}
        rows = []
        for track in (track for position, track in enumerate(known) if position not in continued):
            if track.resolved:
                continue
            call = self._lost_call(track, placed, shown)
            if call.change is Change.RESOLVED:
                self.tracks[track.number] = replace(track, resolved=True)
            rows.append(unseen_row(track, placed.visit, call))
        return rows

    def _lost_call(self, track: Track, placed: PlacedVisit, shown: float | None) -> Call:
        """The call on a lesion that continues in none: resolved only where the scan has looked and shows nothing."""
        if not placed.covers(track.cloud, field_margin(track.seen, placed, self.least, shown)):
            return Call(Change.NOT_ASSESSED, None, "place not covered by this scan")
        reach = pair_tolerance(track.seen, placed, self.least)
        trace = self._trace(placed, track, reach)
        if trace:
            return trace_call([track.measured], [trace], self.settings)
        if self._doubtful(placed, track, reach):
            return Call(Change.INDETERMINATE, None, UNSURE)
        return Call(Change.RESOLVED, -100.0, "", above_minimum(track.measured, self.settings))
