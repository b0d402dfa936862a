// What the page asks for, whether from a worker or from its own thread: `calls` by name. `pause` comes from the caller.

let network;
let setup;
let resizer;
let features;

// A picture that anyone can make again: the page compares its answer with that of the original network.
function makeTestPixels(count) {
  return Uint8Array.from({ length: count }, (_, at) => (at * at * 31 + at * 17) % 256);
}

async function classify(pixels) {
  const { size, mean, std, input_size: inputSize, temperature, highest_energy: highestEnergy } = setup;
  const inputs = shrink(normalize(pixels, size, mean, std), mean.length, size, inputSize);
  const answer = await runNetwork(network, inputs, pause);
  const isUnusual = highestEnergy !== null && !(findEnergy(answer.logits) <= highestEnergy);
  return { ...answer, probabilities: findProbabilities(answer.logits, temperature), isUnusual };
}

const calls = {
  async load(given, bytes) {
    setup = given;
    network = buildNetwork(given.network, bytes);
    const { size, mean, expected, tolerance } = setup;
    const { probabilities } = await classify(makeTestPixels(size.width * size.height * mean.length));
    return probabilities.every((value, label) => Math.abs(value - expected[label]) <= tolerance);
  },
  begin(width, height) {
    resizer = new Resizer(width, height, setup.size, setup.resize === "crop", setup.mean.length);
    return { first: resizer.firstRow, end: resizer.endRow };
  },
  addRows(pixels, y) {
    resizer.addRows(pixels, y);
  },
  async finish() {
    const pixels = resizer.finish();
    const answer = await classify(pixels);
    features = answer.features;
    return { pixels, probabilities: answer.probabilities, isUnusual: answer.isUnusual };
  },
  map(label) {
    return features && { values: makeMap(network, features, label), size: network.map.size };
  },
};
