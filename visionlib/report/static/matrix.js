// The confusion matrix: a cell opens its images.

function startMatrix() {
  const buttons = document.querySelectorAll("#matrix button");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const { true: row, predicted: column } = button.dataset;
      setState({ ...START, true: row, predicted: column, kind: "all" });
      goToImages();
    });
  }
  listeners.push(() => {
    for (const button of buttons) {
      const isChosen = button.dataset.true === state.true && button.dataset.predicted === state.predicted;
      button.setAttribute("aria-pressed", String(isChosen));
    }
  });
}
