// All quantities of all cells, as `nisbench export` prints them.
function exported() {
  return data.rows.map(([cell, ...rest]) => [...data.cells[cell], ...rest]);
}

if (data.rows.length) {
  const asObject = (row) => Object.fromEntries(data.columns.map((name, i) => [name, row[i]]));
  const json = () => save("quantities.json", "application/json", `${JSON.stringify(exported().map(asObject), null, 1)}\n`);
  const text = () => save("quantities.csv", "text/csv", csv(data.columns, exported().map((row) => row.map((value) => ({ value })))));
  const tools = make("div", { class: "tools" }, `All ${data.rows.length} quantities of all cells`);
  tools.append(button("JSON", json, { "aria-label": "JSON: save all quantities" }), button("CSV", text, { "aria-label": "CSV: save all quantities" }));
  document.querySelector("#provenance summary").after(tools);
}

const bib = document.querySelector("#cite pre");
bib.before(button("BibTeX", () => save("nisbench.bib", "text/plain", `${bib.textContent}\n`), { class: "save", "aria-label": "BibTeX: save these entries" }));

// Folded parts: a link to an anchor opens what contains it, and a printer gets everything.
const folds = [...document.querySelectorAll("details")];

function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const inside = target.querySelector(":scope > details.section");
  if (inside) inside.open = true;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView();
}

addEventListener("hashchange", unfold);
// A second click on the same link does not change the hash.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link && link.hash === location.hash) unfold();
});
unfold();

let closed = [];
addEventListener("beforeprint", () => {
  closed = folds.filter((one) => !one.open);
  for (const one of closed) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of closed) one.open = false;
  closed = [];
});

const all = button("Open all", () => {
  const open = folds.some((one) => !one.open);
  for (const one of folds) one.open = open;
}, { class: "all" });
document.querySelector(".folds").append(make("div", { class: "tools" }, all));
