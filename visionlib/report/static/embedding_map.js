// The map of the images: one canvas, on which images can be circled.

const MAP_MARGIN = 14;
const SMALLEST_LASSO_PX = 6;
const MOST_CORNERS = 48;
const points = data.embedding_map && {
  x: unpack(data.embedding_map.x),
  y: unpack(data.embedding_map.y),
};
if (points) {
  points.record = unpackOrCount(data.embedding_map.record, points.x.length);
  const range = (values) => {
    const [low, high] = [values.reduce((a, b) => Math.min(a, b), 65535), values.reduce((a, b) => Math.max(a, b), 0)];
    return [low / 65535, Math.max(high, low + 1) / 65535];
  };
  points.extent = { x: range(points.x), y: range(points.y) };
}
const pointOf = new Map(points ? Array.from(points.record, (record, at) => [record, at]) : []);
let stroke = null;
let mapClass = "";

// Corners in thousandths of the map's side, as in the URL.
function readLasso(text) {
  if (!text || !points) return null;
  const numbers = text.split(".").map(Number);
  if (numbers.length < 6 || numbers.some((number) => !Number.isFinite(number))) return null;
  const corners = [];
  for (let at = 0; at + 1 < numbers.length; at += 2) corners.push([numbers[at] / 1000, numbers[at + 1] / 1000]);
  return corners;
}

function writeLasso(corners) {
  const step = Math.max(1, Math.ceil(corners.length / MOST_CORNERS));
  return corners
    .filter((_, at) => at % step === 0)
    .flat()
    .map((coordinate) => Math.round(coordinate * 1000))
    .join(".");
}

function isInside(polygon, record) {
  const at = pointOf.get(record);
  if (at === undefined) return false;
  const [x, y] = [points.x[at] / 65535, points.y[at] / 65535];
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

// The position of the unit square of the map on the canvas, scaled so that the points fill the canvas.
function mapFrame(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [across, down] = [points.extent.x, points.extent.y];
  const side = Math.min((width - 2 * MAP_MARGIN) / (across[1] - across[0]), (height - 2 * MAP_MARGIN) / (down[1] - down[0]));
  return {
    left: (width - side * (across[0] + across[1])) / 2,
    top: (height - side * (down[0] + down[1])) / 2,
    side,
  };
}

function findNearest(canvas, x, y) {
  const frame = mapFrame(canvas);
  let best = null;
  let least = 12 * 12;
  for (let at = 0; at < points.record.length; at++) {
    const across = frame.left + (points.x[at] / 65535) * frame.side - x;
    const down = frame.top + (points.y[at] / 65535) * frame.side - y;
    const distance = across * across + down * down;
    if (distance < least) [best, least] = [points.record[at], distance];
  }
  return best;
}

// The image under the pointer, beside it.
function showHint(record, x, y) {
  const hint = document.getElementById("map-hint");
  hint.hidden = record === null;
  if (record === null) return;
  hint.replaceChildren(makeTile(pictureOf(record), describe(record)), make("span", {}, describe(record), make("br"), fileOf(sourceOf(record))));
  const frame = hint.parentElement;
  hint.style.left = `${Math.max(0, Math.min(x + 14, frame.clientWidth - hint.offsetWidth - 4))}px`;
  hint.style.top = `${y + 14 + hint.offsetHeight > frame.clientHeight ? y - hint.offsetHeight - 10 : y + 14}px`;
}

function startMap() {
  const canvas = document.getElementById("map-canvas");
  if (!points || !canvas) return;
  const circled = document.getElementById("map-circled");
  const show = document.getElementById("map-show");
  const select = document.getElementById("map-class");
  fillMenu(select, classes.map((name, label) => [String(label), name]), "all classes");
  select.addEventListener("change", () => {
    mapClass = select.value;
    drawMap();
  });
  const unitPoint = (event) => {
    const frame = mapFrame(canvas);
    return [(event.offsetX - frame.left) / frame.side, (event.offsetY - frame.top) / frame.side];
  };
  let begun = null;
  canvas.addEventListener("pointerdown", (event) => {
    begun = [event.offsetX, event.offsetY];
    stroke = [unitPoint(event)];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (stroke) {
      stroke.push(unitPoint(event));
      drawMap();
      return;
    }
    showHint(findNearest(canvas, event.offsetX, event.offsetY), event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointerleave", () => showHint(null));
  canvas.addEventListener("pointerup", (event) => {
    if (!stroke) return;
    const corners = stroke;
    stroke = null;
    const isStroke = corners.length > 3 && corners.some(([x, y]) => {
      const frame = mapFrame(canvas);
      return Math.hypot(frame.left + x * frame.side - begun[0], frame.top + y * frame.side - begun[1]) > SMALLEST_LASSO_PX;
    });
    if (isStroke) {
      openState({ ...START, kind: "all", lasso: writeLasso(corners) });
      return;
    }
    const record = findNearest(canvas, event.offsetX, event.offsetY);
    showHint(null);
    if (record !== null) openImage(record);
    drawMap();
  });
  canvas.addEventListener("pointercancel", () => {
    stroke = null;
    drawMap();
  });
  document.getElementById("map-clear").addEventListener("click", () => setState({ ...START }));
  show.addEventListener("click", goToImages);
  listeners.push(() => {
    circled.hidden = !state.lasso;
    if (state.lasso) show.textContent = `show the ${writeCount(shown.length)} circled images`;
    drawMap();
  });
  new ResizeObserver(drawMap).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
}
