"""Numbers and codes of the tables as a physician reads them."""

import math

NONE = "–"


def number(value: float | None, digits: int = 1) -> str:
    """A fixed number of decimals, a real minus sign, a dash for nothing; small values keep two figures."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and abs(value) < 10.0**-digits:
        digits = min(6, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number, a dash for nothing."""
    return NONE if value is None else f"{value:.0f}".replace("-", "−")


def signed_percent(value: float | None) -> str:
    """A change in percent with its sign, without decimals."""
    return NONE if value is None else f"{value:+.0f} %".replace("-", "−")


def interval(estimate: float | None, lower: float | None, upper: float | None, digits: int = 1) -> str:
    """`−12.3 (−20.1 to −3.2)`, a dash for nothing."""
    if estimate is None:
        return NONE
    return f"{number(estimate, digits)} ({number(lower, digits)} to {number(upper, digits)})"


def p_value(value: float | None) -> str:
    """Three decimals, or `< 0.001`."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain(code: str) -> str:
    """A code of a table as words: `ground_glass` becomes `ground glass`."""
    return code.replace("_", " ").strip()


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def shortened(text: str, limit: int = 320, where: str = "") -> str:
    """The text, or its beginning and where the rest stands, so that no cell outgrows a page."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} …" + (f" (all of it in {where})" if where else "")


def short_digest(digest: str) -> str:
    """The first twelve characters of a digest, a dash for none."""
    return digest.removeprefix("sha256:")[:12] or NONE


def day(study_day: int | None) -> str:
    """`day 28`, or `no day` for a visit that has none."""
    return "no day" if study_day is None else f"day {study_day}".replace("-", "−")


def plural(quantity: int, noun: str) -> str:
    """`1 lesion`, `2 lesions`."""
    return f"{quantity} {noun}" if quantity == 1 else f"{quantity} {noun}s"
