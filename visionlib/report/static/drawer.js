// One image: large, with its most probable classes, its maps, and its nearest training images.

const LARGE_PX = 192;
let openedFrom = null;

function makeTop(record) {
  const table = make("table", { className: "top" }, make("caption", {}, "Most probable classes"));
  for (let rank = 0; rank < topN; rank++) {
    const label = records.top[record * topN + rank];
    const probability = records.probability[record * topN + rank] / 65535;
    const isTrue = label === records.label[record];
    const bar = make("meter", { min: 0, max: 1, value: probability, title: writePercent(probability) });
    const name = make("th", { className: "name" }, nameOf(label), isTrue ? " (true)" : "");
    name.setAttribute("scope", "row");
    table.append(make("tr", { className: isTrue ? "true" : "" }, name, make("td", {}, writePercent(probability)), make("td", {}, bar)));
  }
  return table;
}

function makeFacts(record) {
  const facts = [
    ["true class", nameOf(records.label[record])],
    ["its probability", writePercent(trueProbability(record))],
    ["loss", `${records.loss[record].toFixed(3)} nats`],
    ["margin", margin(record).toFixed(3)],
  ];
  if (otherPredicted) facts.push([`prediction of ${data.against.name}`, nameOf(otherPredicted[record])]);
  const candidate = candidateOf.get(record);
  if (candidate) facts.push(["label candidate", make("span", {}, "suggested: ", nameOf(candidate.suggested))]);
  return make("dl", { className: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function makeMissing(part) {
  return make("p", { className: "missing" }, "Not in this run. Make it: ", make("code", {}, data.missing[part] || ""));
}

function makeMaps(record) {
  const row = maps && maps.row.get(record);
  if (row === undefined || row === null) {
    return maps ? make("p", { className: "note" }, "No map was made of this image.") : makeMissing("explanations");
  }
  const figures = maps.entries.map((entry) => {
    const size = entry.height * entry.width;
    const map = { ...entry, values: entry.values.subarray(row * size, (row + 1) * size) };
    const isConstant = map.values.every((value) => value === 0);
    const label = entry.target === "predicted" ? predicted(record) : entry.target === "true" ? records.label[record] : -1;
    const words = make("figcaption", {}, make("strong", {}, entry.method), ` for the ${entry.target} class`);
    if (label >= 0) words.append(": ", nameOf(label));
    const where = entry.layers.length ? `${entry.layers.join(" + ")}, ` : "";
    words.append(make("br"), `${where}${entry.height} × ${entry.width} cells`, isConstant ? "; constant" : "");
    const canvas = drawTile("pictures", records.picture[record], LARGE_PX / 2, isConstant ? null : map);
    Object.assign(canvas.dataset, { method: entry.method, target: entry.target });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `map by ${entry.method} for the ${entry.target} class`);
    return make("figure", { className: "map" }, canvas, words);
  });
  return make("div", { className: "maps" }, ...figures);
}

function makeTrainingTile(tile, index, label, words) {
  return make(
    "figure",
    { className: "neighbour" },
    makeTile("training_pictures", tile, `training image ${index}, ${label}`),
    make("figcaption", {}, make("bdi", { className: "class-name", title: label }, label), make("br"), words),
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
    tiles.push(makeTrainingTile(neighbours.tile[at], neighbours.index[at], classes[neighbours.label[at]], words));
  }
  return make("div", { className: "neighbours" }, ...tiles);
}

function makeDuplicates(record) {
  const entry = duplicateOf.get(record);
  if (!entry) return [];
  const words = `#${entry.index}, ${entry.kind}, correlation ${entry.correlation.toFixed(3)}`;
  return [make("h3", {}, "Duplicate in training"), makeTrainingTile(entry.tile, entry.index, entry.label, words)];
}

function showDrawer() {
  const drawer = document.getElementById("drawer");
  const record = state.image === "" ? undefined : recordOfIndex.get(Number(state.image));
  drawer.hidden = record === undefined;
  document.body.classList.toggle("has-drawer", !drawer.hidden);
  for (const thumb of document.querySelectorAll(".thumb[aria-current]")) thumb.removeAttribute("aria-current");
  if (record === undefined) return;
  const thumb = document.querySelector(`.thumb[data-index="${records.index[record]}"]`);
  if (thumb) thumb.setAttribute("aria-current", "true");
  const title = document.getElementById("drawer-title");
  title.replaceChildren(`#${records.index[record]} `, nameOf(records.label[record]));
  if (isRight(record)) title.append(" – correct");
  else title.append(" taken for ", nameOf(predicted(record)));
  const large = drawTile("pictures", records.picture[record], LARGE_PX);
  large.id = "picture";
  large.setAttribute("role", "img");
  large.setAttribute("aria-label", describe(record));
  const picture = records.picture[record] < 0
    ? make("p", { className: "note" }, "This page has no picture of this image.")
    : large;
  document.getElementById("drawer-body").replaceChildren(
    make("div", { className: "drawer-top" }, picture, makeTop(record)),
    makeFacts(record),
    make("h3", {}, "Maps"),
    makeMaps(record),
    make("h3", {}, "Nearest training images"),
    makeNeighbours(record),
    ...makeDuplicates(record),
  );
}

function step(by) {
  const record = recordOfIndex.get(Number(state.image));
  const position = shown.indexOf(record);
  if (!shown.length) return;
  const next = position < 0 ? 0 : (position + by + shown.length) % shown.length;
  if (next >= drawn) showMore(next - drawn + PAGE);
  setState({ image: String(records.index[shown[next]]) });
}

function closeDrawer() {
  const index = state.image;
  setState({ image: "" });
  const thumb = document.querySelector(`.thumb[data-index="${index}"]`);
  const target = thumb || openedFrom;
  if (target) target.focus();
}

function startDrawer() {
  document.getElementById("close").addEventListener("click", closeDrawer);
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  listeners.push((now, before) => {
    if (before && now.image === before.image) return;
    if (before && before.image === "") openedFrom = document.activeElement;
    showDrawer();
    if (before && before.image === "" && now.image !== "") document.getElementById("drawer-title").focus();
  });
}
