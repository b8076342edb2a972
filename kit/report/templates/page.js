"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function read(row, index) {
    const cell = row.cells[index];
    const shown = (cell.querySelector(".value, .name") ?? cell).textContent.trim();
    if (shown === "equal") return Infinity;
    const number = shown.replace(/[\s,×]/g, "").replace("\u2212", "-");
    return shown === "–" || !shown ? null : isNaN(number) ? shown : Number(number);
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one === other ? 0 : one - other;
    return String(one).localeCompare(String(other), undefined, {numeric: true});
  }

  function sort(table, index, sign) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map(row => [read(row, index), row]);
    rows.sort(([one], [other]) =>
      one === null || other === null ? (one === null) - (other === null) : sign * compare(one, other));
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of all("table")) {
    const heads = [...table.tHead.rows[0].cells];
    if (table.tBodies[0].rows.length < 3) continue;
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falling = head.ariaSort === "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.ariaSort = falling ? "descending" : "ascending";
        sort(table, index, falling ? -1 : 1);
      });
    });
  }

  // Paper has all that is folded; browsers before ::details-content need this.
  const opened = [];
  addEventListener("beforeprint", () => {
    opened.push(...all("details:not([open])"));
    opened.forEach(part => { part.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.splice(0).forEach(part => { part.open = false; });
  });
})();
