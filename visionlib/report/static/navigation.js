// The bar of sections: it marks the section in view, and is folded on a narrow screen.

// A link to a section holds no state, and must not reset it.
const isView = (fragment) => fragment.includes("=");

function findSection(sections, chosen) {
  const line = document.querySelector("nav").getBoundingClientRect().bottom + window.innerHeight / 5;
  const isAtEnd = window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 2;
  if (isAtEnd && window.scrollY > 0) return sections.includes(chosen) ? chosen : sections[sections.length - 1];
  let found = sections[0];
  let highest = -Infinity;
  for (const section of sections) {
    const { top } = section.getBoundingClientRect();
    if (top > line || top < highest) continue;
    // Of sections beside each other the one that was chosen, else the first.
    if (top > highest || section === chosen) [found, highest] = [section, top];
  }
  return found;
}

function startNavigation() {
  const menu = document.getElementById("menu");
  const links = Array.from(document.querySelectorAll("#sections a"));
  const sections = links.map((link) => document.querySelector(link.getAttribute("href")));
  let chosen = null;
  const mark = () => {
    const found = findSection(sections, chosen);
    links.forEach((link, at) => {
      if (sections[at] === found) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    document.getElementById("menu-here").textContent = links[sections.indexOf(found)].textContent;
  };
  const fold = (isOpen) => menu.setAttribute("aria-expanded", String(isOpen));
  menu.addEventListener("click", () => fold(menu.getAttribute("aria-expanded") !== "true"));
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const fragment = link.getAttribute("href").slice(1);
      if (isView(fragment)) {
        openImages(parseState(fragment));
        return;
      }
      fold(false);
      chosen = document.getElementById(fragment);
      chosen.scrollIntoView();
      chosen.setAttribute("tabindex", "-1");
      chosen.focus({ preventScroll: true });
      mark();
    });
  }
  for (const event of ["wheel", "touchmove", "keydown"]) {
    window.addEventListener(event, () => (chosen = null), { passive: true });
  }
  window.addEventListener("scroll", () => requestAnimationFrame(mark), { passive: true });
  window.addEventListener("resize", mark);
  mark();
}
