// The state of the view, in one object that is stored in the URL. What was opened is an entry of the history.

const START = { true: "", predicted: "", kind: "wrong", sort: "loss", image: "", file: "", lasso: "" };
let state = { ...START };
const listeners = [];

function parseState(fragment) {
  const read = { ...START };
  for (const [name, value] of new URLSearchParams(fragment)) {
    if (Object.hasOwn(START, name)) read[name] = value;
  }
  const isClass = (value) => value === "" || (/^\d+$/.test(value) && Number(value) < classes.length);
  if (!isClass(read.true)) read.true = "";
  if (!isClass(read.predicted)) read.predicted = "";
  if (!Object.hasOwn(KINDS, read.kind)) read.kind = START.kind;
  if (!Object.hasOwn(SORTS, read.sort)) read.sort = START.sort;
  if (read.image !== "" && !recordOfIndex.has(Number(read.image))) read.image = "";
  if (!data.sources) read.file = START.file;
  return read;
}

function writeFragment(view) {
  return new URLSearchParams(Object.entries(view).filter(([name, value]) => value !== START[name])).toString();
}

// The browser's record of an entry: whether it was opened here, and from which view.
function writeEntry(method, entry) {
  const fragment = writeFragment(state);
  try {
    history[method](entry, "", fragment ? `#${fragment}` : location.pathname + location.search);
  } catch {
    // The frame of a notebook has no URL to write to; everything else works.
  }
}

function tell(before) {
  for (const listen of listeners) listen(state, before);
}

// Refine the view: the entry of the history changes.
function setState(changes) {
  const before = state;
  state = { ...state, ...changes };
  writeEntry("replaceState", history.state);
  tell(before);
}

// Open something: Back returns to the view before, and to where it was opened if the view is the same.
function openState(changes) {
  const before = state;
  state = { ...state, ...changes };
  const [now, then] = [writeFragment(state), writeFragment(before)];
  const isOpened = history.state && history.state.openedFrom !== undefined;
  if (now !== then || !isOpened) writeEntry("pushState", { openedFrom: then });
  tell(before);
}

// Close what openState has opened: back to the entry before, if that is the view without it.
function closeState(changes) {
  const before = state;
  state = { ...state, ...changes };
  if (history.state && history.state.openedFrom === writeFragment(state)) history.back();
  else writeEntry("replaceState", history.state);
  tell(before);
}
