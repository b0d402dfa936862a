// Tables that are wider than the screen: a fading edge shows on which side there is more.

function startScrolling() {
  const mark = (frame) => {
    const hidden = frame.scrollWidth - frame.clientWidth;
    frame.classList.toggle("scrolls", hidden > 1);
    frame.classList.toggle("more-left", hidden > 1 && frame.scrollLeft > 1);
    frame.classList.toggle("more-right", hidden > 1 && frame.scrollLeft < hidden - 1);
    frame.tabIndex = hidden > 1 ? 0 : -1;
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const frame of document.querySelectorAll(".scroll")) {
    mark(frame);
    sizes.observe(frame);
    frame.addEventListener("scroll", () => mark(frame), { passive: true });
  }
}
