"""The statistical analysis plan: which parameters are compared, on which scale, against which arm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from trialscan.errors import StatisticsError
from trialscan.statistics.covariance import STRUCTURES
from trialscan.statistics.estimand_plan import Estimand, MissingDataPlan, estimand_from, missing_data_from
from trialscan.statistics.further.plan import FurtherPlan, further_plan
from trialscan.statistics.inference import DF_METHODS, Information
from trialscan.statistics.mmrm import FALLBACK
from trialscan.statistics.mmrm.sandwich import NAMES, Sandwich
from trialscan.study import AnalysisSettings, EndpointSettings

Transform = Literal["log1p", "none"]
Model = Literal["random_slope", "mmrm"]


class SlopeOptions(TypedDict):
    """Options of `fit_random_slope` that a plan sets."""

    df: str
    information: Information | None
    alpha: float


class MmrmOptions(TypedDict):
    """Options of `fit_mmrm` that a plan sets."""

    covariance: tuple[str, ...]
    group: str | None
    df: str
    information: Information
    sandwich: Sandwich | None
    alpha: float


@dataclass(frozen=True)
class EndpointPlan:
    """A parameter of the analysis table and the scale it is analysed on; log1p is log(1 + value in its own unit)."""

    paramcd: str
    transform: Transform = "log1p"
    primary: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown transform."""
        if self.transform not in ("log1p", "none"):
            raise StatisticsError(f"endpoint {self.paramcd}", f"transform {self.transform!r}", "'log1p' or 'none'")


@dataclass(frozen=True)
class AnalysisPlan:
    """What is compared and how.

    Parameters
    ----------
    endpoints : one primary, and any secondary ones in order.
    covariates : columns of the analysis table, in any case; there they stand in capitals.
    reference_arm : the arm the others are compared with; None takes the first by name.
    alpha : intervals cover 1 − alpha.
    min_patients_per_arm : with fewer an arm is not modelled.
    model : what the primary comparison is: the difference of slopes ("random_slope", with visit-wise differences by
        ANCOVA), or that of changes at the last visit by an MMRM ("mmrm", which gives all visit-wise differences).
    covariance : the MMRM's structures, the first that can be fitted. covariance_by_arm : one for each arm.
    df, information : degrees of freedom of mixed models, and the information they rest on; None takes the observed, and
        the expected for a random slope by Kenward–Roger or on its boundary.
    sandwich : the MMRM's standard errors and degrees of freedom by CR0, CR2 or CR3 instead of `df`.
    ancova : visits with an analysis of covariance; None takes all beside random slopes and none beside an MMRM.
    further : responders, counts, times to an event, subgroups, and the adjustment of p values.
    estimand : its attributes, and what is done with outcomes after an intercurrent event.
    missing_data : sensitivity analyses of the primary endpoint with missing outcomes imputed.
    """

    endpoints: tuple[EndpointPlan, ...]
    covariates: tuple[str, ...] = ()
    reference_arm: str | None = None
    alpha: float = 0.05
    min_patients_per_arm: int = 3
    model: Model = "random_slope"
    covariance: tuple[str, ...] = FALLBACK
    covariance_by_arm: bool = False
    df: str = DF_METHODS[0]
    information: Information | None = None
    sandwich: Sandwich | None = None
    ancova: tuple[str, ...] | None = None
    further: FurtherPlan = field(default_factory=FurtherPlan)
    estimand: Estimand = field(default_factory=Estimand)
    missing_data: MissingDataPlan = field(default_factory=MissingDataPlan)

    def __post_init__(self) -> None:
        """Refuse a plan that does not say one thing."""
        codes = [endpoint.paramcd for endpoint in self.endpoints]
        primaries = sum(endpoint.primary for endpoint in self.endpoints)
        if primaries != 1:
            raise StatisticsError("plan: endpoints", f"{primaries} marked primary", "exactly one")
        if len(set(codes)) < len(codes):
            raise StatisticsError("plan: endpoints", f"a parameter twice in {', '.join(codes)}", "each once")
        if not 0 < self.alpha < 1:
            raise StatisticsError("plan: alpha", f"{self.alpha!r}", "a probability between 0 and 1")
        if self.min_patients_per_arm < 2:
            raise StatisticsError("plan: min_patients_per_arm", f"{self.min_patients_per_arm}", "at least 2")
        self._refuse_options()

    def _refuse_options(self) -> None:
        """Refuse what no mixed model offers, and what only an MMRM does where the plan has none."""
        if unknown := [name for name in self.covariance if name not in STRUCTURES]:
            raise StatisticsError("plan: covariance", ", ".join(unknown), f"some of {', '.join(STRUCTURES)}")
        for name, known in (
            ("model", ("random_slope", "mmrm")),
            ("df", DF_METHODS),
            ("information", (None, "observed", "expected")),
            ("sandwich", (None, *NAMES)),
        ):
            if getattr(self, name) not in known:
                raise StatisticsError(
                    f"plan: {name}", repr(getattr(self, name)), f"one of {', '.join(map(str, known))}"
                )
        for name in ("covariance_by_arm", "sandwich"):
            if getattr(self, name) and self.model != "mmrm":
                raise StatisticsError(f"plan: {name}", f"set beside model {self.model!r}", "model 'mmrm'")

    @property
    def slope_options(self) -> SlopeOptions:
        """How random slopes are fitted."""
        return {"df": self.df, "information": self.information, "alpha": self.alpha}

    @property
    def mmrm_options(self) -> MmrmOptions:
        """How MMRMs are fitted."""
        return {
            "covariance": self.covariance,
            "group": "TRT01P" if self.covariance_by_arm else None,
            "df": self.df,
            "information": self.information or "observed",
            "sandwich": self.sandwich,
            "alpha": self.alpha,
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """The covariates' columns in the analysis table."""
        return tuple(dict.fromkeys(name.upper() for name in self.covariates))

    @property
    def table_columns(self) -> tuple[str, ...]:
        """The same, and the columns of the subgroups."""
        return tuple(dict.fromkeys((*self.columns, *(each.column for each in self.further.subgroups))))

    @property
    def named_endpoints(self) -> dict[str, EndpointPlan]:
        """primary, secondary1, secondary2, … in that order."""
        secondary = [endpoint for endpoint in self.endpoints if not endpoint.primary]
        primary = next(endpoint for endpoint in self.endpoints if endpoint.primary)
        return {"primary": primary, **{f"secondary{number}": each for number, each in enumerate(secondary, start=1)}}


def plan_from(endpoints: EndpointSettings, analysis: AnalysisSettings, codes: Mapping[str, str]) -> AnalysisPlan:
    """The plan of a protocol's sections; `codes` gives each measure's PARAMCD."""
    primary = EndpointPlan(codes[endpoints.primary.measure], endpoints.primary.transform, primary=True)
    secondary = (EndpointPlan(codes[each.measure], each.transform) for each in endpoints.secondary)
    return AnalysisPlan(
        endpoints=(primary, *secondary),
        covariates=analysis.covariates,
        reference_arm=analysis.reference_arm,
        alpha=analysis.alpha,
        min_patients_per_arm=analysis.min_patients_per_arm,
        model=analysis.model,
        covariance=analysis.covariance,
        covariance_by_arm=analysis.covariance_by_arm,
        df=analysis.df,
        information=analysis.information,
        sandwich=analysis.sandwich,
        ancova=analysis.ancova,
        further=further_plan(analysis, codes),
        estimand=estimand_from(analysis.estimand),
        missing_data=missing_data_from(analysis.missing_data),
    )
