// The first images of weak groups, the first label candidates, and the first duplicates beside their training images.

const MOST_LISTED = 24;

function openButton(record, ...children) {
  const button = make("button", { type: "button", className: "pair", title: sourceOf(record) ? `${describe(record)}\n${sourceOf(record)}` : describe(record) }, ...children);
  button.addEventListener("click", () => openImage(record));
  return button;
}

function startLists() {
  for (const strip of document.querySelectorAll("[data-group]")) {
    strip.append(...Array.from(groups[Number(strip.dataset.group) - 1]).slice(0, N_WORST).map(makeThumb));
  }
  const candidates = document.getElementById("candidate-list");
  if (candidates) {
    candidates.append(
      ...data.candidates.slice(0, MOST_LISTED).map(({ record, suggested }) =>
        openButton(
          record,
          makeTile(pictureOf(record), describe(record)),
          make("span", { className: "caption" }, nameOf(records.label[record]), " or ", nameOf(suggested), "?"),
        ),
      ),
    );
  }
  const duplicates = document.getElementById("duplicate-list");
  if (duplicates) {
    duplicates.append(
      ...data.duplicates.slice(0, MOST_LISTED).map((entry) =>
        openButton(
          entry.record,
          makeTile(pictureOf(entry.record), describe(entry.record)),
          makeTile(["training_pictures", entry.tile], `training image ${entry.index}`),
          make("span", { className: "caption" }, nameOf(records.label[entry.record]), " | ",
            make("bdi", { className: "class-name" }, entry.label), ` ${entry.kind}`),
        ),
      ),
    );
  }
}
