// The camera: its picture takes the place of the stage until one is taken, or it is closed.

let stream = null;

async function openCamera() {
  if (!navigator.mediaDevices) throw new Error("Your browser does not let this page use a camera. Choose a file instead.");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    throw new Error("The camera cannot be used: there is none, or access was refused. Choose a file instead.");
  }
  const video = byId("video");
  video.srcObject = stream;
  await video.play();
  showCamera(true);
  byId("shoot").focus();
}

function closeCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  byId("video").srcObject = null;
  showCamera(false);
  byId("camera").focus();
}

function showCamera(isOpen) {
  byId("video").hidden = !isOpen;
  byId("camera-tools").hidden = !isOpen;
  byId("sources").hidden = isOpen;
  showStage(isOpen);
}

async function takePicture() {
  const picture = await createImageBitmap(byId("video"));
  closeCamera();
  return picture;
}
