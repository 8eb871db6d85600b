"""A comparison of models: its tables, as files and as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trialscan.training.comparison.contestants import Contest, Metric, read_contest
from trialscan.training.comparison.ranking import paired_differences, ranking
from trialscan.training.comparison.subgroups import subgroups
from trialscan.training.experiments.tables import as_csv

_CALLED = 0.05


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """`tables` holds `ranking`, `pairs` and `subgroups`, each a frame."""

    contest: Contest
    tables: Mapping[str, pd.DataFrame]

    @property
    def unlike_subgroups(self) -> pd.DataFrame:
        """The rows of subgroups whose levels differ beyond chance, by Holm's adjustment."""
        found = self.tables["subgroups"]
        return found[found["p_holm"].astype(float) < _CALLED]

    def write(self, out: Path) -> None:
        """Each table as CSV in the folder `out`."""
        out.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            (out / f"{name}.csv").write_text(as_csv(table), encoding="utf-8")

    def text(self) -> str:
        """Ranks, differences, and the subgroups whose scores differ after Holm's adjustment."""
        pairs, unlike = self.tables["pairs"], self.unlike_subgroups
        return "\n\n".join(
            [
                f"{self.contest.metric} on the same cases, each judged by networks that did not learn from it",
                _shown(self.tables["ranking"]),
                _shown(pairs) if len(pairs) else "one contestant, nothing to compare with",
                _shown(unlike) if len(unlike) else "no subgroup differs beyond chance (Holm)",
            ]
        )


def compare(contest: Contest) -> ModelComparison:
    """Rank the contestants, compare each pair, and look at subgroups."""
    tables = {"ranking": ranking(contest), "pairs": paired_differences(contest), "subgroups": subgroups(contest)}
    return ModelComparison(contest, tables)


def compare_experiments(folders: Sequence[Path], metric: Metric = "dice") -> ModelComparison:
    """The variants of finished experiments; raises InputError where they cannot be compared."""
    return compare(read_contest(folders, metric))


def _shown(table: pd.DataFrame) -> str:
    return table.to_string(index=False, na_rep="–", float_format=lambda value: f"{value:.3f}")
