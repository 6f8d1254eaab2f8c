import math

import pytest

from nisbench.results.numbers import as_printed, concise, count, join, power_of_ten, score, significant


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.48753, 0.0012, "1.4875(12)"),
        (-1.487525, 0.000045, "−1.48752(4)"),
        (238.387, 1.23, "238.4(1.2)"),
        (3_123_456, 41_234, "3.12(4)×10⁶"),
        (1.2e-7, 3e-9, "1.200(30)×10⁻⁷"),
        (0.0, 0.02, "0.000(20)"),
        (12.3, 45.0, "12(45)"),
        (math.inf, None, "∞"),
        (2.0, 1e-15, "2"),
        (0.12345, None, "0.1235"),
        (0.00012345, None, "1.234×10⁻⁴"),
        (2_100_224.0, None, "2.1×10⁶"),
        (131_840.0, None, "131\N{NARROW NO-BREAK SPACE}840"),
    ],
)
def test_numbers_carry_their_error_in_the_last_digits(value: float, error: float | None, text: str):
    assert concise(value, error) == text


def test_other_forms_of_numbers():
    assert (score(-0.01), score(1.26), score(-26.0)) == ("0.0", "+1.3", "−26.0")
    assert [power_of_ten(x) for x in (0.01, 100, 1e4, 2e-5, 1e-5)] == ["0.01", "100", "10⁴", "2×10⁻⁵", "10⁻⁵"]
    assert (as_printed(0.55), as_printed(4.2e-5), as_printed(-60.07376)) == ("0.55", "4.2×10⁻⁵", "−60.07376")
    assert count(560) == "560"
    assert significant(math.pi, 3) == "3.14"


def test_parts_are_joined_as_in_a_sentence():
    assert [join([]), join([1]), join([1, 2]), join("abc")] == ["", "1", "1 and 2", "a, b and c"]
