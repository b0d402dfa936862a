"""Static charts as SVG: drawn out of figures alone, coloured by the page's own style sheet, each with a title."""
