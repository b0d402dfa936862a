// The confusion matrix and the classes beside it: a cell or a row opens its images, and there is a way back.

function startMatrix() {
  const buttons = document.querySelectorAll("#matrix button");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const { true: row, predicted: column } = button.dataset;
      openImages({ true: row, predicted: column, kind: "all" });
    });
  }
  const names = document.querySelectorAll("#class-table button[data-class]");
  for (const name of names) {
    name.closest("tr").addEventListener("click", () => openImages({ true: name.dataset.class, kind: "all" }));
  }
  listeners.push(() => {
    for (const button of buttons) {
      const isChosen = button.dataset.true === state.true && button.dataset.predicted === state.predicted;
      button.setAttribute("aria-pressed", String(isChosen));
    }
    for (const name of names) {
      name.setAttribute("aria-pressed", String(name.dataset.class === state.true && state.predicted === ""));
    }
  });
  const back = document.getElementById("to-matrix");
  if (back) {
    back.addEventListener("click", () => {
      document.getElementById("confusion").scrollIntoView();
      const chosen = document.querySelector('#matrix [aria-pressed="true"], #class-table [aria-pressed="true"]');
      (chosen || buttons[0]).focus({ preventScroll: true });
    });
  }
}
