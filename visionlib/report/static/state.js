// The state of the view, in one object that is stored in the URL.

const START = { true: "", predicted: "", kind: "wrong", sort: "loss", image: "", lasso: "" };
let state = { ...START };
const listeners = [];

function readState() {
  const read = { ...START };
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(START, name)) read[name] = value;
  }
  const isClass = (value) => value === "" || (/^\d+$/.test(value) && Number(value) < classes.length);
  if (!isClass(read.true)) read.true = "";
  if (!isClass(read.predicted)) read.predicted = "";
  if (!Object.hasOwn(KINDS, read.kind)) read.kind = START.kind;
  if (!Object.hasOwn(SORTS, read.sort)) read.sort = START.sort;
  if (read.image !== "" && !recordOfIndex.has(Number(read.image))) read.image = "";
  return read;
}

function writeState() {
  const changed = Object.entries(state).filter(([name, value]) => value !== START[name]);
  const fragment = new URLSearchParams(changed).toString();
  try {
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  } catch {
    // The frame of a notebook has no URL to write to; everything else works.
  }
}

function setState(changes) {
  const before = state;
  state = { ...state, ...changes };
  writeState();
  for (const listen of listeners) listen(state, before);
}
