// The answer: the likeliest class in large letters, five of them with bars, and the map of the chosen one.

const COUNT = 5;
let shown = null;

function byId(name) {
  return document.getElementById(name);
}

// The text of a node is text: a class name is never read as HTML.
function make(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.startsWith("aria-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

function spellShare(share) {
  if (share >= 0.9995) return share >= 0.99995 ? "> 99.9 %" : "99.9 %";
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

function describeSureness(share) {
  const words = share >= 0.9 ? "quite sure" : share >= 0.6 ? "fairly sure" : share >= 0.35 ? "unsure" : "very unsure";
  return `${spellShare(share)}: ${words}`;
}

function makeBar(label, share) {
  const name = setup.classes[label];
  const input = make("input", { type: "radio", name: "class", value: String(label), "aria-label": `${name}, ${spellShare(share)}` });
  const fill = make("div", { className: "fill" });
  fill.style.width = `${100 * share}%`;
  const row = make(
    "label",
    { className: "class", dataset: { label, share } },
    input,
    make("bdi", { title: name }, name),
    make("span", { className: "share" }, spellShare(share)),
    make("div", { className: "track", "aria-hidden": "true" }, fill),
  );
  input.disabled = !setup.network.map;
  return row;
}

function showAnswer({ picture, probabilities, isUnusual, pixels, seconds }) {
  const order = probabilities.map((share, label) => label).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const best = order.slice(0, COUNT);
  if (shown) shown.picture.close();
  shown = { picture, map: null, label: best[0], crop: findCrop(picture.width, picture.height, setup.size, setup.resize === "crop") };
  const [first] = best;
  byId("verdict").replaceChildren(make("bdi", {}, setup.classes[first]));
  byId("sureness").textContent = describeSureness(probabilities[first]);
  byId("unusual").hidden = !isUnusual;
  byId("bars").replaceChildren(...best.map((label) => makeBar(label, probabilities[label])));
  if (setup.network.map) byId("bars").querySelector("input").checked = true;
  byId("choice").hidden = false;
  byId("placeholder").hidden = true;
  byId("seen").hidden = false;
  drawPixels(byId("pixels"), pixels, setup.size);
  byId("seconds").textContent = `Answered in ${seconds < 0.1 ? seconds.toFixed(2) : seconds.toFixed(1)} s.`;
  byId("answer").classList.remove("waiting");
  byId("answer").dataset.probabilities = JSON.stringify(probabilities);
  byId("answer").dataset.seconds = seconds;
  byId("spoken").textContent = `Likeliest: ${best.map((label) => `${setup.classes[label]}, ${spellShare(probabilities[label])}`).join("; ")}.${isUnusual ? " " + byId("unusual").textContent : ""}`;
  showStage(false);
  // On a phone the picture moves to the top, so that the answer below it can be seen.
  if (byId("sureness").getBoundingClientRect().bottom > window.innerHeight) byId("stage").scrollIntoView();
}

// What the stage shows: the invitation, the camera's picture, or the last picture.
function showStage(isCamera) {
  byId("invitation").hidden = isCamera || Boolean(shown);
  byId("picture").hidden = isCamera || !shown;
  byId("stage").classList.toggle("empty", !isCamera && !shown);
  byId("map-tools").hidden = isCamera || !shown || !setup.network.map;
  byId("map-note").hidden = isCamera;
  redraw();
}

async function showMap(call, label) {
  if (!setup.network.map) return;
  const map = await call("map", [label]);
  const isEmpty = map.values.every((value) => value === 0);
  Object.assign(shown, { label, map });
  byId("map-note").textContent = isEmpty
    ? `Nothing in the picture speaks for ${setup.classes[label]} more than against it.`
    : "";
  byId("stage").dataset.label = label;
  byId("stage").dataset.map = JSON.stringify(Array.from(map.values));
  redraw();
}

function redraw() {
  if (!shown || byId("picture").hidden) return;
  const isEmpty = !shown.map || shown.map.values.every((value) => value === 0);
  const map = byId("map-on").checked && !isEmpty ? shown.map : null;
  drawPicture(byId("picture"), shown.picture, shown.crop, map, Number(byId("opacity").value) / 100);
  const name = setup.classes[shown.label];
  byId("picture").setAttribute("aria-label", map ? `your picture, with the map for ${name} over it` : "your picture");
  byId("opacity").disabled = !byId("map-on").checked;
}
