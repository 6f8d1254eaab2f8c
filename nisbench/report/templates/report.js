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
  document.querySelector("#provenance h2").after(tools);
}
