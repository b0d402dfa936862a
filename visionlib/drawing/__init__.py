"""Everything that several packages need to draw: palette, lettering, image grids, saving a figure."""
