// Pictures: sheets of tiles, of test images, of training images, and of thumbnails of the other test images.

const sheets = {};
const SHEETS = { pictures: "--pictures", training_pictures: "--training-pictures", thumbnails: "--thumbnails" };

function startTiles() {
  for (const [name, variable] of Object.entries(SHEETS)) {
    const sheet = data[name];
    if (!sheet || !sheet.n) continue;
    document.documentElement.style.setProperty(variable, `url("${sheet.uri}")`);
    const image = new Image();
    image.src = sheet.uri;
    sheets[name] = { ...sheet, image, rows: Math.ceil(sheet.n / sheet.columns) };
  }
  const tile = sheets.pictures;
  if (tile) {
    const factor = Math.max(1, Math.round(64 / tile.height));
    document.documentElement.style.setProperty("--tile-height", `${tile.height * factor}px`);
    document.documentElement.style.setProperty("--tile-width", `${tile.width * factor}px`);
  }
}

// The sheet and tile of a record: its picture, else its thumbnail.
function pictureOf(record) {
  return records.picture[record] < 0 ? ["thumbnails", records.thumbnail[record]] : ["pictures", records.picture[record]];
}

// A tile as the background of an element: cheap enough for galleries of thousands.
function makeTile([name, tile], words) {
  const sheet = sheets[name];
  if (!sheet || tile < 0) return make("span", { className: "tile none", role: "img", "aria-label": words }, "no picture");
  const node = make("span", { className: `tile ${name.replace("_", "-")}`, role: "img", "aria-label": words });
  const offset = (at, count) => (count > 1 ? `${(100 * at) / (count - 1)}%` : "0%");
  node.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
  node.style.backgroundPosition =
    `${offset(tile % sheet.columns, sheet.columns)} ${offset(Math.floor(tile / sheet.columns), sheet.rows)}`;
  return node;
}

// A tile enlarged, a picture without smoothing, with a map over it if one is given.
function drawTile([name, tile], side, map) {
  const sheet = sheets[name];
  const canvas = make("canvas", { className: "large" });
  if (!sheet || tile < 0) return canvas;
  const factor = Math.max(1, Math.round(side / sheet.height));
  canvas.width = sheet.width * factor;
  canvas.height = sheet.height * factor;
  const paint = () => {
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = name === "thumbnails";
    const [x, y] = [(tile % sheet.columns) * sheet.width, Math.floor(tile / sheet.columns) * sheet.height];
    context.drawImage(sheet.image, x, y, sheet.width, sheet.height, 0, 0, canvas.width, canvas.height);
    if (map) paintMap(context, map, canvas.width, canvas.height);
    canvas.dataset.isDrawn = "yes";
  };
  if (sheet.image.complete) paint();
  else sheet.image.addEventListener("load", paint, { once: true });
  return canvas;
}

function paintMap(context, map, width, height) {
  const cell = [width / map.width, height / map.height];
  for (let row = 0; row < map.height; row++) {
    for (let column = 0; column < map.width; column++) {
      const [red, green, blue] = viridis(map.values[row * map.width + column] / 255);
      context.fillStyle = `rgba(${red}, ${green}, ${blue}, 0.6)`;
      const [left, top] = [Math.round(column * cell[0]), Math.round(row * cell[1])];
      context.fillRect(left, top, Math.round((column + 1) * cell[0]) - left, Math.round((row + 1) * cell[1]) - top);
    }
  }
}
