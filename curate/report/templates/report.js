"use strict";
(() => {
  const PAGE = 50;
  const FEW = 20;
  const root = document.documentElement;
  root.classList.add("js");

  const value = (row, column, kind) => {
    const cell = row.children[column];
    if (kind === "number") return Number(cell.dataset.v);
    return cell.textContent.trim().toLowerCase();
  };

  // Sorting: a header's button turns the order round; rows that are equal stay as they were.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const sortable = (table, sorted) => {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = header.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        for (const other of headers) {
          if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        }
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const kind = header.dataset.key;
        const keyed = [...table.tBodies[0].rows].map((row) => [value(row, column, kind), row]);
        const compare = kind === "number" ? (a, b) => a - b : (a, b) => collator.compare(a, b);
        keyed.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
        table.tBodies[0].append(...keyed.map(([, row]) => row));
        if (sorted) sorted();
      });
    });
  };

  // Details: one more cell of a row, and the whole of a text that is cut off otherwise.
  const toggle = (row) => {
    const open = row.classList.toggle("open");
    row.querySelector(".expand").setAttribute("aria-expanded", String(open));
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".expand");
    if (button) return toggle(button.closest("tr"));
    const cell = event.target.closest("td.text, th.name");
    if (cell && !String(window.getSelection())) toggle(cell.closest("tr"));
  });

  const table = document.getElementById("chosen");
  const body = table.tBodies[0];
  const total = body.rows.length;
  const query = document.getElementById("query");
  const source = document.getElementById("source");
  const target = document.getElementById("target");
  const count = document.getElementById("count");
  const words = new Map();
  let shown = PAGE;

  const text = (row) => {
    if (!words.has(row)) words.set(row, row.textContent.toLowerCase());
    return words.get(row);
  };
  const update = () => {
    const wanted = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0;
    for (const row of body.rows) {
      const fits =
        (!source.value || row.dataset.source === source.value) &&
        (!target.value || row.dataset.target === target.value) &&
        wanted.every((word) => text(row).includes(word));
      if (fits) matching += 1;
      row.hidden = !fits || matching > shown;
    }
    const visible = Math.min(shown, matching);
    const number = (n) => n.toLocaleString("en");
    const found = matching === total ? number(total) : `${number(matching)} of ${number(total)}`;
    count.textContent =
      visible < matching ? `${found} rows, the first ${number(visible)} shown` : `${found} rows`;
    document.getElementById("pager").hidden = visible === matching;
    document.getElementById("nothing").hidden = matching > 0;
  };
  const restart = () => {
    shown = PAGE;
    update();
  };
  const clear = () => {
    query.value = "";
    source.value = "";
    target.value = "";
    restart();
  };

  let waiting = 0;
  query.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(restart, 80);
  });
  for (const filter of [source, target]) filter.addEventListener("change", restart);
  document.querySelector("form.tools").addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
  document.getElementById("clear").addEventListener("click", () => {
    clear();
    query.focus();
  });
  document.getElementById("show-more").addEventListener("click", () => {
    shown += 4 * PAGE;
    update();
  });
  document.getElementById("show-all").addEventListener("click", () => {
    shown = total;
    update();
  });
  for (const button of document.querySelectorAll("[data-show-target]")) {
    button.addEventListener("click", () => {
      clear();
      target.value = button.dataset.showTarget;
      restart();
      document.getElementById("rows").scrollIntoView();
      target.focus({ preventScroll: true });
    });
  }
  sortable(table, restart);

  // Targets: the first few, until all are asked for, or a link leads to one that is not shown.
  const others = document.querySelector("table.targets");
  const more = document.getElementById("more-targets");
  let few = others.tBodies[0].rows.length > FEW;
  const showTargets = () => {
    [...others.tBodies[0].rows].forEach((row, place) => {
      row.hidden = few && place >= FEW;
    });
    more.hidden = !few;
  };
  const showAll = () => {
    few = false;
    showTargets();
  };
  const follow = () => {
    const row = location.hash && document.getElementById(location.hash.slice(1));
    if (!row || !row.closest("table.targets")) return;
    if (row.hidden) showAll();
    if (!row.classList.contains("open")) toggle(row);
    row.scrollIntoView();
  };
  sortable(others, showTargets);
  more.querySelector("button").addEventListener("click", showAll);
  window.addEventListener("hashchange", follow);
  showTargets();
  follow();

  // Paper shows every row.
  window.addEventListener("beforeprint", () => {
    for (const row of body.rows) row.hidden = false;
    for (const row of others.tBodies[0].rows) row.hidden = false;
  });
  window.addEventListener("afterprint", () => {
    update();
    showTargets();
  });
  update();
})();
