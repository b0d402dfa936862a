// The images, unpacked once from the payload that payload.py describes. A record is an image of the test split.

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array };

function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function unpack(packed) {
  const text = atob(packed.base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return new ARRAYS[packed.type](bytes.buffer);
}

// Integers that count from 0 are not packed.
function unpackOrCount(packed, n) {
  return packed ? unpack(packed) : Int32Array.from({ length: n }, (_, at) => at);
}

const data = readJson("data");
const classes = data.classes;
const topN = data.records.top_n;
const records = {
  n: data.records.n,
  index: unpackOrCount(data.records.index, data.records.n),
  label: unpack(data.records.label),
  top: unpack(data.records.top),
  probability: unpack(data.records.probability),
  trueProbability: unpack(data.records.true_probability),
  loss: unpack(data.records.loss),
  picture: new Int32Array(data.records.n).fill(-1),
};
if (data.pictured) unpack(data.pictured).forEach((record, tile) => (records.picture[record] = tile));
// The records without a picture have a thumbnail, in their order.
records.thumbnail = new Int32Array(data.records.n).fill(-1);
if (data.thumbnails && data.thumbnails.n) {
  let tile = 0;
  for (let record = 0; record < data.records.n; record++) if (records.picture[record] < 0) records.thumbnail[record] = tile++;
}
// The file of each image: folders once, then names; "" where it is not known.
function unpackSources(packed) {
  if (!packed) return () => "";
  const folder = unpack(packed.folder);
  return (at) => packed.folders[folder[at]] + packed.names[at];
}
const sourceOf = unpackSources(data.sources);

const otherPredicted = data.against && unpack(data.against.predicted);

const recordOfIndex = new Map();
for (let record = 0; record < records.n; record++) recordOfIndex.set(records.index[record], record);

const candidateOf = new Map(data.candidates.map((entry) => [entry.record, entry]));
const duplicateOf = new Map();
for (const entry of data.duplicates) if (!duplicateOf.has(entry.record)) duplicateOf.set(entry.record, entry);

// The records of each weak group, its mistakes first; Sets keep the order.
const groups = data.groups.map((group) => new Set(unpack(group.record)));

const neighbours = data.neighbours && {
  k: data.neighbours.k,
  row: new Map(Array.from(unpack(data.neighbours.record), (record, row) => [record, row])),
  index: unpack(data.neighbours.index),
  label: unpack(data.neighbours.label),
  distance: unpack(data.neighbours.distance),
  tile: unpack(data.neighbours.tile),
  sourceOf: unpackSources(data.neighbours.source),
};
const maps = data.maps && {
  row: new Map(Array.from(unpack(data.maps.record), (record, row) => [record, row])),
  entries: data.maps.entries.map((entry) => ({ ...entry, values: unpack(entry.values) })),
};

const predicted = (record) => records.top[record * topN];
const confidence = (record) => records.probability[record * topN] / 65535;
const trueProbability = (record) => records.trueProbability[record] / 65535;
const margin = (record) => confidence(record) - trueProbability(record);
const isRight = (record) => predicted(record) === records.label[record];

// One number format: 95 %, 0.4 %, 1,000.
function writePercent(fraction) {
  return `${(100 * fraction).toFixed(fraction >= 0.1 && fraction <= 0.99 ? 0 : 1)}\u00a0%`;
}
const writeCount = (count) => count.toLocaleString("en");

// The only way to add to the page: strings become text nodes, never markup.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.startsWith("aria-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

// A class name keeps its own text direction, and is shortened to the room it has.
function nameOf(label) {
  return make("bdi", { className: "class-name", title: classes[label] }, classes[label]);
}

// A file, as text that keeps its own direction; a click selects it as a whole. The short form lacks the folder.
function fileOf(source, isShort = false) {
  return make("bdi", { className: "file", title: source }, isShort ? source.slice(source.lastIndexOf("/") + 1) : source);
}
