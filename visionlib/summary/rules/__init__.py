"""What each operation does to the reach: which entries of its input an entry of its output depends on."""
