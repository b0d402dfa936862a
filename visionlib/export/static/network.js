// The network: its operations with their weights, run for one picture at a time, and its class activation maps.

function decodeHalves(halves) {
  return Float32Array.from(halves, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
  });
}

// Gives each operation its weights and the shapes of its inputs.
function buildNetwork(description, bytes) {
  const numbers = description.precision === "fp16"
    ? decodeHalves(new Uint16Array(bytes))
    : new Float32Array(bytes);
  let start = 0;
  const tensors = description.tensors.map((shape) => {
    const count = countOf(shape);
    start += count;
    return numbers.subarray(start - count, start);
  });
  const shapes = [description.input_shape, ...description.operations.map((operation) => operation.shape)];
  const lastReader = new Map();
  description.operations.forEach((operation, at) => operation.inputs.forEach((value) => lastReader.set(value, at)));
  if (description.map) lastReader.set(description.map.features, Infinity);
  const layers = description.operations.map((operation, at) => {
    const layer = {
      ...operation,
      inputShapes: operation.inputs.map((value) => shapes[value]),
      inputShape: shapes[operation.inputs[0]],
      tensors: operation.weights.map((number) => tensors[number]),
      finished: operation.inputs.filter((value) => lastReader.get(value) === at),
    };
    if (operation.name === "conv2d") {
      const [channels, depth, ...kernel] = description.tensors[operation.weights[0]];
      const length = depth * kernel[0] * kernel[1];
      const packed = packWeights(layer.tensors[0], channels, length, operation.groups);
      Object.assign(layer, { kernel, length, packed, bias: layer.tensors[1] });
    }
    return layer;
  });
  return { layers, tensors, map: description.map };
}

// Returns the logits, and the activations for the map; `pause` lets the page breathe where it shares the thread.
async function runNetwork(network, inputs, pause) {
  const values = [inputs];
  for (const layer of network.layers) {
    values.push(compute(layer.inputs.map((value) => values[value]), layer));
    for (const value of layer.finished) values[value] = null;
    if (pause) await pause();
  }
  return { logits: values[values.length - 1], features: network.map ? values[network.map.features] : null };
}

function findProbabilities(logits, temperature) {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// High where no class fits, as for pictures unlike those of the training.
function findEnergy(logits) {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  return -largest - Math.log(logits.reduce((total, logit) => total + Math.exp(logit - largest), 0));
}

// The map of a class, divided by its maximum; all 0 where nothing speaks for the class.
function makeMap(network, features, label) {
  const [height, width] = network.map.size;
  const weights = network.tensors[network.map.weights];
  const channels = features.length / (height * width);
  const values = new Float32Array(height * width);
  for (let channel = 0; channel < channels; channel++) {
    const weight = weights[label * channels + channel];
    for (let at = 0; at < values.length; at++) values[at] += weight * features[channel * values.length + at];
  }
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  return values.map((value) => (largest > 0 ? Math.max(0, value) / largest : 0));
}
