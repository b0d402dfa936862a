// The picture with the map over it, and the pixels that the network sees.

const VIRIDIS = [
  [68, 1, 84], [71, 24, 106], [70, 47, 124], [64, 67, 135], [56, 88, 140], [48, 106, 142], [41, 124, 142], [34, 141, 141],
  [31, 158, 137], [43, 176, 127], [72, 193, 110], [112, 207, 87], [157, 217, 59], [205, 225, 29], [253, 231, 37],
];
const LONGEST_PX = 1200;
const MAP_PX = 192;
const OUTSIDE = "rgb(20 22 26 / 62%)";

function viridis(fraction) {
  const position = fraction * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(position), VIRIDIS.length - 2);
  return VIRIDIS[below].map((from, channel) => from + (position - below) * (VIRIDIS[below + 1][channel] - from));
}

// A cubic curve through neighbouring cells, without overshoot, so that the cells' edges do not show.
function sample(map, y, x) {
  const [height, width] = map.size;
  const place = (position, count) => {
    const within = Math.min(Math.max(position, 0), count - 1);
    const below = Math.min(Math.floor(within), Math.max(count - 2, 0));
    const rest = within - below;
    return [below, Math.min(below + 1, count - 1), rest * rest * (3 - 2 * rest)];
  };
  const [top, bottom, down] = place(y * height - 0.5, height);
  const [left, right, across] = place(x * width - 0.5, width);
  const row = (at) => map.values[at * width + left] * (1 - across) + map.values[at * width + right] * across;
  return row(top) * (1 - down) + row(bottom) * down;
}

// Much evidence is bright and covers; where there is little, the picture shows through.
function drawMap(map) {
  const canvas = document.createElement("canvas");
  canvas.width = MAP_PX;
  canvas.height = MAP_PX;
  const image = new ImageData(MAP_PX, MAP_PX);
  for (let y = 0; y < MAP_PX; y++) {
    for (let x = 0; x < MAP_PX; x++) {
      const value = sample(map, (y + 0.5) / MAP_PX, (x + 0.5) / MAP_PX);
      image.data.set([...viridis(value), 255 * (0.4 + 0.6 * value)], 4 * (y * MAP_PX + x));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Draws the picture; what the network does not see is dark, and the map lies over the rest.
function drawPicture(canvas, picture, crop, map, opacity) {
  const frame = canvas.parentElement;
  const ratio = window.devicePixelRatio || 1;
  const fit = Math.min(frame.clientWidth / picture.width, frame.clientHeight / picture.height);
  const scale = Math.min(fit * ratio, LONGEST_PX / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.style.width = `${picture.width * fit}px`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const [left, top, right, bottom] = [crop.left, crop.top, crop.right, crop.bottom].map((side) => side * scale);
  if (map) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(drawMap(map), left, top, right - left, bottom - top);
    context.globalAlpha = 1;
  }
  context.fillStyle = OUTSIDE;
  context.beginPath();
  context.rect(0, 0, canvas.width, canvas.height);
  context.rect(left, top, right - left, bottom - top);
  context.fill("evenodd");
}

function drawPixels(canvas, pixels, { width, height }) {
  const channels = pixels.length / (width * height);
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = pixels[at * channels + (channels === 3 ? channel : 0)];
    image.data[4 * at + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

function drawLegend(canvas) {
  const image = new ImageData(canvas.width, 1);
  for (let x = 0; x < canvas.width; x++) image.data.set([...viridis(x / (canvas.width - 1)), 255], 4 * x);
  canvas.getContext("2d").putImageData(image, 0, 0);
}
