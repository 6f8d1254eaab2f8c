"use strict";
// Tables can be sorted by a click on a heading, reduced to one size, shown as ratios to a baseline, and saved as CSV.
const data = JSON.parse(document.getElementById("data").textContent);
const selects = [];

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(text, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

function save(name, type, content) {
  const url = typeof content === "string" && content.startsWith("data:")
    ? content
    : URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function setUpTable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const caption = table.getAttribute("aria-labelledby");
  const status = make("span", { role: "status", class: "said" });
  const tools = make("div", { class: "tools" });
  if (rows.length > 1) sortable(table, heads, rows);
  const size = heads.findIndex((head) => head.dataset.key === "size");
  if (size >= 0 && rows.length > 3) tools.append(...chips(rows, size, status));
  if (rows.length && heads.some((head) => head.dataset.key === "sampler") && ratioColumns(heads).length) {
    tools.append(baselines(caption));
  }
  const name = `${caption}.csv`;
  const act = () => save(name, "text/csv", csv(heads.map(headingOf), [...table.tBodies[0].rows].filter(isShown).map(cellsOf)));
  tools.append(button("CSV", act, { "aria-label": "CSV: save this table", "aria-describedby": caption }), status);
  table.closest(".scroll").before(tools);
}

// Sorting: ascending, descending, then the original order. Rows without a value stay at the end.
function sortable(table, heads, original) {
  heads.forEach((head, column) => {
    const press = button("", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      table.tBodies[0].append(...(next === "none" ? original : sorted(original, column, next === "ascending" ? 1 : -1)));
    });
    press.append(...head.childNodes);
    head.append(press);
  });
}

function number(text) {
  return text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
}

function sorted(rows, column, sign) {
  const key = (row) => row.cells[column].dataset.sort;
  const numeric = rows.every((row) => key(row) === "" || !Number.isNaN(number(key(row))));
  const compare = (a, b) => (numeric ? (number(a) === number(b) ? 0 : number(a) - number(b)) : a.localeCompare(b, "en"));
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * compare(x, y);
  });
}

// Chips: one button for each size, which shows the rows of this size alone; a second press shows all rows.
function chips(rows, column, status) {
  const key = (row) => row.cells[column].dataset.sort;
  const sizes = [...new Set(rows.map(key))].sort((a, b) => number(a) - number(b));
  if (sizes.length < 2) return [];
  const bar = make("span", { class: "chips", role: "group", "aria-label": "Rows by L" }, "L =");
  for (const size of sizes) {
    const press = button(size, () => {
      const chosen = press.getAttribute("aria-pressed") === "false";
      for (const other of bar.querySelectorAll("button")) other.setAttribute("aria-pressed", String(chosen && other === press));
      for (const row of rows) row.hidden = chosen && key(row) !== size;
      status.textContent = chosen ? `${rows.filter(isShown).length} of ${rows.length} rows` : "";
    }, { "aria-pressed": "false", class: "chip" });
    bar.append(press);
  }
  return [bar];
}

const isShown = (row) => !row.hidden;

// Baseline: every number of a column with a key is divided by the number of the baseline at the same place.
function ratioColumns(heads) {
  return heads.flatMap((head, i) => (head.dataset.key && !["place", "size", "sampler"].includes(head.dataset.key) ? [i] : []));
}

function baselines(caption) {
  const options = [make("option", { value: "" }, "no baseline: values")];
  for (const label of data.baselines) options.push(make("option", { value: `=${label}` }, `ratio to ${label}`));
  for (const method of Object.keys(data.published)) {
    options.push(make("option", { value: `:${method}` }, `ratio to ${method}, published`));
  }
  const select = make("select", { "aria-describedby": caption }, ...options);
  select.addEventListener("change", () => {
    for (const other of selects) other.value = select.value;
    for (const other of selects) showRatios(other.closest(".table").querySelector("table"), select.value);
  });
  selects.push(select);
  return make("label", {}, "Show ", select);
}

function showRatios(table, choice) {
  const heads = [...table.tHead.rows[0].cells];
  const places = heads.flatMap((head, i) => (["place", "size"].includes(head.dataset.key) ? [i] : []));
  const sampler = heads.findIndex((head) => head.dataset.key === "sampler");
  const rows = [...table.tBodies[0].rows];
  const place = (row) => places.map((i) => row.cells[i].dataset.sort).join("|");
  // Seconds of two machines are not divided.
  const machine = (row) => data.machines[`${row.cells[sampler].dataset.sort}|${place(row)}`];
  const apart = (i, row, base) => data.timed.includes(heads[i].dataset.key) && base && machine(row) !== machine(base);
  for (const i of ratioColumns(heads)) for (const row of rows) restore(row.cells[i]);
  if (choice) {
    const bases = new Map(rows.filter((row) => row.cells[sampler].dataset.sort === choice.slice(1)).map((row) => [place(row), row]));
    for (const i of ratioColumns(heads)) {
      const found = rows.map((row) => {
        const base = bases.get(place(row));
        if (choice[0] === "=") return valueOf(apart(i, row, base) ? undefined : base?.cells[i]);
        return { value: (data.published[choice.slice(1)][place(row)] || {})[heads[i].dataset.key], error: 0 };
      });
      rows.forEach((row, at) => setRatio(row.cells[i], found[at]));
    }
  }
  const told = choice ? `${choice[0] === "=" ? choice.slice(1) : `the published ${choice.slice(1)}`} at the same L` : "";
  table.closest(".table").querySelector(".said").textContent = choice
    ? `Ratios to ${told}, errors combined as independent; – where one of the two has no value.` : "";
}

function valueOf(cell) {
  return cell && cell.dataset.sort !== ""
    ? { cell, value: number(cell.dataset.sort), error: Number(cell.dataset.error || 0) } : { value: undefined, error: 0 };
}

function setRatio(cell, base) {
  const own = valueOf(cell);
  const ratio = own.value / base.value;
  cell.kept = { nodes: [...cell.childNodes], sort: cell.dataset.sort, error: cell.dataset.error };
  const known = Number.isFinite(ratio) && base.value !== 0;
  const relative = known ? Math.hypot(own.error / (own.value || 1), base.error / base.value) : 0;
  cell.dataset.sort = known ? String(ratio) : "";
  const text = base.cell === cell ? "×1" : `×${concise(ratio, Math.abs(ratio) * relative)}`;
  cell.replaceChildren(known ? text : make("span", { class: "missing" }, "–"));
}

function restore(cell) {
  if (!cell.kept) return;
  cell.replaceChildren(...cell.kept.nodes);
  cell.dataset.sort = cell.kept.sort;
  delete cell.kept;
}

function concise(value, error) {
  if (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) return value.toExponential(2).replace("e", "×10^").replace("+", "");
  if (!(error > 1e-9 * Math.abs(value))) return value.toPrecision(4);
  let exponent = Math.floor(Math.log10(error));
  if (error / 10 ** exponent < 3.55) exponent -= 1;
  const decimals = Math.max(0, -exponent);
  return `${value.toFixed(decimals)}(${error >= 1 ? error.toFixed(decimals) : Math.round(error * 10 ** decimals)})`;
}

// CSV: numbers with all digits; a column with errors is followed by a column of its errors. Text that a spreadsheet
// could run as a formula is escaped.
function headingOf(head) {
  const shown = head.cloneNode(true);
  for (const spoken of shown.querySelectorAll(".sr")) spoken.remove();
  return shown.textContent.trim().replace(/\s+/g, " ");
}

function cellsOf(row) {
  return [...row.cells].map((cell) => ({ value: cell.kept ? cell.kept.sort : cell.dataset.sort, error: cell.dataset.error }));
}

function csv(headings, rows) {
  const withError = headings.map((_, i) => rows.some((row) => row[i].error));
  const lines = [headings.flatMap((text, i) => (withError[i] ? [text, `${text} error`] : [text]))];
  for (const row of rows) lines.push(row.flatMap((cell, i) => (withError[i] ? [cell.value, cell.error] : [cell.value])));
  return lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

function quoted(value) {
  let text = value === undefined || value === null ? "" : String(value);
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(number(text))) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

for (const table of document.querySelectorAll("table")) setUpTable(table);
