"""Digests against figures from the FIPS 180-4 examples, and their invariances."""

from pathlib import Path

import pytest

from trialscan.audit import canonical_json, digest_bytes, digest_file, digest_json, digest_source


def test_the_published_example():
    assert digest_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_is_digested_by_content(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a") == digest_source([tmp_path / "a"]) == digest_bytes(b"abc")


def test_a_series_ignores_names_and_order_but_not_a_lost_file(tmp_path: Path):
    for name, content in (("1", b"x"), ("2", b"y"), ("3", b"x"), ("4", b"z")):
        (tmp_path / name).write_bytes(content)
    first, second, third, fourth = (tmp_path / name for name in "1234")
    assert digest_source([first, second]) == digest_source([second, third])
    assert digest_source([first, second]) != digest_source([first, fourth])
    assert digest_source([first, second, third]) != digest_source([first, second])


def test_json_is_digested_by_value():
    assert digest_json({"b": 1, "a": [1.5, "ä"]}) == digest_json({"a": [1.5, "ä"], "b": 1})
    assert canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
