// The selection and order of the images.

const isConfident = (record) => confidence(record) >= data.confident_from;
const isRightInOther = (record) => otherPredicted[record] === records.label[record];

// In the order of the menu, without those whose data is missing.
const KINDS = {
  wrong: { words: "mistakes", has: (record) => !isRight(record) },
  confident: { words: "confident mistakes", has: (record) => !isRight(record) && isConfident(record) },
  unsure: { words: "unsure mistakes", has: (record) => !isRight(record) && !isConfident(record) },
  right: { words: "correct ones", has: isRight },
  hesitant: { words: "correct, but unsure", has: (record) => isRight(record) && !isConfident(record) },
  all: { words: "all images", has: () => true },
  candidates: { words: "label candidates", has: (record) => candidateOf.has(record), needs: candidateOf.size },
  duplicates: { words: "near-duplicate in training", has: (record) => duplicateOf.has(record), needs: duplicateOf.size },
  explained: { words: "images with maps", has: (record) => maps.row.has(record), needs: maps },
  "only-this": { words: "correct in this run only", has: (r) => isRight(r) && !isRightInOther(r), needs: otherPredicted },
  "only-other": { words: "correct in the other run only", has: (r) => !isRight(r) && isRightInOther(r), needs: otherPredicted },
};
groups.forEach((group, at) => {
  KINDS[`group-${at + 1}`] = { words: `weak group ${at + 1}`, has: (record) => group.has(record) };
});
for (const [name, kind] of Object.entries(KINDS)) if ("needs" in kind && !kind.needs) delete KINDS[name];

const SORTS = {
  loss: { words: "loss, largest first", by: (record) => -records.loss[record] },
  margin: { words: "margin, largest first", by: (record) => -margin(record) },
  confidence: { words: "confidence, largest first", by: (record) => -confidence(record) },
  index: { words: "order in the split", by: (record) => records.index[record] },
};

function selectRecords() {
  const kind = KINDS[state.kind];
  const polygon = readLasso(state.lasso);
  const wanted = state.file.toLowerCase();
  const selected = [];
  for (let record = 0; record < records.n; record++) {
    if (state.true !== "" && records.label[record] !== Number(state.true)) continue;
    if (state.predicted !== "" && predicted(record) !== Number(state.predicted)) continue;
    if (!kind.has(record)) continue;
    if (wanted && !sourceOf(record).toLowerCase().includes(wanted)) continue;
    if (polygon && !isInside(polygon, record)) continue;
    selected.push(record);
  }
  const { by } = SORTS[state.sort];
  // Ties stay in the order of the split.
  return selected.sort((a, b) => by(a) - by(b) || a - b);
}

function fillMenu(select, entries, any) {
  if (any) select.append(make("option", { value: "" }, any));
  for (const [value, words] of entries) select.append(make("option", { value }, words));
}

function startFilters() {
  const names = classes.map((name, label) => [String(label), name]);
  const menus = { true: "filter-true", predicted: "filter-predicted", kind: "filter-kind", sort: "sort" };
  const words = (table) => Object.entries(table).map(([name, entry]) => [name, entry.words]);
  fillMenu(document.getElementById(menus.true), names, "any class");
  fillMenu(document.getElementById(menus.predicted), names, "any class");
  fillMenu(document.getElementById(menus.kind), words(KINDS));
  fillMenu(document.getElementById(menus.sort), words(SORTS));
  for (const [name, id] of Object.entries(menus)) {
    const select = document.getElementById(id);
    select.addEventListener("change", () => setState({ [name]: select.value }));
    listeners.push(() => {
      select.value = state[name];
    });
  }
  const file = document.getElementById("filter-file");
  if (file) {
    file.addEventListener("input", () => setState({ file: file.value }));
    listeners.push(() => {
      if (file.value !== state.file) file.value = state.file;
    });
  }
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => setState({ ...START, image: state.image }));
  for (const button of document.querySelectorAll("button[data-kind]")) {
    button.disabled = !(button.dataset.kind in KINDS);
    button.addEventListener("click", () => {
      openImages({ kind: button.dataset.kind });
    });
  }
}

// Scroll to the images, and put the focus there.
function goToImages() {
  document.getElementById("mistakes").scrollIntoView();
  if (state.image === "") document.getElementById("mistakes-title").focus({ preventScroll: true });
}

// Open a selection of images: Back returns to where it was opened.
function openImages(selection) {
  openState({ ...START, ...selection });
  goToImages();
}
