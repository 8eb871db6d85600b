"""The public names are a promise: a change to them is a change to this test."""

import inspect

import pytest

import trialscan
from trialscan import errors


def test_the_functions_of_the_package():
    verbs = ["analyze", "evaluate", "register", "report", "run", "segment", "simulate", "track", "validate", "verify"]
    assert sorted(trialscan.__all__) == ["__version__", *verbs]
    for name in set(trialscan.__all__) - {"__version__"}:
        function = getattr(trialscan, name)
        assert inspect.isfunction(function)
        assert function.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = trialscan.frobnicate


def test_every_error_carries_the_exit_code_of_its_kind():
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.TrialscanError)
    }
    assert codes == {
        "TrialscanError": 1,
        "UsageError": 2,
        "InputError": 3,
        "ProtocolError": 3,
        "ManifestError": 3,
        "ScanError": 4,
        "ImagingError": 4,
        "GeometryError": 4,
        "SegmentationError": 4,
        "RegistrationError": 4,
        "LesionError": 4,
        "StatisticsError": 4,
        "ReportError": 4,
        "VerificationError": 5,
    }
