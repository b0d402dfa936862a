"""The colours of every figure, by their meaning: Okabe and Ito's, which people with colour blindness can tell apart.

A colour never stands alone: a marker, a line style or a sign repeats its meaning. The report's script holds the same
values (`report/static/colours.js`).

Source: Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color.
"""

MAIN = "#0072B2"
"""Blue: the first or only series, and a right prediction."""
CONTRAST = "#D55E00"
"""Vermilion: the second series, a marked value, and a wrong prediction."""
REFERENCE = "#009E73"
"""Green: a series to compare with."""
NEUTRAL = "#555555"
"""Grey: neither of two, or a baseline."""
CATEGORIES = (MAIN, "#E69F00", REFERENCE, "#CC79A7", "#56B4E9", CONTRAST, "#F0E442", "#6E6E6E")
"""Blue, orange, green, purple, sky blue, vermilion, yellow and grey: classes or splits by number."""
MAP_COLORMAP = "viridis"
"""Of feature maps and class activation maps."""
SEQUENTIAL_COLORMAP = "cividis"
"""Of ordered values beside others; monotonic in lightness, and readable with red-green colour blindness."""
RIGHT_SIGN, WRONG_SIGN = "\N{CHECK MARK}", "\N{BALLOT X}"
