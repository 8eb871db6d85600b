"""What the independent checks of all fits came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Agreement:
    """How many of the fits made a second time agree, by which `software`; `others` tells of those that do not."""

    agreeing: int
    total: int
    software: tuple[str, ...]
    others: tuple[str, ...]

    def __str__(self) -> str:
        """One line: how many of how many agree, and by what."""
        if not self.total:
            return "independent check: no fit to check"
        return f"independent check: {self.agreeing} of {self.total} fits agree ({'; '.join(self.software)})"


def agreement(models: Sequence[Mapping[str, Any]]) -> Agreement:
    """Gather the `independent_check` of the records of models.json."""
    checked = [model for model in models if "independent_check" in model]
    others = [_told(model) for model in checked if model["independent_check"]["verdict"] != "agrees"]
    software = tuple(dict.fromkeys(str(model["independent_check"]["software"]) for model in checked))
    return Agreement(len(checked) - len(others), len(checked), software, tuple(others))


def _told(model: Mapping[str, Any]) -> str:
    check = model["independent_check"]
    where = f"{model['analysis_id']}, visit {model['visit']}" if model.get("visit") else str(model["analysis_id"])
    found = check.get("loglik_difference")
    told = [] if found is None else [f"its log-likelihood is {abs(found):.2g} {'higher' if found > 0 else 'lower'}"]
    reasons = "; ".join([*told, *check["messages"]])
    return f"{where} {check['verdict']}: {check['software']}{f' ({reasons})' if reasons else ''}"
