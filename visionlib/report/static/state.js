// What is shown, in one object that the address holds: whoever opens the same address sees the same.

const START = { true: "", predicted: "", kind: "wrong", sort: "loss", image: "", lasso: "" };
let state = { ...START };
const listeners = [];

function readState() {
  const found = { ...START };
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(START, name)) found[name] = value;
  }
  const isClass = (value) => value === "" || (/^\d+$/.test(value) && Number(value) < classes.length);
  if (!isClass(found.true)) found.true = "";
  if (!isClass(found.predicted)) found.predicted = "";
  if (!Object.hasOwn(KINDS, found.kind)) found.kind = START.kind;
  if (!Object.hasOwn(SORTS, found.sort)) found.sort = START.sort;
  if (found.image !== "" && !recordOfIndex.has(Number(found.image))) found.image = "";
  return found;
}

function writeState() {
  const told = Object.entries(state).filter(([name, value]) => value !== START[name]);
  const fragment = new URLSearchParams(told).toString();
  try {
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  } catch {
    // Within a notebook's frame there is no address to write to; everything else works.
  }
}

function setState(changes) {
  const before = state;
  state = { ...state, ...changes };
  writeState();
  for (const listen of listeners) listen(state, before);
}
