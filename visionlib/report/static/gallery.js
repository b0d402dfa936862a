// The images that are shown, as buttons in a grid.

const PAGE = 60;
let shown = [];
let drawn = 0;

function describe(record) {
  const prediction = `${classes[predicted(record)]} ${writePercent(confidence(record))}`;
  return isRight(record)
    ? `image ${records.index[record]}: ${prediction}, correct`
    : `image ${records.index[record]}: ${classes[records.label[record]]}, taken for ${prediction}`;
}

function makeThumb(record) {
  const words = describe(record);
  const label = make("span", { className: "caption" }, nameOf(records.label[record]), make("br"));
  if (isRight(record)) label.append("correct");
  else label.append("→ ", nameOf(predicted(record)));
  const marks = make("span", { className: "marks" });
  if (candidateOf.has(record)) marks.append(make("abbr", { title: "label candidate" }, "L"));
  if (duplicateOf.has(record)) marks.append(make("abbr", { title: "near-duplicate in training" }, "D"));
  if (maps && maps.row.has(record)) marks.append(make("abbr", { title: "has maps" }, "M"));
  const button = make(
    "button",
    { type: "button", className: "thumb", title: words, dataset: { index: records.index[record] } },
    makeTile("pictures", records.picture[record], words),
    label,
    make("span", { className: "figure" }, writePercent(confidence(record))),
    marks,
  );
  button.addEventListener("click", () => setState({ image: String(records.index[record]) }));
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
  if (state.lasso) parts.push("circled on the map");
  return parts.join(", ");
}

function showGallery() {
  shown = selectRecords();
  drawn = 0;
  document.getElementById("gallery").replaceChildren();
  const without = shown.filter((record) => records.picture[record] < 0).length;
  const missing = without ? `; ${without.toLocaleString("en")} of them without a picture here` : "";
  const unlisted = records.n < data.n ? ` (of ${records.n.toLocaleString("en")} images that this page lists)` : "";
  document.getElementById("count").replaceChildren(
    make("strong", {}, shown.length.toLocaleString("en")),
    ` images: ${describeFilter()}${unlisted}${missing}`,
  );
  showMore(PAGE);
}

function startGallery() {
  document.getElementById("more").addEventListener("click", () => showMore(PAGE));
  const fields = ["true", "predicted", "kind", "sort", "lasso"];
  listeners.push((now, before) => {
    if (!before || fields.some((name) => now[name] !== before[name])) showGallery();
  });
}
