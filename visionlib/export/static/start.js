// Reads the data of the page, starts the engine, and waits for pictures.

let engine = null;
let isBusy = false;
let waiting = null;

function readWeights() {
  const text = byId("weights").textContent.trim();
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const step = 2 ** 20;
  for (let at = 0, to = 0; at < text.length; at += step) {
    const part = atob(text.slice(at, at + step));
    for (let k = 0; k < part.length; k++) bytes[to + k] = part.charCodeAt(k);
    to += part.length;
  }
  return bytes.buffer;
}

function showProblem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

// Classifies a picture; of those that come meanwhile, the last one follows.
async function open(getPicture) {
  if (isBusy || !engine) {
    waiting = getPicture;
    return;
  }
  isBusy = true;
  showProblem("");
  document.body.classList.add("busy");
  try {
    const picture = await getPicture();
    checkSize(picture);
    const start = performance.now();
    const answer = await classifyPicture(engine.call, picture);
    showAnswer({ ...answer, picture, seconds: (performance.now() - start) / 1000 });
    await showMap(engine.call, shown.label);
    document.documentElement.dataset.answers = Number(document.documentElement.dataset.answers || 0) + 1;
  } catch (error) {
    showProblem(error.message);
  }
  document.body.classList.remove("busy");
  isBusy = false;
  if (waiting) {
    const next = waiting;
    waiting = null;
    open(next);
  }
}

const openFile = (file) => open(() => decodePicture(file));

function openFirst(files) {
  const file = Array.from(files).find(({ type }) => type.startsWith("image/")) || files[0];
  if (file) openFile(file);
}

function listen() {
  byId("file").addEventListener("change", ({ target }) => {
    openFirst(target.files);
    target.value = "";
  });
  byId("stage").addEventListener("click", () => {
    if (byId("stage").classList.contains("empty")) byId("file").click();
  });
  byId("camera").addEventListener("click", () => openCamera().catch((error) => showProblem(error.message)));
  byId("shoot").addEventListener("click", () => open(takePicture));
  byId("stop").addEventListener("click", closeCamera);
  byId("map-on").addEventListener("change", redraw);
  byId("opacity").addEventListener("input", redraw);
  byId("bars").addEventListener("change", ({ target }) => showMap(engine.call, Number(target.value)));
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape") closeCamera(); });
  document.addEventListener("paste", ({ clipboardData }) => openFirst(clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files.length) openFirst(event.dataTransfer.files);
    else showProblem("That was no file. Save the picture first, or copy and paste it.");
  });
  window.addEventListener("resize", redraw);
}

async function start() {
  listen();
  drawLegend(byId("legend"));
  const { call, isRight } = await startEngine(setup, readWeights);
  engine = { call };
  byId("weights").remove();
  byId("verdict").textContent = "Show me a picture";
  byId("sureness").textContent = "The answer appears here.";
  byId("check").textContent = isRight
    ? "this browser gives the same answer as the original network on a test picture"
    : "failed: this browser computes other answers than the original network";
  if (!isRight) showProblem("This browser computes other answers than the original network. Do not trust them.");
  document.documentElement.dataset.isReady = "";
  if (waiting) {
    const next = waiting;
    waiting = null;
    open(next);
  }
}

start().catch((error) => showProblem(`The network cannot be loaded: ${error.message}.`));
