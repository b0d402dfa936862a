"""The colours of every figure by meaning, in pictures, notebooks and on the page of a run.

Series have colours of Okabe and Ito, classes those of Petroff's ten, both distinguishable with colour blindness. A
marker, a line style or a sign always repeats the meaning of a colour. The page takes its colours from here.

Sources: Okabe and Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color; Petroff 2021, arXiv:2107.02270.
"""

MAIN = "#0072B2"
"""Blue: the first or only series, and a right prediction."""
CONTRAST = "#D55E00"
"""Vermilion: the second series, a marked value, and a wrong prediction."""
REFERENCE = "#CC79A7"
"""Reddish purple: a series to compare with."""
TRUE_CLASS = "#009E73"
"""Green: the true class of an image, and nothing else."""
NEUTRAL = "#555555"
"""Grey: a baseline, or neither of two series."""
ON_DARK = {MAIN: "#56B4E9", CONTRAST: "#FF9D66", REFERENCE: "#E3A5C8", TRUE_CLASS: "#2FC79C", NEUTRAL: "#A9B0BB"}
"""The same colours on a dark ground, lighter."""
CATEGORIES = (
    *("#3F90DA", "#FFA90E", "#BD1F01", "#94A4A2", "#832DB6"),
    *("#A96B59", "#E76300", "#B9AC70", "#717581", "#92DADD"),
)
"""Blue, orange, red, light grey, purple, brown, vermilion, tan, grey and light blue: classes or splits by number."""
MAP_COLORMAP = "viridis"
"""For feature maps and class activation maps."""
SEQUENTIAL_COLORMAP = "cividis"
"""For all other ordered values; monotonic in lightness, and readable with red-green colour blindness."""
RIGHT_SIGN, WRONG_SIGN = "\N{CHECK MARK}", "\N{BALLOT X}"
