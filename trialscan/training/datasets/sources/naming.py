"""What a case is called, whose it is, and what its files are called in the snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass

from trialscan.training.datasets.description import Meaning, NamedPlace, Rule
from trialscan.training.datasets.draft import Draft, DraftMask
from trialscan.training.datasets.sources.listing import Listing


@dataclass(frozen=True)
class Naming:
    """Names that one source gives to a draft: with the source's own in front where there are several."""

    prefix: str | None
    listing: Listing
    label_of: Mapping[str, int]
    draft: Draft

    def case(self, text: str) -> str:
        """A case's name in the snapshot."""
        return text if self.prefix is None else f"{self.prefix}_{text}"

    def path(self, path: str) -> str:
        """A file's path in the snapshot."""
        return path if self.prefix is None else f"{self.prefix}/{path}"

    def take(self, path: str) -> str | None:
        """Put a file, or all below a folder, among the draft's; its path in the snapshot, None where there is none."""
        files = self.listing.below(path)
        for file in files:
            self.draft.locations[self.path(file)] = self.listing.files[file]
        return self.path(path) if files else None

    def mask(self, path: str, meaning: Meaning) -> DraftMask:
        """A mask of that path in the snapshot, its labels as numbers."""
        values = {value: self.label_of[name] for value, name in meaning.values.items()}
        return DraftMask(path, values, None if meaning.any_value is None else self.label_of[meaning.any_value])

    def belonging(self, place: NamedPlace, where: str, case: str, patient: str | None) -> tuple[str, str]:
        """Patient and group of a case by the source's rules; without, the patient is the case, the group the patient.

        `patient` is what a pattern's field of that name holds, if there is one.
        """
        owner = self._by_rule(place.patient, "patient", where, case) if place.patient else patient or case
        return owner, self._by_rule(place.group, "group", where, case) if place.group else owner

    def _by_rule(self, rule: Rule, kind: str, where: str, case: str) -> str:
        found = rule.of(case)
        if found is None:
            self.draft.fault(where, f"the rule for its {kind} finds nothing in the case's name {case!r}")
            return case
        return found
