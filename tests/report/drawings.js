// Faults of the drawings of a page, as the reader sees them: a text outside of its figure, labels of ticks that overlap,
// a tick on an axis of L that is no size of the run. arguments[0]: the sizes.
const sizes = new Set(arguments[0]);
const faults = [];
let seen = 0;

function check(name, svg) {
  const frame = svg.getBoundingClientRect();
  const box = (text) => text.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")];
  seen += texts.length;
  for (const text of texts) {
    const b = box(text);
    const out = Math.max(frame.left - b.left, frame.top - b.top, b.right - frame.right, b.bottom - frame.bottom);
    if (out > 0.5) faults.push(`${name}: "${text.textContent}" leaves the figure by ${out.toFixed(1)} px`);
  }
  for (const axis of ["x", "y"]) {
    const ticks = [...svg.querySelectorAll(`[id*="-${axis}tick_"] text`)];
    ticks.forEach((one, k) => ticks.slice(k + 1).forEach((other) => {
      const [a, b] = [box(one), box(other)];
      // Boxes of texts include the room for accents, so they may touch where the letters do not.
      const apart = Math.max(b.left - a.right, a.left - b.right, b.top - a.bottom, a.top - b.bottom);
      const lines = one.parentElement === other.parentElement;
      if (apart < -2.5 && !lines) faults.push(`${name}: ticks "${one.textContent}" and "${other.textContent}" overlap`);
    }));
    const onSizes = axis === "x" && texts.some((text) => text.textContent === "L");
    for (const tick of onSizes ? ticks : []) {
      if (!sizes.has(Number(tick.textContent))) faults.push(`${name}: tick "${tick.textContent}" is no size of the run`);
    }
  }
}

for (const picture of document.querySelectorAll(".picture")) {
  check(picture.dataset.name, picture.querySelector("svg"));
  const press = picture.querySelector(".scale");
  if (press) {
    press.click();
    check(`${picture.dataset.name}, other scale`, picture.querySelector("svg"));
  }
}
return [seen, faults];
