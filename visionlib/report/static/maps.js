// The evidence on one image: its maps, its nearest training images, and its duplicates in training.

const MAP_PX = 96;

function makeMissing(part) {
  return make("p", { className: "missing" }, "Not in this run. Make it: ", make("code", {}, data.missing[part] || ""));
}

function makeMap(record, row, entry) {
  const size = entry.height * entry.width;
  const map = { ...entry, values: entry.values.subarray(row * size, (row + 1) * size) };
  const isConstant = map.values.every((value) => value === 0);
  const label = entry.target === "predicted" ? predicted(record) : entry.target === "true" ? records.label[record] : -1;
  const isTrue = entry.target === "true" || label === records.label[record];
  const target = make("span", { className: isTrue ? "target true" : "target" }, `${entry.target}: `);
  if (label >= 0) target.append(nameOf(label));
  const canvas = drawTile(pictureOf(record), MAP_PX, isConstant ? null : map);
  Object.assign(canvas.dataset, { method: entry.method, target: entry.target });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `map by ${entry.method} for the ${entry.target} class`);
  return make("figure", { className: "map" }, canvas, make("figcaption", {}, target, isConstant ? " (constant)" : ""));
}

// The maps of one method at its layers; they come in the order of their reliability.
function makeMethod(record, row, entries) {
  const [{ method, layers, height, width, rank, is_passed: isPassed }] = entries;
  const title = make("h4", {}, method, " ");
  if (isPassed === false) title.append(make("strong", { className: "failed" }, "failed the sanity check"));
  else if (rank) title.append(make("span", { className: "rank" }, `rank ${rank}`));
  const where = layers.length ? `${layers.join(" + ")}, ` : "";
  return make(
    "div",
    { className: "method" },
    title,
    make("p", { className: "note" }, `${where}${height} × ${width} cells`),
    make("div", { className: "maps" }, ...entries.map((entry) => makeMap(record, row, entry))),
  );
}

function makeMaps(record) {
  const row = maps && maps.row.get(record);
  if (row === undefined) {
    const show = make("button", { type: "button" }, "show images with maps");
    show.addEventListener("click", () => {
      openState({ ...START, kind: "explained" });
      goToImages();
    });
    return make("p", { className: "note" }, "No map was made of this image. ", show);
  }
  if (row === null) return makeMissing("explanations");
  const methods = new Map();
  for (const entry of maps.entries) {
    const key = [entry.method, ...entry.layers].join(" ");
    methods.set(key, [...(methods.get(key) || []), entry]);
  }
  return make("div", { className: "methods" }, ...Array.from(methods.values(), (entries) => makeMethod(record, row, entries)));
}

function makeTrainingTile(tile, index, label, words, source) {
  return make(
    "figure",
    { className: "neighbour" },
    makeTile(["training_pictures", tile], `training image ${index}, ${label}`),
    make("figcaption", {}, make("bdi", { className: "class-name", title: label }, label), make("br"), words,
      ...(source ? [make("br"), fileOf(source, true)] : [])),
  );
}

function makeNeighbours(record) {
  const row = neighbours && neighbours.row.get(record);
  if (row === undefined || row === null) {
    const words = "The page has them for the worst mistakes and for images with maps.";
    return neighbours ? make("p", { className: "note" }, words) : makeMissing("neighbours");
  }
  const tiles = [];
  for (let at = row * neighbours.k; at < (row + 1) * neighbours.k; at++) {
    const words = `#${neighbours.index[at]}, distance ${neighbours.distance[at].toFixed(3)}`;
    tiles.push(makeTrainingTile(neighbours.tile[at], neighbours.index[at], classes[neighbours.label[at]], words, neighbours.sourceOf(at)));
  }
  return make("div", { className: "neighbours" }, ...tiles);
}

function makeDuplicates(record) {
  const entry = duplicateOf.get(record);
  if (!entry) return [];
  const words = `#${entry.index}, ${entry.kind}, correlation ${entry.correlation.toFixed(3)}`;
  return [make("h3", {}, "Duplicate in training"), makeTrainingTile(entry.tile, entry.index, entry.label, words, entry.source)];
}
