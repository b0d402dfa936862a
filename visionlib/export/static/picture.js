// From a file, the clipboard or the camera to a picture, and to the rows of pixels that the engine takes.

const MOST_PIXELS = 64 * 2 ** 20;
const STRIP_PIXELS = 2 ** 22;

// The pixels as they are stored, upright: no colour profile, as in training.
async function decodePicture(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("This is no picture that your browser can read. Try a PNG, JPEG, WebP or BMP file.");
  }
}

function checkSize(picture) {
  if (picture.width * picture.height > MOST_PIXELS) {
    throw new Error(`The picture has ${picture.width} × ${picture.height} pixels, too many for this page. Make it smaller.`);
  }
}

// Transparent parts are laid over white.
function* readStrips(picture, first, end) {
  const { width } = picture;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = Math.min(end - first, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  for (let y = first; y < end; y += canvas.height) {
    const count = Math.min(canvas.height, end - y);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, count);
    context.drawImage(picture, 0, -y);
    yield { pixels: context.getImageData(0, 0, width, count).data, y };
  }
}

async function classifyPicture(call, picture) {
  const rows = await call("begin", [picture.width, picture.height]);
  for (const { pixels, y } of readStrips(picture, rows.first, rows.end)) {
    await call("addRows", [pixels, y], [pixels.buffer]);
  }
  return call("finish", []);
}
