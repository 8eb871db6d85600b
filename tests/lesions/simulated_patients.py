"""Patients of known lesions over five visits, and how their history compares with the truth.

Lesions are seeds of disease: balls at fixed places that grow and shrink, appear, vanish, touch and part again. Visits
may be missing, unaligned or cropped; the error of an alignment is a smooth random displacement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.lesions.conftest import KnownAlignment, Scene, smooth_field
from trialscan.lesions import Change, Findings, History, VisitFindings, track_patient
from trialscan.study.sections import LesionSettings

Floats = NDArray[np.float64]

FIELD_MM = np.array([200.0, 150.0, 200.0])
SPACING_MM = np.array([1.5, 1.5, 2.0])
BORDER_MM = 7 * SPACING_MM
VISITS = 5
P95_OF_MEAN = 1.75  # of the length of a normal 3-vector


@dataclass(frozen=True)
class Patient:
    """Seeds of disease: fixed places (n, 3) and radii at each visit (visits, n), 0 where absent."""

    places: Floats
    radii: Floats


def draw_patient(rng: np.random.Generator, lesions: int, median_ml: float, crowded: float = 1 / 3) -> Patient:
    """Seeds of about `median_ml`; the share `crowded` of them lies around others (10 mm, SD by axis)."""
    volumes = median_ml * np.exp(rng.normal(0, 1, lesions))
    places = rng.uniform(0, 1, (lesions, 3)) * FIELD_MM
    crowd = int(lesions * crowded)
    places[:crowd] = places[rng.integers(crowd, lesions, crowd)] + rng.normal(0, 10, (crowd, 3))
    growth = rng.normal(0, 0.35, (VISITS, lesions)).cumsum(axis=0)
    first = np.where(rng.random(lesions) < 0.15, rng.integers(1, VISITS, lesions), 0)
    last = np.where(rng.random(lesions) < 0.3, rng.integers(0, VISITS, lesions), VISITS)
    present = (np.arange(VISITS)[:, None] >= first) & (np.arange(VISITS)[:, None] <= last)
    return Patient(places, np.cbrt(3000 * volumes * np.exp(growth) / (4 * np.pi)) * present)


@dataclass(frozen=True)
class Field:
    """The scanned box in mm, and what became of the visit: "ok", "unaligned" or "missing"."""

    low: Floats
    high: Floats
    status: str = "ok"


def whole(status: str = "ok") -> Field:
    """The whole patient."""
    return Field(-BORDER_MM, FIELD_MM + BORDER_MM, status)


def cropped(rng: np.random.Generator) -> Field:
    """A field that lacks 20 to 50 % of one axis, and of a second one half the time, from either end."""
    low, high = -BORDER_MM, FIELD_MM + BORDER_MM
    for axis in rng.permutation(3)[: rng.integers(1, 3)]:
        cut = rng.uniform(0.2, 0.5) * FIELD_MM[axis]
        if rng.random() < 0.5:
            low = np.where(np.arange(3) == axis, low + cut, low)
        else:
            high = np.where(np.arange(3) == axis, high - cut, high)
    return Field(low, high)


@dataclass(frozen=True)
class SimulatedScan:
    """Findings, for each lesion number the seeds it is made of, and the field."""

    findings: Findings
    made_of: Mapping[int, set[int]]
    field: Field


def scan(patient: Patient, visit: int, settings: LesionSettings, field: Field | None = None) -> SimulatedScan:
    """One visit's scan."""
    field = field or whole()
    i, j, k = ((field.high - field.low) / SPACING_MM).round().astype(int).tolist()
    x, y, z = field.low.tolist()
    canvas = Scene((i, j, k), tuple(SPACING_MM.tolist()), (x, y, z))
    balls = {int(n): (tuple(patient.places[n]), patient.radii[visit, n]) for n in np.flatnonzero(patient.radii[visit])}
    findings = canvas.findings(*balls.values(), settings=settings)
    made_of: dict[int, set[int]] = {lesion.number: set() for lesion in findings.lesions}
    for seed, ball in balls.items():
        box, inside = canvas.ball(*ball)
        for number in np.unique(findings.labels.array[box][inside]):
            if number:
                made_of[int(number)].add(seed)
    return SimulatedScan(findings, made_of, field)


def followed(
    scans: Sequence[SimulatedScan],
    rng: np.random.Generator,
    residual_mm: float,
    settings: LesionSettings,
    *,
    told: bool,
) -> History:
    """The history under a residual error of the mean length `residual_mm`, estimated rightly where `told`."""
    quality = {"estimated_error_mm_p95": P95_OF_MEAN * residual_mm if told else None}
    visits = []
    for number, held in enumerate(scans):
        status = "fail" if held.field.status == "unaligned" else "pass"
        alignment = KnownAlignment(smooth_field(rng, residual_mm), status, quality) if number else None
        missing = held.field.status == "missing"
        visits.append(
            VisitFindings(
                f"V{number}",
                number,
                None if missing else held.findings,
                alignment,
                is_baseline=number == 0,
                status="missing" if missing else "ok",
            )
        )
    return track_patient(visits, settings)


Link = tuple[str, int, str, int]


def true_links(scans: Sequence[SimulatedScan]) -> set[Link]:
    """(visit, number, later visit, number) of lesions that share a seed, for each seed from one sight to the next."""
    last: dict[int, tuple[str, int]] = {}
    links = set()
    for visit, held in _linked(scans):
        here = [(seed, (visit, number)) for number, seeds in held.made_of.items() for seed in seeds]
        links |= {(*last[seed], *place) for seed, place in here if seed in last}
        last.update(here)
    return links


def found_links(history: History) -> set[Link]:
    """The same from a history: each lesion with its predecessors, where these were last seen."""
    last: dict[str, tuple[str, int]] = {}
    links: set[Link] = set()
    for visit in dict.fromkeys(row.visit for row in history.rows):
        seen = [row for row in history.rows if row.visit == visit and row.label is not None and row.family]
        places = {row.lesion_id: (visit, row.label) for row in seen if row.label is not None}
        links |= {(*last[parent], *places[row.lesion_id]) for row in seen for parent in row.predecessors}
        last.update(places)
    return links


def _linked(scans: Sequence[SimulatedScan]) -> list[tuple[str, SimulatedScan]]:
    return [(f"V{number}", held) for number, held in enumerate(scans) if held.field.status == "ok"]


@dataclass(frozen=True)
class LinkScore:
    """Links right, wrong and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: "LinkScore") -> "LinkScore":
        """Of both together."""
        return LinkScore(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """2 right / (2 right + wrong + missed); 1 where there is nothing to link and nothing was."""
        number = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / number if number else 1.0


def score_links(history: History, scans: Sequence[SimulatedScan]) -> LinkScore:
    """The found links against the true ones."""
    found, truth = found_links(history), true_links(scans)
    return LinkScore(len(found & truth), len(found - truth), len(truth - found))


def true_families(scans: Sequence[SimulatedScan]) -> dict[tuple[str, int], int]:
    """For each (visit, lesion number) its true family: all lesions that seeds in common join over all visits."""
    joined: dict[int, int] = {}

    def root(seed: int) -> int:
        while joined.setdefault(seed, seed) != seed:
            seed = joined[seed]
        return seed

    for _, held in _linked(scans):
        for seeds in held.made_of.values():
            first, *others = sorted(seeds)
            for other in others:
                joined[root(other)] = root(first)
    return {(visit, number): root(min(s)) for visit, held in _linked(scans) for number, s in held.made_of.items()}


def family_errors(history: History, scans: Sequence[SimulatedScan]) -> tuple[float, float]:
    """Misplaced volume, and all volume, in ml, over families and visits.

    Each true family is compared with the found one that holds most of it, each found one being taken once.
    """
    truth = true_families(scans)
    seen = [row for row in history.rows if row.label is not None and row.family]
    shared: dict[tuple[int, str], float] = {}
    for row in seen:
        key = truth[row.visit, row.label or 0], row.family
        shared[key] = shared.get(key, 0.0) + (row.volume_ml or 0.0)
    partner: dict[int, str] = {}
    for true, found in sorted(shared, key=lambda key: (-shared[key], key)):
        if true not in partner and found not in partner.values():
            partner[true] = found
    owner = {found: true for true, found in partner.items()}
    volumes: dict[tuple[int | None, str], list[float]] = {}
    for row in seen:
        for name, side in ((truth[row.visit, row.label or 0], 0), (owner.get(row.family), 1)):
            volumes.setdefault((name, row.visit), [0.0, 0.0])[side] += row.volume_ml or 0.0
    return sum(abs(a - b) for (name, _), (a, b) in volumes.items() if name is not None), sum(
        a for a, _ in volumes.values()
    )


def resolved_shares(history: History, scans: Sequence[SimulatedScan]) -> list[float]:
    """For each resolution, the share of the lesion, as last seen, that lies in the field of the scan that says so."""
    last: dict[str, Floats] = {}
    shares = []
    for row in history.rows:
        held = scans[row.study_day]
        if row.label is not None and row.family:
            grid = held.findings.labels
            last[row.lesion_id] = grid.to_world(np.argwhere(grid.array == row.label).astype(np.float64))
        elif row.change is Change.RESOLVED:
            here = last[row.lesion_id]
            seen = (here > held.field.low) & (here < held.field.high)
            shares.append(float(seen.all(axis=1).mean()) if held.field.status == "ok" else 0.0)
    return shares
