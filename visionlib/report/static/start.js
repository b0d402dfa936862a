// Start every part, and show the view of the URL.

// A link to a section holds no state, and must not reset it.
const isStateLink = () => location.hash.includes("=");

startTiles();
startFilters();
startGallery();
startDrawer();
startMatrix();
startMap();
startLists();
startDownloads();
startKeyboard();
const isLinked = isStateLink();
state = readState();
for (const listen of listeners) listen(state, undefined);
if (isLinked && state.image === "") goToImages();
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const target = document.querySelector(link.getAttribute("href"));
    target.scrollIntoView();
    target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
  });
}
window.addEventListener("hashchange", () => {
  if (!isStateLink() && location.hash !== "") return;
  const before = state;
  state = readState();
  for (const listen of listeners) listen(state, before);
});
document.documentElement.dataset.isReady = "yes";
