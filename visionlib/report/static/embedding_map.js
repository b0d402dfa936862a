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

function drawMap() {
  const canvas = document.getElementById("map-canvas");
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const frame = mapFrame(canvas);
  const ink = getComputedStyle(canvas).color;
  const polygon = readLasso(state.lasso);
  const locate = (at) => [frame.left + (points.x[at] / 65535) * frame.side, frame.top + (points.y[at] / 65535) * frame.side];
  const radius = points.record.length > 4000 ? 1.7 : 2.6;
  const isFaint = (record) =>
    (mapClass !== "" && records.label[record] !== Number(mapClass)) || (polygon && !isInside(polygon, record));
  for (const faint of [true, false]) {
    context.globalAlpha = faint ? 0.13 : 0.85;
    for (let at = 0; at < points.record.length; at++) {
      const record = points.record[at];
      if (Boolean(isFaint(record)) !== faint) continue;
      const [x, y] = locate(at);
      context.fillStyle = classColour(records.label[record]);
      drawShape(context, classShape(records.label[record]), x, y, radius);
      context.fill();
      if (isRight(record) || faint) continue;
      context.strokeStyle = ink;
      context.lineWidth = 1;
      context.beginPath();
      context.arc(x, y, radius + 1.8, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
  drawNames(context, locate, ink, getComputedStyle(canvas).backgroundColor);
  drawStroke(context, frame, ink, polygon);
  drawOpened(context, locate, ink);
  canvas.dataset.isDrawn = "yes";
}

// Names at the medians of the classes, so that colours need no legend.
function drawNames(context, locate, ink, ground) {
  if (classes.length > 20) return;
  const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineWidth = 4;
  context.lineJoin = "round";
  for (let label = 0; label < classes.length; label++) {
    const own = [];
    for (let at = 0; at < points.record.length; at++) if (records.label[points.record[at]] === label) own.push(locate(at));
    if (!own.length || (mapClass !== "" && Number(mapClass) !== label)) continue;
    const [x, y] = [middle(own.map((spot) => spot[0])), middle(own.map((spot) => spot[1]))];
    const name = classes[label].length > 18 ? `${classes[label].slice(0, 17)}…` : classes[label];
    context.strokeStyle = ground;
    context.strokeText(name, x, y);
    context.fillStyle = ink;
    context.fillText(name, x, y);
  }
}

function drawStroke(context, frame, ink, polygon) {
  const corners = stroke || polygon;
  if (!corners || corners.length < 2) return;
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.setLineDash([5, 4]);
  context.beginPath();
  for (const [x, y] of corners) context.lineTo(frame.left + x * frame.side, frame.top + y * frame.side);
  context.closePath();
  context.stroke();
  context.setLineDash([]);
}

function drawOpened(context, locate, ink) {
  const at = state.image === "" ? undefined : pointOf.get(recordOfIndex.get(Number(state.image)));
  if (at === undefined) return;
  const [x, y] = locate(at);
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.strokeRect(x - 7, y - 7, 14, 14);
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

function startMap() {
  const canvas = document.getElementById("map-canvas");
  if (!points || !canvas) return;
  const hint = document.getElementById("map-hint");
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
    const record = findNearest(canvas, event.offsetX, event.offsetY);
    hint.textContent = record === null ? "" : describe(record);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!stroke) return;
    const corners = stroke;
    stroke = null;
    const isStroke = corners.length > 3 && corners.some(([x, y]) => {
      const frame = mapFrame(canvas);
      return Math.hypot(frame.left + x * frame.side - begun[0], frame.top + y * frame.side - begun[1]) > SMALLEST_LASSO_PX;
    });
    if (isStroke) {
      setState({ ...START, kind: "all", lasso: writeLasso(corners) });
      return;
    }
    const record = findNearest(canvas, event.offsetX, event.offsetY);
    if (record !== null) setState({ image: String(records.index[record]) });
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
    if (state.lasso) show.textContent = `show the ${shown.length.toLocaleString("en")} circled images`;
    drawMap();
  });
  new ResizeObserver(drawMap).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
}
