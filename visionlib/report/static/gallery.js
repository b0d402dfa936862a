// The images that are shown, as buttons in a grid, and the worst mistakes beside the verdict, of all and of the weakest class.

const PAGE = window.innerWidth < 768 ? 24 : 60;
const N_WORST = 6;
const BADGES = [
  ["L", "label candidate", (record) => candidateOf.has(record), candidateOf.size],
  ["D", "near-duplicate in training", (record) => duplicateOf.has(record), duplicateOf.size],
  ["M", "has maps", (record) => maps.row.has(record), maps],
].filter((badge) => badge[3]);
let shown = [];
let drawn = 0;

function describe(record) {
  const prediction = `${classes[predicted(record)]} ${writePercent(confidence(record))}`;
  return isRight(record)
    ? `image ${records.index[record]}: ${prediction}, correct`
    : `image ${records.index[record]}: ${classes[records.label[record]]}, taken for ${prediction}`;
}

function makeBadge(letter, words) {
  return make("abbr", { title: words, dataset: { badge: letter } }, letter);
}

function makeThumb(record) {
  const words = describe(record);
  const label = make("span", { className: "caption" }, nameOf(records.label[record]), make("br"));
  if (isRight(record)) label.append("correct");
  else label.append("→ ", nameOf(predicted(record)));
  const own = BADGES.filter(([, , has]) => has(record)).map(([letter, title]) => makeBadge(letter, title));
  const button = make(
    "button",
    { type: "button", className: "thumb", title: sourceOf(record) ? `${words}\n${sourceOf(record)}` : words, dataset: { index: records.index[record] } },
    makeTile(pictureOf(record), words),
    label,
    make("span", { className: "figure" }, writePercent(confidence(record))),
    make("span", { className: "marks" }, ...own),
  );
  button.addEventListener("click", () => openImage(record));
  return make("div", { role: "listitem" }, button);
}

function showMore(count) {
  const gallery = document.getElementById("gallery");
  const until = Math.min(shown.length, drawn + count);
  gallery.append(...shown.slice(drawn, until).map(makeThumb));
  drawn = until;
  document.getElementById("more").hidden = drawn >= shown.length;
}

function describeFilter() {
  const parts = [KINDS[state.kind].words];
  if (state.true !== "") parts.push(`of class ${classes[Number(state.true)]}`);
  if (state.predicted !== "") parts.push(`taken for ${classes[Number(state.predicted)]}`);
  if (state.file) parts.push(`with ${state.file} in the name of the file`);
  if (state.lasso) parts.push("circled on the map");
  return parts.join(", ");
}

function showGallery() {
  shown = selectRecords();
  drawn = 0;
  document.getElementById("gallery").replaceChildren();
  const without = shown.filter((record) => records.picture[record] < 0).length;
  const kind = sheets.thumbnails ? "with a small thumbnail" : "without a picture";
  const missing = without ? `; ${writeCount(without)} of them ${kind} here` : "";
  const unlisted = records.n < data.n ? ` (of ${writeCount(records.n)} images that this page lists)` : "";
  document.getElementById("count").replaceChildren(
    make("strong", {}, writeCount(shown.length)),
    ` images: ${describeFilter()}${unlisted}${missing}`,
  );
  showMore(PAGE);
}

function showWorst() {
  const mistakes = Array.from({ length: records.n }, (_, record) => record).filter(KINDS.wrong.has);
  mistakes.sort((a, b) => records.loss[b] - records.loss[a] || a - b);
  const fill = (id, chosen) => document.getElementById(id).append(...chosen.slice(0, N_WORST).map(makeThumb));
  fill("worst", mistakes);
  const weakest = document.getElementById("weakest");
  if (weakest) fill("weakest", mistakes.filter((record) => records.label[record] === Number(weakest.dataset.class)));
  document.getElementById("worst-images").hidden = !mistakes.length;
}

function startGallery() {
  document.getElementById("more").addEventListener("click", () => showMore(PAGE));
  const legend = document.getElementById("badges");
  legend.append(...BADGES.map(([letter, words]) => make("span", {}, makeBadge(letter, words), ` ${words}`)));
  legend.hidden = !BADGES.length;
  showWorst();
  const fields = ["true", "predicted", "kind", "sort", "file", "lasso"];
  listeners.push((now, before) => {
    if (!before || fields.some((name) => now[name] !== before[name])) showGallery();
  });
}
