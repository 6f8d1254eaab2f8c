"use strict";
// Sorts a table by the column whose heading is pressed. Rows without a value stay at the end.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      body.append(...(next === "none" ? original : sorted(original, column, next === "ascending" ? 1 : -1)));
    });
  });
}
function sorted(rows, column, sign) {
  const key = (row) => row.cells[column].dataset.sort;
  const value = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
  const numeric = rows.every((row) => key(row) === "" || !Number.isNaN(value(key(row))));
  const compare = (a, b) => (numeric ? (value(a) === value(b) ? 0 : value(a) - value(b)) : a.localeCompare(b, "en"));
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * compare(x, y);
  });
}
