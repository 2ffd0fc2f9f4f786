// Pages work without this. It shows times in the reader's zone, keeps live parts fresh, and lets
// lists be walked by keyboard.
(() => {
  "use strict";
  const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  function localTimes(root) {
    for (const each of root.querySelectorAll("time[datetime]")) {
      const at = new Date(each.dateTime);
      if (!Number.isNaN(at.getTime())) each.textContent = shown.format(at);
    }
  }

  // <div data-live="/console/runs/…/live">: the server sends the part anew when it has changed
  function live(part) {
    const source = new EventSource(part.dataset.live);
    source.addEventListener("part", (event) => {
      const active = document.activeElement;
      if (active && part.contains(active) && active.matches("input, textarea, select")) return;
      const fresh = new DOMParser().parseFromString(event.data, "text/html");
      part.replaceChildren(...fresh.body.childNodes);
      localTimes(part);
      part.removeAttribute("data-lost");
    });
    source.addEventListener("end", () => source.close());
    source.addEventListener("error", () => part.setAttribute("data-lost", ""));
  }

  // j and k walk the rows of <table data-walk>, Enter opens the first link of one
  function walk(table) {
    const rows = [...table.tBodies[0].rows];
    let at = -1;
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.matches("input, textarea, select")) return;
      const step = { j: 1, k: -1 }[event.key];
      if (!step || !rows.length) return;
      at = Math.min(Math.max(at + step, 0), rows.length - 1);
      const link = rows[at].querySelector("a, button");
      if (link) link.focus();
    });
  }

  // <a href="#approve" data-key="a">: a key goes to a form of the page, and never sends it
  function jump(link) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.key !== link.dataset.key) return;
      if (event.target.matches("input, textarea, select")) return;
      const ticks = `input[form="${link.hash.slice(1)}"]`; // what is to tick stands above its form
      const field = document.querySelector(`${ticks}, ${link.hash} textarea`);
      if (!field) return;
      event.preventDefault();
      field.focus();
    });
  }

  localTimes(document);
  for (const link of document.querySelectorAll("[data-key]")) jump(link);
  for (const part of document.querySelectorAll("[data-live]")) live(part);
  for (const table of document.querySelectorAll("table[data-walk]")) walk(table);
})();
