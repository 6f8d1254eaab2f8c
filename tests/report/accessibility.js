// The faults of a page that keep people out: names, references, headings, tables, contrast, target sizes.
const faults = [];
const where = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""} "${(node.textContent || "").trim().slice(0, 40)}"`;
const shown = (node) => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
const all = (selector) => [...document.querySelectorAll(selector)];

function name(node) {
  const by = (node.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
  if (by.length) return by.map((id) => document.getElementById(id)?.textContent || "").join(" ").trim();
  if (node.hasAttribute("aria-label")) return node.getAttribute("aria-label").trim();
  if (node.labels?.length) return [...node.labels].map((label) => label.firstChild.textContent).join(" ").trim();
  return ["INPUT", "SELECT"].includes(node.tagName) ? "" : node.textContent.trim();
}

if (!document.documentElement.lang) faults.push("no language");
if (!document.title) faults.push("no title");
for (const tag of ["main", "h1"]) if (all(tag).length !== 1) faults.push(`${all(tag).length} elements ${tag}`);
for (const node of all("a, button, input, select, summary, svg[role=img], [role=group], [role=region], nav, section")) {
  if (!name(node)) faults.push(`no name: ${where(node)}`);
}
for (const node of all("button")) {
  const [visible, spoken] = [node.textContent.trim(), name(node)];
  if (!spoken.includes(visible)) faults.push(`spoken name without the visible one: ${where(node)}`);
}
for (const node of all("svg")) if (!node.closest("[role=img]") && !node.closest("[aria-hidden=true]")) faults.push(`drawing without a role: ${where(node)}`);
const ids = all("[id]").map((node) => node.id);
for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push(`id twice: ${id}`);
for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
  for (const node of all(`[${attribute}]`)) {
    for (const id of node.getAttribute(attribute).split(/\s+/)) if (!document.getElementById(id)) faults.push(`${attribute} to nothing: ${id}`);
  }
}
let level = 0;
for (const node of all("h1, h2, h3, h4, h5, h6")) {
  const own = Number(node.tagName[1]);
  if (own > level + 1) faults.push(`heading level ${own} after ${level}: ${where(node)}`);
  level = own;
}
for (const table of all("table")) {
  const heads = [...table.tHead.rows[0].cells];
  if (!name(table)) faults.push(`table without a name: ${where(table)}`);
  if (!heads.every((head) => head.tagName === "TH" && head.scope === "col" && head.textContent.trim())) faults.push(`headings of ${where(table)}`);
  for (const row of table.tBodies[0].rows) if (row.cells.length !== heads.length) faults.push(`row of ${row.cells.length} under ${heads.length}: ${where(row)}`);
}
for (const node of all("[tabindex]")) if (node.tabIndex > 0) faults.push(`tab order changed: ${where(node)}`);
for (const node of all(".scroll, pre")) {
  if (node.scrollWidth > node.clientWidth && node.tabIndex < 0) faults.push(`scrolls without a keyboard: ${where(node)}`);
}
for (const node of all("button, input, select")) {
  const box = node.getBoundingClientRect();
  if (shown(node) && !node.closest("th") && Math.min(box.width, box.height) < 24) faults.push(`small target: ${where(node)}`);
}

const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
function light(colour) {
  const [r, g, b] = parts(colour).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(node) {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    const [, , , alpha = 1] = parts(colour);
    if (alpha === 1 && colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
}
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || seen.has(node) || ["SCRIPT", "STYLE", "TEMPLATE"].includes(node.tagName) || !shown(node)) continue;
  seen.add(node);
  const style = getComputedStyle(node);
  const [a, b] = [light(node.closest("svg") ? style.fill : style.color), light(ground(node))].sort((x, y) => y - x);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${where(node)}`);
}
return faults;
