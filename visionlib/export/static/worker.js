// The engine in a worker, so that the page stays responsive; where no worker starts, in the page's own thread.

const ENGINE_CALLS = new Map();
let lastCall = 0;

function serve(calls) {
  self.onmessage = async ({ data: [number, name, given] }) => {
    try {
      self.postMessage([number, await calls[name](...given), null]);
    } catch (error) {
      self.postMessage([number, null, String(error)]);
    }
  };
}

function startWorker() {
  const source = `"use strict"; (${serve.toString()})((${makeEngine.toString()})(null));`;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(address);
  worker.onmessage = ({ data: [number, result, error] }) => {
    const { resolve, reject } = ENGINE_CALLS.get(number);
    ENGINE_CALLS.delete(number);
    if (error) reject(new Error(error));
    else resolve(result);
  };
  return (name, given, transfer = []) => new Promise((resolve, reject) => {
    lastCall += 1;
    ENGINE_CALLS.set(lastCall, { resolve, reject });
    worker.onerror = () => reject(new Error("no worker"));
    worker.postMessage([lastCall, name, given], transfer);
  });
}

// Returns a function that calls the engine, after it has loaded the network, and whether the answers are right.
async function startEngine(setup, readWeights) {
  try {
    const call = startWorker();
    const bytes = readWeights();
    return { call, isRight: await call("load", [setup, bytes], [bytes]) };
  } catch {
    const calls = makeEngine(() => new Promise((resolve) => { setTimeout(resolve); }));
    return { call: async (name, given) => calls[name](...given), isRight: await calls.load(setup, readWeights()) };
  }
}
