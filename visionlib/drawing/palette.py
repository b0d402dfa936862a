"""The colours of every figure by meaning: Okabe and Ito's palette, distinguishable with colour blindness.

A marker, a line style or a sign always repeats the meaning of a colour. `report/static/colours.js` holds the same
values.

Source: Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color.
"""

MAIN = "#0072B2"
"""Blue: the first or only series, and a right prediction."""
CONTRAST = "#D55E00"
"""Vermilion: the second series, a marked value, and a wrong prediction."""
REFERENCE = "#009E73"
"""Green: a series to compare with."""
NEUTRAL = "#555555"
"""Grey: a baseline, or neither of two series."""
CATEGORIES = (MAIN, "#E69F00", REFERENCE, "#CC79A7", "#56B4E9", CONTRAST, "#F0E442", "#6E6E6E")
"""Blue, orange, green, purple, sky blue, vermilion, yellow and grey: classes or splits by number."""
MAP_COLORMAP = "viridis"
"""For feature maps and class activation maps."""
SEQUENTIAL_COLORMAP = "cividis"
"""For all other ordered values; monotonic in lightness, and readable with red-green colour blindness."""
RIGHT_SIGN, WRONG_SIGN = "\N{CHECK MARK}", "\N{BALLOT X}"
