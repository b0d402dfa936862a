// Start every part, and show the view of the URL.

startTiles();
startFilters();
startGallery();
startDrawer();
startMatrix();
startMap();
startLists();
startNavigation();
startScrolling();
startDownloads();
startKeyboard();
const isLinked = isView(location.hash);
state = parseState(location.hash.slice(1));
tell(undefined);
if (isLinked) goToImages();
window.addEventListener("hashchange", () => {
  if (!isView(location.hash) && location.hash !== "") return;
  const before = state;
  state = parseState(location.hash.slice(1));
  tell(before);
});
document.documentElement.dataset.isReady = "yes";
