"""Every bar is as long as its share, and no picture has too many."""

import re

import numpy as np
import pytest

from cbldm.report.posterior import HEIGHT, MOST_BARS, WIDTH, Posterior, posterior_html

COLUMN = re.compile(r'<rect class="(\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)">')


def columns(count: dict[int, float], dark: tuple[int, int]) -> list[tuple[str, float, float, float]]:
    """Class, left end, width and height of each column."""
    text = posterior_html(Posterior(count, {0.8: dark}, {"fcc": 1.0}))
    return [(kind, float(x), float(width), float(height)) for kind, x, width, height in COLUMN.findall(text)]


def test_columns_are_as_high_as_their_shares():
    drawn = columns({54: 0.1, 55: 0.6, 57: 0.3}, (55, 57))
    heights = np.array([height for *_, height in drawn])
    assert heights / heights.sum() == pytest.approx([0.1, 0.6, 0.3], abs=1e-3)
    assert [kind for kind, *_ in drawn] == ["outside", "inside", "inside"]
    left = [x for _, x, *_ in drawn]
    assert left[2] - left[1] == pytest.approx(2 * (left[1] - left[0]), abs=0.02)


@pytest.mark.parametrize("middle", [5, 55, 1000, 3000])
def test_a_wide_distribution_is_put_into_bins_inside_the_picture(middle):
    counts = np.arange(2 * middle + 5)
    shares = np.exp(-0.5 * ((counts - middle) / (0.2 * middle)) ** 2)
    drawn = columns(dict(enumerate(shares / shares.sum())), (middle - 1, middle + 1))
    assert 3 <= len(drawn) <= MOST_BARS + 1
    assert all(x >= 0 and x + width <= WIDTH and height <= HEIGHT for _, x, width, height in drawn)
    highest = max(drawn, key=lambda column: column[3])
    assert highest[0] == "inside"


def test_one_count_alone_is_one_column():
    assert len(columns({13: 1.0}, (13, 13))) == 1


def test_motifs_have_bars_of_their_shares():
    text = posterior_html(Posterior({13: 1.0}, {0.8: (13, 13)}, {"fcc": 0.75, "hcp": 0.249, "bcc": 0.001}))
    assert re.findall(r'height="8" width="([\d.]+)"', text) == ["75.00", "24.90", "0.10"]
    assert re.findall(r'class="number">([^<]*)<', text) == ["75 %", "25 %", "&lt; 1 %"]
