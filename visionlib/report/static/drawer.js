// One image over the page: large, with its most probable classes and the evidence on it.

const LARGE_PX = window.innerWidth < 768 ? 128 : 192;
let openedFrom = null;

function makeTop(record) {
  const table = make("table", { className: "top" }, make("caption", {}, "Most probable classes"));
  for (let rank = 0; rank < topN; rank++) {
    const label = records.top[record * topN + rank];
    const probability = records.probability[record * topN + rank] / 65535;
    const isTrue = label === records.label[record];
    const bar = make("div", { className: "bar-fill" });
    bar.style.width = `${100 * probability}%`;
    const name = make("th", { className: "name" }, nameOf(label), isTrue ? " (true)" : "");
    name.setAttribute("scope", "row");
    table.append(make("tr", { className: isTrue ? "true" : "" }, name, make("td", {}, writePercent(probability)), make("td", {}, make("div", { className: "bar-track" }, bar))));
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
  if (sourceOf(record)) facts.unshift(["file", fileOf(sourceOf(record))]);
  if (otherPredicted) facts.push([`prediction of ${data.against.name}`, nameOf(otherPredicted[record])]);
  const candidate = candidateOf.get(record);
  if (candidate) facts.push(["label candidate", make("span", {}, "suggested: ", nameOf(candidate.suggested))]);
  return make("dl", { className: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function makePicture(record) {
  const [sheet, tile] = pictureOf(record);
  if (!sheets[sheet] || tile < 0) return make("p", { className: "note" }, "This page has no picture of this image.");
  const large = drawTile([sheet, tile], LARGE_PX);
  large.id = "picture";
  large.setAttribute("role", "img");
  large.setAttribute("aria-label", describe(record));
  if (sheet === "pictures") return large;
  return make("figure", {}, large, make("figcaption", {}, "small thumbnail; --full has the picture"));
}

function showDrawer() {
  const drawer = document.getElementById("drawer");
  const record = state.image === "" ? undefined : recordOfIndex.get(Number(state.image));
  drawer.hidden = record === undefined;
  for (const thumb of document.querySelectorAll(".thumb[aria-current]")) thumb.removeAttribute("aria-current");
  if (record === undefined) return;
  for (const thumb of document.querySelectorAll(`.thumb[data-index="${records.index[record]}"]`)) {
    thumb.setAttribute("aria-current", "true");
  }
  const title = document.getElementById("drawer-title");
  title.replaceChildren(`#${records.index[record]} `, nameOf(records.label[record]));
  if (isRight(record)) title.append(" – correct");
  else title.append(" taken for ", nameOf(predicted(record)));
  document.getElementById("drawer-body").replaceChildren(
    make("div", { className: "drawer-top" }, makePicture(record), makeTop(record)),
    makeFacts(record),
    make("h3", {}, "Maps"),
    makeMaps(record),
    make("h3", {}, "Nearest training images"),
    makeNeighbours(record),
    ...makeDuplicates(record),
  );
  drawer.scrollTop = 0;
}

function openImage(record) {
  const change = state.image === "" ? openState : setState;
  change({ image: String(records.index[record]) });
  document.getElementById("drawer-title").focus();
}

function step(by) {
  const position = shown.indexOf(recordOfIndex.get(Number(state.image)));
  if (!shown.length) return;
  const next = position < 0 ? 0 : (position + by + shown.length) % shown.length;
  if (next >= drawn) showMore(next - drawn + PAGE);
  setState({ image: String(records.index[shown[next]]) });
}

function closeDrawer() {
  closeState({ image: "" });
}

// To the element that opened the image, or to the image in the gallery if the keys have gone on from there.
function returnFocus(index) {
  const isGone = !openedFrom || !openedFrom.isConnected || openedFrom === document.body;
  const isOther = !isGone && openedFrom.dataset.index !== undefined && openedFrom.dataset.index !== index;
  const thumb = document.querySelector(`#gallery .thumb[data-index="${index}"]`);
  const target = (isGone || isOther) && thumb ? thumb : openedFrom;
  if (target) target.focus();
}

function startDrawer() {
  document.getElementById("close").addEventListener("click", closeDrawer);
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  listeners.push((now, before) => {
    if (before && now.image === before.image) return;
    const wasOpen = before && before.image !== "";
    if (!wasOpen && now.image !== "") openedFrom = document.activeElement;
    showDrawer();
    if (!wasOpen && now.image !== "") document.getElementById("drawer-title").focus();
    if (wasOpen && now.image === "") returnFocus(before.image);
  });
}
