// Keys: arrows, Enter, Esc, ?

function moveFocus(key) {
  const thumbs = Array.from(document.querySelectorAll("#gallery .thumb"));
  if (!thumbs.length) return false;
  const position = thumbs.indexOf(document.activeElement);
  if (position < 0) {
    const isFree = [document.body, document.getElementById("mistakes-title")].includes(document.activeElement);
    if (!isFree) return false;
    thumbs[0].focus();
    return true;
  }
  const columns = thumbs.filter((thumb) => thumb.offsetTop === thumbs[0].offsetTop).length || 1;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const next = thumbs[position + by];
  if (next) next.focus();
  else if (by > 0 && drawn < shown.length) {
    showMore(PAGE);
    return moveFocus(key);
  }
  return true;
}

function onKey(event) {
  const help = document.getElementById("help");
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (state.image !== "") closeDrawer();
    else if (state.lasso) setState({ ...START });
    return;
  }
  if (isTyping) return;
  if (event.key === "?") {
    help.showModal();
    event.preventDefault();
  } else if (event.key.startsWith("Arrow")) {
    const isDone = state.image !== ""
      ? (step(event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1), true)
      : moveFocus(event.key);
    if (isDone) event.preventDefault();
  }
}

function startKeyboard() {
  document.addEventListener("keydown", onKey);
  document.getElementById("show-help").addEventListener("click", () => document.getElementById("help").showModal());
  document.getElementById("close-help").addEventListener("click", () => document.getElementById("help").close());
}
