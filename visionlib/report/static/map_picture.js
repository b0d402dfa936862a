// The picture of the map: a dot per image, a thin ring around each mistake, the names of the classes.

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
  const radius = points.record.length > 4000 ? 1.9 : 3.2;
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
      context.lineWidth = 0.6;
      context.globalAlpha = 0.6;
      context.beginPath();
      context.arc(x, y, radius + 1.4, 0, 2 * Math.PI);
      context.stroke();
      context.globalAlpha = 0.85;
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
