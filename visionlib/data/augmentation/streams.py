"""Which of an image's many draws each augmentation uses: no two share one, and 0 to 9 belong to the training order."""

CROP_ROWS = 10
CROP_COLUMNS = 11
FLIP = 12
CUTOUT_ROW = 13
CUTOUT_COLUMN = 14
ROTATION = 15
TRANSLATION_ROWS = 16
TRANSLATION_COLUMNS = 17
SCALE = 18
BRIGHTNESS = 19
CONTRAST = 20
SATURATION = 21
HUE = 22
