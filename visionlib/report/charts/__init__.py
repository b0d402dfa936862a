"""Static charts as SVG, each with a title; the page's style sheet colours them."""
