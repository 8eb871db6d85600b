"""The columns of a manifest that have a meaning of their own; every other one is a covariate."""

PATIENT, VISIT, SCAN = "patient_id", "visit", "scan"
STUDY_DAY, SCAN_DATE = "study_day", "scan_date"
ARM, ORGAN_MASK, LESION_MASK = "arm", "organ_mask", "lesion_mask"

REQUIRED_COLUMNS = (PATIENT, VISIT, SCAN)
KNOWN_COLUMNS = (*REQUIRED_COLUMNS, STUDY_DAY, SCAN_DATE, ARM, ORGAN_MASK, LESION_MASK)

SCANNER = "scanner"  # a covariate like others, that also tells when sizes compare worse

# Covariates stand in analysis.csv in capitals, beside these columns of the ADaM basic data structure.
ANALYSIS_COLUMNS = frozenset(
    [
        *(
            "STUDYID",
            "USUBJID",
            "TRT01P",
            "PARAMCD",
            "PARAM",
            "AVISIT",
            "AVISITN",
            "ADY",
            "AVAL",
            "BASE",
            "CHG",
            "PCHG",
        ),
        *("ABLFL", "ANL01FL", "SRCIMG", "SRCMASK"),
    ]
)
