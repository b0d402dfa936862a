// Colours: viridis for maps; for classes those of the palette. Successive classes also differ in shape.

const VIRIDIS = [
  [68, 1, 84], [71, 24, 106], [70, 47, 124], [64, 67, 135], [56, 88, 140], [48, 106, 142], [41, 124, 142], [34, 141, 141],
  [31, 158, 137], [43, 176, 127], [72, 193, 110], [112, 207, 87], [157, 217, 59], [205, 225, 29], [253, 231, 37],
];
const SHAPES = ["circle", "square", "diamond", "triangle"];

function viridis(fraction) {
  const position = Math.min(Math.max(fraction, 0), 1) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(position), VIRIDIS.length - 2);
  const rest = position - below;
  return VIRIDIS[below].map((from, channel) => Math.round(from + rest * (VIRIDIS[below + 1][channel] - from)));
}

const classColour = (label) => data.colours[label % data.colours.length];
const classShape = (label) => SHAPES[(label + Math.floor(label / data.colours.length)) % SHAPES.length];

function drawShape(context, shape, x, y, size) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, size, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(x - size, y - size, 2 * size, 2 * size);
  else if (shape === "diamond") {
    context.moveTo(x, y - 1.3 * size);
    context.lineTo(x + 1.3 * size, y);
    context.lineTo(x, y + 1.3 * size);
    context.lineTo(x - 1.3 * size, y);
    context.closePath();
  } else {
    context.moveTo(x, y - 1.2 * size);
    context.lineTo(x + 1.2 * size, y + size);
    context.lineTo(x - 1.2 * size, y + size);
    context.closePath();
  }
}
